"""Every tensor of every file of every part is in what was loaded, and the other way round."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from privaudit import SavedPipeline, load_pipeline
from privaudit.diffusion.weights import weight_files
from privaudit.errors import GeneratorError
from tests.parts.pipelines import tiny_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "model"
    tiny_pipeline(3).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Copy a pipeline, to be changed."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def rewrite(file: Path, change: Any) -> None:
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def before(prefix: str) -> Any:
    return lambda tensors: {prefix + key: value for key, value in tensors.items()}


def half(tensors: Any) -> Any:
    return dict(list(tensors.items())[::2])


def renamed(old: str, new: str) -> Any:
    return lambda tensors: {key.replace(old, new): value for key, value in tensors.items()}


def narrower(tensors: Any) -> Any:
    key = "up_blocks.1.resnets.0.conv1.weight"
    return {**tensors, key: tensors[key][:, :-1].contiguous()}


FAULTS = [
    (UNET, before("module."), r"unet .*286|unet in .* were not used, the first module\.conv_in.* DataP"),
    (UNET, before("_orig_mod."), "unet in .* come from torch.compile"),
    (UNET, renamed("to_q.weight", "to_q.base_layer.weight"), "come from an adapter that was not fu"),
    (UNET, half, "unet in .* weights are missing"),
    (UNET, renamed("mid_block.resnets.0.conv1", "mid_block.resnets.0.conv3"), "2 of its weights were"),
    (UNET, lambda _: {"x": torch.full((2,), 7.0)}, "1 of its weights were not used, the first x"),
    (UNET, narrower, "unet|cannot be loaded"),
    (VAE, before("module."), "vae in .*not what diffusion_pytorch_model.safetensors holds"),
    (VAE, half, "vae in .* weights are missing"),
    (TEXT, before("module."), "text_encoder in .*not what model.safetensors holds"),
    (TEXT, before("model."), "text_encoder in .*not what model.safetensors holds"),
    (TEXT, half, "text_encoder in .* weights are missing"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("low_cpu_mem_usage", [True, False])
@pytest.mark.parametrize(("file", "change", "said"), FAULTS)
def test_a_part_that_is_not_what_its_files_hold_is_an_error(
    folder: Path, file: str, change: Any, said: str, low_cpu_mem_usage: bool
) -> None:
    rewrite(folder / file, change)
    with pytest.raises(GeneratorError, match=said):
        load_pipeline(folder, device="cpu", low_cpu_mem_usage=low_cpu_mem_usage)


@pytest.mark.filterwarnings("ignore")
def test_a_denoiser_in_a_folder_and_a_saved_pipeline_are_checked_likewise(
    saved: Path, folder: Path
) -> None:
    rewrite(folder / UNET, before("module."))
    for low in (True, False):
        with pytest.raises(GeneratorError, match=r"unet in .* is not what"):
            load_pipeline(saved, unet=folder / "unet", device="cpu", low_cpu_mem_usage=low)
    with pytest.raises(GeneratorError, match=r"unet in .* is not what"):
        SavedPipeline(saved, unet=folder / "unet", device="cpu").pipeline  # noqa: B018
    with pytest.raises(GeneratorError, match=r"has no config.json: name '.*unet'"):
        load_pipeline(saved, unet=folder, device="cpu")


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value.float()
        for part in ("unet", "vae", "text_encoder")
        for name, value in getattr(pipeline, part).state_dict().items()
    }


def check_same(folder: Path, saved: Path, **how: Any) -> None:
    ours, theirs = (weights(load_pipeline(one, device="cpu", **how)) for one in (folder, saved))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(value, theirs[name], atol=2e-3) for name, value in ours.items())


def old_attention(tensors: Any) -> Any:
    """Name the attention of an autoencoder as diffusers did before 0.18."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        tensors = renamed(f".{new}.", f".{name}.")(tensors)
    return tensors


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (TEXT, before("text_model.")),  # as every file of CLIP was, before transformers 5
        (TEXT, lambda t: {**t, "text_model.embeddings.position_ids": torch.arange(77)[None]}),
        (VAE, old_attention),
        (UNET, lambda tensors: {key: value.half() for key, value in tensors.items()}),
    ],
    ids=["prefix", "position_ids", "old attention", "half"],
)
def test_what_libraries_rename_and_cast_is_no_fault(
    folder: Path, saved: Path, file: str, change: Any
) -> None:
    rewrite(folder / file, change)
    check_same(folder, saved)
    check_same(folder, saved, dtype="bfloat16")


def test_shards_pickles_of_tensors_and_variants_are_read(saved: Path, tmp_path: Path) -> None:
    pipeline = tiny_pipeline(3)
    pipeline.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(weight_files(tmp_path / "shards" / "unet")) > 1
    check_same(tmp_path / "shards", saved)
    pipeline.save_pretrained(tmp_path / "pickles", safe_serialization=False)
    shutil.rmtree(tmp_path / "pickles" / "text_encoder")  # transformers 5 writes no pickles
    pipeline.text_encoder.save_pretrained(tmp_path / "pickles" / "text_encoder")
    check_same(tmp_path / "pickles", saved)
    check_same(tmp_path / "pickles", saved, use_safetensors=None)
    pipeline.save_pretrained(tmp_path / "variant", variant="fp16")
    check_same(tmp_path / "variant", tmp_path / "variant", variant="fp16")
    unet = tmp_path / "variant" / "unet"
    with pytest.raises(GeneratorError, match=r"diffusion_pytorch_model\.fp16.* given as variant="):
        load_pipeline(saved, unet=unet, device="cpu")
    base = load_pipeline(tmp_path / "variant", unet=unet, variant="fp16", device="cpu")
    assert torch.equal(base.unet.conv_in.weight, pipeline.unet.conv_in.weight)


