"""Pipelines in folders: the images of the loaded one, and no load where none is needed."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from privaudit import PipelineTarget, SavedPipeline
from privaudit.errors import GeneratorError
from privaudit.targets import as_target, load_pipeline
from tests.parts import AUDITS
from tests.parts.audit_folder import AuditFolder
from tests.parts.documents import generated
from tests.parts.pipelines import tiny_pipeline

MODELS = AUDITS / "models"
BASE = MODELS / "base"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save a pipeline."""
    tiny_pipeline().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def target(folder: Path, *, steps: int = 2, **given: Any) -> Any:
    return as_target(SavedPipeline(folder, device="cpu", **given), num_inference_steps=steps)


@pytest.mark.parametrize(
    "parts",
    [
        {"lora": MODELS / "shadow"},
        *(
            pytest.param(parts, marks=pytest.mark.slow)
            for parts in ({}, {"unet": MODELS / "overfit" / "unet"}, {"biases": MODELS / "dp"})
        ),
    ],
    ids=["lora", "whole", "unet", "biases"],
)
@pytest.mark.slow
def test_its_images_are_those_of_the_loaded_pipeline(parts: dict[str, Any]) -> None:
    saved = target(BASE, **parts)
    loaded = PipelineTarget(load_pipeline(BASE, device="cpu", **parts), num_inference_steps=2)
    ours, theirs = (g.generate(["a fox", "a bear"], [1, 2]) for g in (saved, loaded))
    assert [i.tobytes() for i in ours] == [i.tobytes() for i in theirs]
    assert saved.batch_size(20) == loaded.batch_size(20)
    base = PipelineTarget(load_pipeline(BASE, device="cpu"), num_inference_steps=2)
    assert (loaded.fingerprint != base.fingerprint) == bool(parts)


def test_a_unet_may_be_given_by_its_folder() -> None:
    folder = MODELS / "overfit" / "unet"
    by_folder, by_object = (
        PipelineTarget(
            load_pipeline(BASE, unet=unet, device="cpu"), num_inference_steps=1
        ).fingerprint
        for unet in (folder, UNet2DConditionModel.from_pretrained(folder))
    )
    assert by_folder == by_object


def test_it_is_loaded_for_an_image_and_for_nothing_else(folder: Path) -> None:
    saved = SavedPipeline(folder, device="cpu")
    targets = [as_target(saved, num_inference_steps=n) for n in (2, 3)]
    assert len({g.fingerprint for g in targets}) == 2
    assert {g.batch_size(20) for g in targets} == {32}
    described = targets[0].describe()
    assert described["class"] == "StableDiffusionPipeline"
    assert described["scheduler"] == "DDIMScheduler"
    assert described["identity"] == targets[0].fingerprint
    assert "pipeline" not in vars(saved)
    images = [g.generate(["a"], [1])[0].tobytes() for g in targets]
    assert images[0] != images[1]
    assert targets[0].seconds_per_image() > 0
    described = targets[0].describe()
    assert described["dtype"] == "float32"
    assert described["files"] == {"base": str(folder)}
    assert targets[0]._target._given is targets[1]._target._given  # loaded once


def test_the_fingerprint_tells_whatever_files_and_arguments_change(folder: Path) -> None:
    first = target(folder).fingerprint
    moved = folder.parent / "moved"
    shutil.copytree(folder, moved)
    (moved / "README.md").write_text("A card says nothing to a model.")
    (moved / ".cache").mkdir()
    (moved / ".cache" / "x").write_text("nor does this")
    assert target(moved).fingerprint == first
    others = [
        target(folder, steps=3).fingerprint,
        target(folder, unet=folder / "unet").fingerprint,
        target(folder, biases=MODELS / "dp").fingerprint,
        target(folder, lora=MODELS / "shadow").fingerprint,
        target(folder, dtype=torch.bfloat16).fingerprint,
        target(folder, variant="non_ema").fingerprint,
        as_target(SavedPipeline(folder, device="cpu"), guidance_scale=1.0).fingerprint,
        as_target(SavedPipeline(folder, device="meta")).fingerprint,
    ]
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"linear"', '"scaled_linear"'))
    others.append(target(folder).fingerprint)
    (folder / "unet").rename(folder.parent / "elsewhere")
    (folder / "unet").symlink_to(folder.parent / "elsewhere")
    assert target(folder).fingerprint == others[-1]
    weights = folder.parent / "elsewhere" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).view(-1)[0] += 1e-3
    save_file(tensors, weights, metadata={"format": "pt"})
    others.append(target(folder).fingerprint)
    assert len({first, *others}) == 11


