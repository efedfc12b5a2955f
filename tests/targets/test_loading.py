"""Folders, files and names that a pipeline is loaded from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from privaudit import PipelineTarget, SavedPipeline, load_pipeline
from privaudit.errors import GeneratorError
from privaudit.targets.loading import known_base
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline
from tests.parts.single_files import write_single_file

MODELS = AUDITS / "models"


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
    with pytest.raises(GeneratorError, match=r"base '.*nothing' does not exist: in .* is no 'noth"):
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


def test_a_class_of_ones_own_is_given_or_named_and_no_stranger_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_pipelines.py").write_text(
        "from diffusers import StableDiffusionPipeline\n"
        "class MyOwnPipeline(StableDiffusionPipeline): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    named(own, "MyOwnPipeline")
    loaded = load_pipeline(own, pipeline_class="my_pipelines:MyOwnPipeline", device="cpu")
    assert type(loaded).__name__ == "MyOwnPipeline"
    assert type(load_pipeline(own, pipeline_class=type(loaded), device="cpu")) is type(loaded)
    tuned = load_pipeline(
        own, pipeline_class=type(loaded), unet=tiny_pipeline(seed=1).unet, device="cpu"
    )
    assert type(known_base(tuned)) is type(loaded)
    for wrong, reason in (
        ("my_pipelines:Other", "cannot be imported"),
        ("my_pipelines", "cannot be imported"),
        ("json:JSONDecoder", "is no subclass of diffusers.DiffusionPipeline"),
        (Path, "is no subclass of diffusers.DiffusionPipeline"),
    ):
        with pytest.raises(GeneratorError, match=reason):
            load_pipeline(own, pipeline_class=wrong, device="cpu")
    with pytest.raises(GeneratorError, match="takes a folder or hub name, and no single file"):
        load_pipeline(own / "model_index.json", pipeline_class=type(loaded), device="cpu")
    with pytest.raises(GeneratorError, match="no hash of files can tell from another"):
        SavedPipeline(own, pipeline_class="my_pipelines:MyOwnPipeline", device="cpu")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a model as one file, and another of its architecture as a folder."""
    made = tmp_path_factory.mktemp("single")
    tiny_pipeline(0).save_pretrained(made / "base")
    write_single_file(tiny_pipeline(3), made / "model.safetensors")
    return made / "model.safetensors", made / "base"


@pytest.mark.slow
def test_a_single_file_is_the_model_that_was_written(single: tuple[Path, Path]) -> None:
    file, base = single
    loaded = load_pipeline(file, config=base, device="cpu")
    saved = SavedPipeline(file, config=base, device="cpu")
    ours, theirs, others = (
        PipelineTarget(one, num_inference_steps=1).generate(["a fox"], [1])[0].tobytes()
        for one in (loaded, tiny_pipeline(3), load_pipeline(base, device="cpu"))
    )
    assert ours == theirs != others
    drawn = PipelineTarget(saved.pipeline, num_inference_steps=1).generate(["a fox"], [1])[0]
    assert drawn.tobytes() == ours
    assert saved.describe()["class"] == "StableDiffusionPipeline"
    assert saved.base is None
    assert SavedPipeline(**saved.arguments()).fingerprint == saved.fingerprint


@pytest.mark.parametrize(
    "part", ["model.diffusion_model.out.2.", "model.diffusion_model.", "cond_stage_model."]
)
def test_a_single_file_that_is_not_whole_is_an_error(
    single: tuple[Path, Path], tmp_path: Path, part: str
) -> None:
    file, base = single
    left = {name: value for name, value in load_file(file).items() if not name.startswith(part)}
    save_file(left, tmp_path / "less.safetensors")
    with pytest.raises(GeneratorError, match="single file"):
        load_pipeline(tmp_path / "less.safetensors", config=base, device="cpu")


def test_a_single_file_of_more_than_its_config_says_is_an_error(
    single: tuple[Path, Path], tmp_path: Path
) -> None:
    file, base = single
    more = load_file(file)
    more["model.diffusion_model.input_blocks.1.1.transformer_blocks.1.norm1.weight"] = torch.ones(
        16
    )
    save_file(more, tmp_path / "more.safetensors")
    with pytest.raises(GeneratorError, match="were not used"):
        load_pipeline(tmp_path / "more.safetensors", config=base, device="cpu")
    with pytest.raises(GeneratorError, match="is no folder of a pipeline"):
        load_pipeline(file, config=tmp_path, device="cpu")


def weights(pipeline: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in pipeline.unet.parameters()])


@pytest.mark.slow
def test_several_adapters_are_fused_each_at_its_scale(tmp_path: Path) -> None:
    one, other = MODELS / "shadow", tmp_path / "copy"
    shutil.copytree(one, other)
    base, whole, halves, less = (
        weights(load_pipeline(MODELS / "base", lora=lora, device="cpu"))
        for lora in (None, one, {one: 0.5, other: 0.5}, {one: 0.25})
    )
    assert torch.allclose(halves, whole, atol=1e-6)
    assert torch.allclose(less - base, (whole - base) / 4, atol=1e-6)
    assert not torch.allclose(less, whole, atol=1e-6)
    twice = weights(load_pipeline(MODELS / "base", lora=[one, other], device="cpu"))
    assert torch.allclose(twice - base, 2 * (whole - base), atol=1e-6)


