"""Shadow models that audits make: kept by what determines them, and used as they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit import PipelineTarget, SavedPipeline
from privaudit.audit.shadows import ShadowMaker
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.testing import MemorizingTarget
from privaudit.training.fine_tuning import finetune
from tests.parts.pipelines import tiny_pipeline

STEPS: dict[str, Any] = {"steps": 2, "learning_rate": 1e-2, "progress": False, "batch_size": 2}


class Counted:
    """A ``fine_tune`` that counts its calls, and does what it is told to."""

    fingerprint = "counted"

    def __init__(self, does: Any) -> None:
        self.does, self.calls = does, 0

    def __call__(self, samples: Any) -> Any:
        self.calls += 1
        return self.does(samples)


def tunes(samples: Any) -> Any:
    return finetune(tiny_pipeline(), samples, **STEPS)


def pictures(model: Any) -> Any:
    target = as_target(model, num_inference_steps=2)
    images = target.generate(["a fox", "a hen"], [1, 2])  # type: ignore[attr-defined]
    return np.stack([np.asarray(image, int) for image in images])


@pytest.mark.slow
def test_a_second_session_makes_nothing_and_draws_the_same(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    samples, tune = emoji["member"][:4], Counted(tunes)
    made = ShadowMaker(tune, Store(tmp_path))(samples)
    again = ShadowMaker(tune, Store(tmp_path))(samples)
    assert tune.calls == 1
    assert isinstance(made, SavedPipeline)
    assert as_target(made).fingerprint == as_target(again).fingerprint
    assert (pictures(made) == pictures(again)).all()
    # The adapter is fused: the same picture but for the last bits, and not the base's.
    alone = pictures(tunes(samples))
    assert np.abs(pictures(made) - alone).max() <= 1
    assert np.abs(pictures(tiny_pipeline()) - alone).max() > 1
    kept = [file.suffix for file in tmp_path.rglob("*") if file.is_file()]
    assert ".safetensors" in kept
    assert not {".pt", ".pkl", ".bin", ".ckpt"} & set(kept)


@pytest.mark.slow
def test_other_samples_captions_and_fingerprints_are_other_models(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    samples, store = emoji["member"][:4], Store(tmp_path)
    tune = Counted(lambda _: tiny_pipeline())
    ShadowMaker(tune, store)(samples)
    ShadowMaker(tune, store)(samples[:3])
    assert tune.calls == 2
    other = [type(samples[0])(s.image, f"{s.caption}!") for s in samples]
    ShadowMaker(tune, store)(other)
    assert tune.calls == 3
    tune.fingerprint = "another"
    ShadowMaker(tune, store)(samples)
    assert tune.calls == 4


def test_a_model_that_cannot_be_written_down_is_kept_for_the_session(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    samples, tune = emoji["member"][:4], Counted(MemorizingTarget)
    maker = ShadowMaker(tune, Store(tmp_path))
    assert maker(samples) is maker(samples)
    assert tune.calls == 1
    why = "a MemorizingTarget cannot be written down; return a diffusers pipeline"
    assert str(maker.why_again()).startswith(why)
    ShadowMaker(tune, Store(tmp_path))(samples)
    assert tune.calls == 2


def test_what_is_in_no_file_is_not_lost_by_keeping(tmp_path: Path, emoji: dict[str, Any]) -> None:
    def hooked(_: Any) -> Any:
        pipeline = tiny_pipeline()
        pipeline.unet.register_forward_hook(lambda *given: (given[2][0] * -3,))
        return pipeline

    samples, tune = emoji["member"][:4], Counted(hooked)
    maker = ShadowMaker(tune, Store(tmp_path))
    model = maker(samples)
    assert not isinstance(model, SavedPipeline)
    assert "draws something else once it is saved" in str(maker.why_again())
    assert list((tmp_path / "models").glob("*/")) == []


def test_a_model_too_large_for_the_store_is_said(tmp_path: Path, emoji: dict[str, Any]) -> None:
    samples, tune = emoji["member"][:4], Counted(lambda _: tiny_pipeline())
    maker = ShadowMaker(tune, Store(tmp_path, limit=500_000))
    maker(samples)
    assert "raise --privaudit-store-limit" in str(maker.why_again())


def test_a_folder_of_the_users_is_named_not_copied(tmp_path: Path, emoji: dict[str, Any]) -> None:
    samples, folder = emoji["member"][:4], tmp_path / "runs"

    def tune(_: Any) -> Any:
        with (tmp_path / "calls").open("a") as calls:
            calls.write("called\n")
        tiny_pipeline().save_pretrained(folder)
        return SavedPipeline(folder, device="cpu", call={"height": 16})

    def calls() -> int:
        return len((tmp_path / "calls").read_text().split())

    store = Store(tmp_path / "store")
    tune.fingerprint = "mine"  # type: ignore[attr-defined]
    made = ShadowMaker(tune, store)(samples)
    again = ShadowMaker(tune, store)(samples)
    assert calls() == 1
    assert as_target(again).fingerprint == as_target(made).fingerprint
    assert store.usage()["models"][1] < 2_000
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "note": 1}))
    with pytest.warns(UserWarning, match="is of no use .*are not those that fine_tune wrote"):
        ShadowMaker(tune, store)(samples)
    assert calls() == 2
    shutil.rmtree(folder)
    with pytest.warns(UserWarning, match="is of no use .*does not exist"):
        ShadowMaker(tune, store)(samples)
    assert calls() == 3


def test_a_ready_made_target_keeps_its_settings(tmp_path: Path, emoji: dict[str, Any]) -> None:
    samples = emoji["member"][:4]
    tune = Counted(lambda _: PipelineTarget(tiny_pipeline(), num_inference_steps=3))
    maker = ShadowMaker(tune, Store(tmp_path))
    assert isinstance(maker(samples), PipelineTarget)
    assert "a PipelineTarget cannot be written down" in str(maker.why_again())


def test_a_plain_function_is_called_again_in_each_session_and_says_so(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    samples, calls = emoji["member"][:4], []

    def tune(_: Any) -> Any:
        calls.append(1)
        return tiny_pipeline()

    maker = ShadowMaker(tune, Store(tmp_path))
    assert maker(samples) is maker(samples)
    ShadowMaker(tune, Store(tmp_path))(samples)
    assert len(calls) == 2
    assert "return privaudit.FineTune(base, …)" in str(maker.why_again())
    assert ShadowMaker(tune, Store(None)).why_again() is None  # nothing is kept, whatever it is
