"""Known by what it draws: a fine-tune is not its base, and weights of all kinds are read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit import PipelineTarget, SavedPipeline
from privaudit.errors import GeneratorError
from privaudit.targets import as_target, load_pipeline
from privaudit.targets.identity import component_identity
from tests.parts.pipelines import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a base, and a U-Net that was trained further."""
    made = tmp_path_factory.mktemp("models")
    tiny_pipeline().save_pretrained(made / "base")
    tuned = tiny_pipeline().unet
    with torch.no_grad():
        tuned.conv_out.weight.mul_(1.2)
    tuned.save_pretrained(made / "tuned")
    return made


def test_what_draws_as_its_base_is_no_fine_tune(folder: Path) -> None:
    base = folder / "base"
    answers = {
        given: PipelineTarget(
            load_pipeline(base, unet=unet, device="cpu"), num_inference_steps=2
        ).draws_as_base()
        for given, unet in (("tuned", folder / "tuned"), ("same", base / "unet"), ("none", None))
    }
    assert answers == {"tuned": False, "same": True, "none": None}
    saved: Any = as_target(
        SavedPipeline(base, unet=base / "unet", device="cpu"), num_inference_steps=2
    )
    assert saved.draws_as_base() is True
    # A base that the audit file gives, for a pipeline of which nothing is known.
    loose = PipelineTarget(tiny_pipeline(), num_inference_steps=2)
    assert loose.draws_as_base() is None
    assert loose.draws_as_base(tiny_pipeline()) is True
    assert loose.draws_as_base(SavedPipeline(base, device="cpu")) is True
    assert loose.draws_as_base(tiny_pipeline(seed=1)) is False


def test_the_probe_is_drawn_once_and_leaves_the_pipeline_as_it_was() -> None:
    pipeline = tiny_pipeline()
    rows: list[int] = []
    pipeline.vae.decoder.register_forward_hook(lambda _, __, out: rows.append(len(out)))
    target = PipelineTarget(pipeline, num_inference_steps=2)
    assert rows == []
    for _ in range(3):
        assert target.fingerprint
    assert rows == [1, 1]  # images


def test_a_saved_pipeline_draws_nothing_to_be_known(folder: Path) -> None:
    saved = SavedPipeline(folder / "base", device="cpu")
    assert as_target(saved).fingerprint
    assert "pipeline" not in vars(saved)


def test_offloaded_weights_are_read_where_they_are() -> None:
    from accelerate import cpu_offload

    identities = []
    for scale in (1.0, 1.2):
        unet = tiny_pipeline().unet
        with torch.no_grad():
            unet.conv_out.weight.mul_(scale)
        cpu_offload(unet, execution_device=torch.device("cpu"))
        assert any(parameter.is_meta for parameter in unet.parameters())
        identities.append([component_identity(unet), component_identity(unet)])
    assert identities[0][0] == identities[0][1] != identities[1][0]


@pytest.mark.skipif(
    not torch.backends.quantized.supported_engines, reason="no engine for quantised layers"
)
@pytest.mark.filterwarnings("ignore")
def test_dynamic_int8_weights_are_read() -> None:
    from torch.ao.quantization import quantize_dynamic

    identities = []
    for scale in (1.0, 1.5):
        encoder = copy.deepcopy(tiny_pipeline().text_encoder)
        with torch.no_grad():
            next(m for m in encoder.modules() if isinstance(m, torch.nn.Linear)).weight.mul_(scale)
        encoder = quantize_dynamic(encoder, {torch.nn.Linear})
        identities.append(component_identity(encoder)[0])
    assert identities[0] != identities[1]


def test_weights_that_are_nowhere_are_refused_in_one_line() -> None:
    with torch.device("meta"):
        lost = torch.nn.Linear(2, 2)
    with pytest.raises(GeneratorError, match="weights of Linear cannot be read, so nothing tells"):
        component_identity(lost)