@pytest.mark.filterwarnings("ignore")
def test_a_shard_of_another_model_is_an_error(tmp_path: Path) -> None:
    tiny_pipeline(3).save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    last = weight_files(tmp_path / "shards" / "unet")[-1]
    rewrite(last, before("module."))
    with pytest.raises(GeneratorError, match="unet"):
        load_pipeline(tmp_path / "shards", device="cpu")


@pytest.mark.parametrize("shard", ["../other.safetensors", 7])
def test_an_index_leads_nowhere_else(tmp_path: Path, shard: object) -> None:
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": shard}}), encoding="utf-8")
    with pytest.raises(GeneratorError, match="names no files of weights: download"):
        weight_files(tmp_path)


class Evil:
    """Runs code when it is loaded."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/tmp/never"),))


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_a_pickle_of_more_than_tensors_is_refused_in_our_words(folder: Path, part: str) -> None:
    for file in (folder / part).glob("*.safetensors"):
        assert load_pipeline(folder, lora={}, device="cpu").privaudit_base is None
        assert SavedPipeline(folder, lora={}, device="cpu").pipeline is not None
        file.unlink()
    stem = "pytorch_model" if part == "text_encoder" else "diffusion_pytorch_model"
    (folder / part / f"{stem}.bin").write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(GeneratorError, match="pickle that holds more than tensors") as caught:
        load_pipeline(folder, device="cpu")
    assert "weights_only" not in str(caught.value)
    assert not Path("/tmp/never").exists()


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"loras": "x"}, "knows no argument loras=.* did you mean lora=?"),
        ({"nonsense": 3}, "knows no argument nonsense="),
        ({"textual_inversions": None}, ".* did you mean textual_inversion="),
        ({"low_cpu_mem": True}, ".* did you mean low_cpu_mem_usage="),
        ({"requires_safety_cheker": False}, ".* did you mean requires_safety_checker="),
    ],
)
@pytest.mark.parametrize("load", [load_pipeline, SavedPipeline])
def test_a_keyword_that_nobody_reads_is_an_error(
    saved: Path, load: Any, keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(GeneratorError, match=f"{load.__name__} {said}"):
        load(saved, device="cpu", **keywords)


def test_keywords_of_the_pipeline_and_of_from_pretrained_are_taken(saved: Path) -> None:
    known = {"requires_safety_checker": False, "safety_checker": None, "image_encoder": None}
    assert load_pipeline(saved, device="cpu", use_safetensors=True, **known).unet is not None
    assert SavedPipeline(saved, device="cpu", low_cpu_mem_usage=False, **known).fingerprint


def test_a_component_that_is_a_text_is_an_error(saved: Path) -> None:
    with pytest.raises(
        GeneratorError, match=r"only unet= and transformer= take a path: load it wi"
    ):
        load_pipeline(saved, vae=str(saved / "vae"), device="cpu")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lora": "runs/stampz"}, r"lora 'runs/stampz' does not exist: did you mean 'runs/stamps'"),
        ({"lora": Path("no/such")}, r"lora 'no/such' does not exist: in '.*' is no 'no'"),
        ({"unet": "./runs/x"}, r"unet './runs/x' does not exist"),
        ({"textual_inversion": "word.bin"}, r"textual_inversion 'word.bin' does not exist"),
        ({"base": "modell"}, r"base 'modell' does not exist: did you mean 'model'\?"),
    ],
)
def test_a_path_that_does_not_exist_is_said_to_and_no_hub_is_asked(
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    said: str,
) -> None:
    (tmp_path / "runs" / "stamps").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(GeneratorError, match=said):
        load_pipeline(**{"base": saved, **given}, device="cpu")


def test_an_index_says_what_a_part_is(folder: Path) -> None:
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "MyUNet"}))
    with pytest.raises(GeneratorError, match=r"is a MyUNet, which diffusers .* does not have"):
        load_pipeline(folder, unet=folder / "unet", device="cpu")


def test_an_adapter_that_lies_in_the_folder_must_be_given(
    saved: Path, folder: Path, tmp_path: Path
) -> None:
    for place in (folder, folder / "unet"):
        file = place / "pytorch_lora_weights.safetensors"
        save_file({"unet.x.lora_A.weight": torch.zeros(1)}, file)
        with pytest.raises(GeneratorError, match=r"is an adapter, .* give it too, lora='"):
            load_pipeline(folder, device="cpu")
        with pytest.raises(GeneratorError, match="is an adapter"):
            load_pipeline(folder, lora=tmp_path, device="cpu")
        with pytest.raises(
            GeneratorError, match=r"LoRA '.* cannot be loaded into"
        ):  # it is read, and does not fit
            load_pipeline(folder, lora=place, device="cpu")
        file.unlink()
    assert load_pipeline(folder, device="cpu").unet is not None