def test_files_that_change_between_hash_and_load_are_an_error(folder: Path) -> None:
    changing = target(folder)
    (folder / "model_index.json").write_text((folder / "model_index.json").read_text() + " ")
    with pytest.raises(GeneratorError, match="changed while it was audited: run the audit again"):
        changing.generate(["a"], [1])


def test_it_takes_its_model_to_where_its_files_are_not(folder: Path) -> None:
    here = target(folder)
    carried = pickle.dumps(here)
    shutil.rmtree(folder)
    there = pickle.loads(carried)
    assert there.fingerprint == here.fingerprint
    images = [g.generate(["a"], [1])[0].tobytes() for g in (here, there)]
    assert images[0] == images[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base": "some/model"}, "base 'some/model' does not exist: .* Of a model on the hub"),
        ({"lora": "/no/such"}, "lora '/no/such' does not exist: in '/' is no 'no'"),
        ({"vae": object()}, "vae of a SavedPipeline is a object, .* use privaudit.load_pipeline"),
        ({"custom_pipeline": "x"}, "custom_pipeline of a SavedPipeline is a str"),
        ({"variant": "../other"}, "variant of a SavedPipeline is a str"),
    ],
)
def test_what_a_hash_of_files_cannot_tell_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        SavedPipeline(**{"base": BASE, **given})


def test_a_file_that_cannot_be_read_is_an_error(folder: Path) -> None:
    (folder / "broken").symlink_to(folder / "nowhere")
    with pytest.raises(GeneratorError, match="cannot be read"):
        target(folder)


SAVED = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.SavedPipeline({folder!r}, device="cpu")

@pytest.mark.privacy_budget(num_inference_steps=1)
def test_one_step(membership_attack):
    pass

@pytest.mark.privacy_budget(num_inference_steps=2)
def test_two_steps(membership_attack):
    pass

def test_diffusers():
    assert ("diffusers" in sys.modules) is {drew}
"""


@pytest.mark.slow
def test_a_second_session_neither_loads_it_nor_imports_diffusers(
    plain_folder: AuditFolder, folder: Path
) -> None:
    options = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold", "--privaudit-budget=1")
    options = (*options, "--privaudit-json=out.json")
    for drew in (True, False):
        plain_folder.write(SAVED.format(folder=str(folder), drew=drew))
        result = plain_folder.run(*options, subprocess=True)
        result.assert_outcomes(passed=3)
        assert generated(plain_folder) == (48 if drew else 0)
        result.stderr.no_fnmatch_line("*Loading*")  # what a library says is captured as ever


def test_a_model_that_cannot_be_loaded_fails_its_tests_and_not_the_session(
    plain_folder: AuditFolder, folder: Path
) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    plain_folder.write(SAVED.format(folder=str(folder), drew=True))
    options = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold")
    planned = plain_folder.run(*options, "--privaudit-plan")
    assert planned.ret == pytest.ExitCode.TESTS_FAILED
    planned.stdout.fnmatch_lines(["*threshold? cannot be planned: pipeline '*cannot be loaded*"])
    result = plain_folder.run(*options)
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(["*cannot be loaded (*check the folder or hub name (Generator*"])
