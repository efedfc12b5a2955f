"""A model on a card is known by what it draws there, in this process and in the next one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from privaudit import PipelineTarget
from tests.parts import AUDITS, ROOT

IN_ITS_OWN_PROCESS = f"""
import sys
sys.path.insert(0, {str(AUDITS)!r})
import torch
import emoji_sets
from privaudit import PipelineTarget, load_pipeline
from privaudit.targets.acceleration import Acceleration
pipeline = load_pipeline(
    emoji_sets.MODELS / "base", unet=emoji_sets.MODELS / "overfit" / "unet", device="cuda")
torch.backends.cudnn.benchmark = "benchmark" in sys.argv
for dtype in (None, "float16", "bfloat16"):
    target = PipelineTarget(
        pipeline, num_inference_steps=20, acceleration=Acceleration(dtype=dtype))
    print(target.fingerprint)
"""


def known_as(*how: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", IN_ITS_OWN_PROCESS, *how],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stdout.split()


def test_the_next_process_knows_it() -> None:
    first = known_as()
    assert len(set(first)) == 3  # a dtype is another model
    assert known_as() == first


@pytest.mark.xfail(
    reason="measured, not promised: kernels are then chosen by their speed",
    strict=False,  # what it does on a card is not known yet: the one run failed before it
)
def test_so_it_is_where_kernels_are_chosen_by_their_speed() -> None:
    assert known_as("benchmark") == known_as()


def test_who_draws_something_else_is_someone_else(overfit: Any) -> None:
    target = PipelineTarget(overfit, num_inference_steps=20)
    known = target.fingerprint
    assert PipelineTarget(overfit, num_inference_steps=20).fingerprint == known
    hook = overfit.unet.register_forward_hook(
        lambda _module, _given, output: (output[0] * 1.01, *output[1:])
    )
    assert PipelineTarget(overfit, num_inference_steps=20).fingerprint != known
    hook.remove()
    assert PipelineTarget(overfit, num_inference_steps=20).fingerprint == known
    with torch.no_grad():
        next(overfit.unet.parameters()).view(-1)[0] += 1e-3
    assert PipelineTarget(overfit, num_inference_steps=20).fingerprint != known


def test_what_draws_as_its_base_is_no_fine_tune(overfit: Any) -> None:
    import emoji_sets
    from privaudit import load_pipeline

    base = load_pipeline(emoji_sets.MODELS / "base", device="cuda")
    assert PipelineTarget(overfit, num_inference_steps=20).draws_as_base(base) is False
    again = load_pipeline(emoji_sets.MODELS / "base", device="cuda")
    assert PipelineTarget(again, num_inference_steps=20).draws_as_base(base) is True