def test_a_saved_pipeline_takes_several_adapters_and_knows_them_by_scale(tmp_path: Path) -> None:
    one, other = MODELS / "shadow", tmp_path / "copy"
    shutil.copytree(one, other)
    saved = SavedPipeline(MODELS / "base", lora={one: 0.5, other: 0.25}, device="cpu")
    assert [a["scale"] for a in saved.pipeline.privaudit_fused] == [0.5, 0.25]
    assert set(saved.describe()["files"]) == {"base", "lora 1", "lora 2"}
    again = SavedPipeline(**{**saved.arguments(), "call": None})
    assert again.fingerprint == saved.fingerprint
    others: list[Any] = [{one: 0.25, other: 0.5}, {one: 0.5}, [one, other], one]
    known = {SavedPipeline(MODELS / "base", lora=lora, device="cpu").fingerprint for lora in others}
    assert len(known | {saved.fingerprint}) == 5
    assert saved.base is not None
    assert set(saved.base.describe()["files"]) == {"base"}
    with pytest.raises(GeneratorError, match=r"lora 2 .* does not exist"):
        SavedPipeline(MODELS / "base", lora=[one, tmp_path / "nothing"], device="cpu")


@pytest.mark.parametrize("scale", [0, float("nan"), "1"])
def test_an_adapter_at_a_scale_that_is_none_is_an_error(scale: Any) -> None:
    with pytest.raises(GeneratorError, match="changes nothing"):
        load_pipeline(MODELS / "base", lora={MODELS / "shadow": scale}, device="cpu")


def test_a_textual_inversion_is_a_word_more(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "base")
    file = tmp_path / "toy.safetensors"
    save_file({"<toy>": 30 * torch.randn(1, 16)}, file)
    plain = PipelineTarget(load_pipeline(tmp_path / "base", device="cpu"), num_inference_steps=1)
    taught = load_pipeline(tmp_path / "base", textual_inversion=file, device="cpu")
    assert "<toy>" in taught.tokenizer.get_vocab()
    assert taught.privaudit_fused[0]["tokens"] == ["<toy>"]
    target = PipelineTarget(taught, num_inference_steps=1, guidance_scale=300.0)
    assert target.fingerprint != plain.fingerprint
    # It is known by its file too, and reaches what is drawn.
    saved = SavedPipeline(tmp_path / "base", textual_inversion=[file], device="cpu")
    assert saved.base is None  # what has no such word is drawn as by the base
    assert known_base(taught) is None
    bare = SavedPipeline(tmp_path / "base", device="cpu")
    assert saved.fingerprint != bare.fingerprint
    drawn, without = (
        PipelineTarget(one.pipeline, num_inference_steps=1, guidance_scale=300.0).generate(
            ["a <toy> on a mat"], [1]
        )[0]
        for one in (saved, bare)
    )
    assert drawn.tobytes() != without.tobytes()
    save_file({"<toy>": torch.randn(1, 24)}, file)
    with pytest.raises(GeneratorError, match="textual inversion"):
        load_pipeline(tmp_path / "base", textual_inversion=file, device="cpu")


def test_all_parts_get_one_dtype_elsewhere_than_on_a_cpu_too() -> None:
    """The base of ``audits/`` is saved in half precision: a GPU mixed it with a U-Net of float32."""
    unet = MODELS / "overfit" / "unet"
    pipeline = load_pipeline(MODELS / "base", unet=unet, device="meta")  # no GPU is needed
    assert pipeline.device.type == "meta"
    parts = {n: p for n, p in pipeline.components.items() if isinstance(p, torch.nn.Module)}
    assert {name: part.dtype for name, part in parts.items()} == dict.fromkeys(parts, torch.float32)


@pytest.mark.parametrize("named", ["float16", "torch.float16", {"default": "float16"}])
def test_a_dtype_may_be_named(named: Any) -> None:
    assert load_pipeline(MODELS / "base", dtype=named, device="cpu").unet.dtype == torch.float16


@pytest.mark.parametrize("named", ["half-ish", "auto", "nn", 16])
def test_what_is_no_dtype_is_refused_and_not_read_as_float32(named: Any) -> None:
    with pytest.raises(GeneratorError, match="is no dtype of torch"):
        load_pipeline(MODELS / "base", dtype=named, device="cpu")


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (9, "9 input channels .* an inpainting model"),
        (8, "as InstructPix2Pix does"),
        (5, "a depth"),
    ],
)
def test_a_model_that_starts_from_a_picture_is_refused_with_the_reason(
    tmp_path: Path, channels: int, said: str
) -> None:
    pipeline = tiny_pipeline()
    config = {k: v for k, v in pipeline.unet.config.items() if not k.startswith("_")}
    wider = type(pipeline.unet).from_config(config | {"in_channels": channels})
    pipeline.register_modules(unet=wider)
    with pytest.raises(GeneratorError, match=f"is not text-to-image: .*{said}"):
        PipelineTarget(pipeline)
    pipeline.save_pretrained(tmp_path / "base")
    named(tmp_path / "base", "StableDiffusionInpaintPipeline")
    with pytest.raises(GeneratorError, match=f"is not text-to-image: .*{said}"):
        load_pipeline(tmp_path / "base", device="cpu")
