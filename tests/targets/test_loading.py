"""Folders, files and names that a pipeline is loaded from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privaudit import load_pipeline
from privaudit.errors import GeneratorError
from tests.parts.pipelines import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("loading") / "base"
    tiny_pipeline().save_pretrained(made)
    return made


def named(folder: Path, kind: str) -> None:
    """Have a folder say that it is of another class."""
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": kind}))


def test_what_cannot_be_loaded_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"cannot be loaded .*check the folder or hub name"):
        load_pipeline(tmp_path / "nothing", device="cpu")
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(GeneratorError, match="is a single file, which does not say what it is"):
        load_pipeline(file, device="cpu")
    named(folder, "MyOwnPipeline")
    with pytest.raises(GeneratorError, match=r"is a MyOwnPipeline, which diffusers .* not have"):
        load_pipeline(folder, device="cpu")


@pytest.mark.filterwarnings("ignore")  # diffusers is about to drop some of the older classes
def test_a_class_that_diffusers_lists_for_no_task_is_loaded_as_it_is(folder: Path) -> None:
    named(folder, "StableDiffusionSAGPipeline")
    assert type(load_pipeline(folder, device="cpu")).__name__ == "StableDiffusionSAGPipeline"
    # Listed for another task: it is made text-to-image.
    named(folder, "StableDiffusionImg2ImgPipeline")
    assert type(load_pipeline(folder, device="cpu")).__name__ == "StableDiffusionPipeline"
