"""LoRA files of real layouts: used whole, or refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from privaudit import PipelineTarget, SavedPipeline
from privaudit.diffusion.adapters import adapters_of
from privaudit.errors import FineTuneError, GeneratorError
from privaudit.fingerprint import fingerprint_module
from privaudit.targets import as_target, load_pipeline
from privaudit.training.fine_tuning import finetune
from tests.parts.pipelines import tiny_pipeline

FILE = "pytorch_lora_weights.safetensors"
STEPS: dict[str, Any] = {"steps": 2, "learning_rate": 1e-2, "progress": False, "lora_rank": 2}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and a LoRA of it that diffusers wrote."""
    import emoji_sets

    folder = tmp_path_factory.mktemp("adapters")
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(folder / "base")
    finetune(pipeline, emoji_sets.twemoji("member")[:4], **STEPS).save_lora(folder / "lora")
    return folder


def unet_of(folder: Path, lora: Path) -> str:
    return fingerprint_module(load_pipeline(folder / "base", lora=lora, device="cpu").unet)


def kohya(tensors: Tensors) -> Tensors:
    """What kohya's scripts write: flat names, and an alpha of half the rank."""
    named: Tensors = {}
    for key, value in tensors.items():
        path, _, end = key.removeprefix("unet.").partition(".lora_")
        flat = "lora_unet_" + path.replace(".", "_")
        named[f"{flat}.lora_{ {'A': 'down', 'B': 'up'}[end[0]] }.weight"] = value
        named[f"{flat}.alpha"] = torch.tensor(1.0)
    return named


def replaced(old: str, new: str) -> Any:
    return lambda tensors: {key.replace(old, new): value for key, value in tensors.items()}


def half_misspelt(tensors: Tensors) -> Tensors:
    keys = list(tensors)
    return {
        key.replace("attn1", "attention1") if keys.index(key) % 2 else key: value
        for key, value in tensors.items()
    }


def zeros(tensors: Tensors) -> Tensors:
    return {k: v * 0 if "lora_B" in k else v for k, v in tensors.items()}


def with_dora(tensors: Tensors) -> Tensors:
    key = next(iter(tensors)).replace(".lora_A.weight", ".dora_scale")
    return {**tensors, key: torch.ones(16)}


def and_one_more(tensors: Tensors) -> Tensors:
    return {**tensors, "text_encoder_2.q.lora_A.weight": torch.ones(2, 4)}


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors,
        replaced("unet.", ""),
        replaced("unet.", "module."),
        replaced("unet.", "unet._orig_mod."),
        replaced("_A.weight", "_A.default.weight"),
    ],
    ids=["diffusers", "no prefix", "parallel", "compiled", "state_dict"],
)
def test_layouts_that_are_certain_load_whole(made: Path, tmp_path: Path, change: Any) -> None:
    save_file(change(load_file(made / "lora" / FILE)), tmp_path / FILE)
    expected = unet_of(made, made / "lora")
    assert unet_of(made, tmp_path) == expected
    assert unet_of(made, tmp_path / FILE) == expected
    base = load_pipeline(made / "base", device="cpu")
    assert fingerprint_module(base.unet) != expected


def test_kohya_files_load_with_their_alphas(made: Path, tmp_path: Path) -> None:
    tensors = load_file(made / "lora" / FILE)
    # diffusers' converter takes attention alone
    attention = {k: v for k, v in tensors.items() if "attn" in k}
    save_file(kohya(attention), tmp_path / "kohya.safetensors")
    halved = {k: v * 0.5 if "lora_B" in k else v for k, v in attention.items()}
    save_file(halved, tmp_path / "halved.safetensors")
    here, there = (
        load_pipeline(made / "base", lora=tmp_path / name, device="cpu").unet.state_dict()
        for name in ("kohya.safetensors", "halved.safetensors")
    )
    assert all(torch.allclose(here[key], there[key], atol=1e-6) for key in here)


@pytest.mark.parametrize("alpha", [2, 8])
def test_what_peft_saves_is_as_strong_as_peft_had_it(
    made: Path, tmp_path: Path, alpha: int
) -> None:
    unet = load_pipeline(made / "base", device="cpu").unet
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = get_peft_model(
            copy.deepcopy(unet),
            LoraConfig(r=2, lora_alpha=alpha, target_modules=["to_q"], init_lora_weights=False),
        )
    model.save_pretrained(tmp_path)
    expected = model.merge_and_unload().state_dict()
    loaded = load_pipeline(made / "base", lora=tmp_path, device="cpu").unet.state_dict()
    assert all(torch.allclose(loaded[key], expected[key], atol=1e-5) for key in expected)
    changed = [key for key in expected if not torch.equal(expected[key], unet.state_dict()[key])]
    assert changed
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(GeneratorError, match=r"beside it is no adapter_config.json"):
        load_pipeline(made / "base", lora=tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replaced("unet.", "transformer."), "like diffusers', for a pipeline with a transformer"),
        (replaced("unet.", "diffusion_model."), "its keys look like ComfyUI's"),
        (half_misspelt, "keys of the LoRA .* are of no use to StableDiffusionPipeline"),
        (replaced("attn1", "attention1"), "attention1"),
        (zeros, "changes no weight of StableDiffusionPipeline: its layers are zeros"),
        (with_dora, "1 of .* a DoRA's that diffusers does not convert"),
        (and_one_more, r"1 of .* of no use .*text_encoder_2.q.lora_A.weight"),
    ],
    ids=["transformer", "comfy", "half", "misspelt", "zeros", "dora", "more"],
)
def test_a_file_that_is_not_used_whole_is_an_error(
    made: Path, tmp_path: Path, change: Any, said: str
) -> None:
    save_file(change(load_file(made / "lora" / FILE)), tmp_path / FILE)
    with pytest.raises(GeneratorError, match=said):
        load_pipeline(made / "base", lora=tmp_path, device="cpu")
    saved = as_target(SavedPipeline(made / "base", lora=tmp_path, device="cpu"))
    with pytest.raises(GeneratorError, match=said):
        saved.generate(["a"], [1])  # type: ignore[attr-defined]


def test_a_part_that_the_pipeline_lacks_is_an_error(made: Path) -> None:
    unet = made / "base" / "unet"
    with pytest.raises(GeneratorError, match="has no transformer, so the one given would not be"):
        load_pipeline(made / "base", transformer=unet, device="cpu")
    assert load_pipeline(made / "base", unet=unet, device="cpu").unet is not None


def test_adapters_without_effect_are_refused_unless_allowed() -> None:
    pipeline = tiny_pipeline()
    with torch.random.fork_rng(devices=[]):
        pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"]), "own")
    PipelineTarget(pipeline)
    scaled = {"cross_attention_kwargs": {"scale": 0.0}}
    with pytest.raises(GeneratorError, match=r"1 of 1 adapters .* have no effect"):
        PipelineTarget(pipeline, **scaled)
    pipeline.unet.disable_adapters()
    with pytest.raises(GeneratorError, match="'own' of the unet is switched off"):
        PipelineTarget(pipeline)
    with pytest.raises(GeneratorError, match="switched off"):
        as_target(pipeline)
    allowed = PipelineTarget(pipeline, allow_inactive_adapters=True)
    assert allowed.describe()["adapters"][0]["active"] is False
    pipeline.unet.enable_adapters()
    pipeline.unet.set_adapters("own", 0.0)
    with pytest.raises(GeneratorError, match="is at scale 0"):
        PipelineTarget(pipeline)
    PipelineTarget(tiny_pipeline())  # none at all


def test_a_fused_adapter_is_in_what_a_target_says(made: Path) -> None:
    pipeline = load_pipeline(made / "base", lora=made / "lora", device="cpu")
    assert adapters_of(pipeline) == []
    (adapter,) = PipelineTarget(pipeline).describe()["adapters"]
    assert adapter["component"] == "unet"
    assert adapter["fused"]
    json.dumps(adapter)


@pytest.mark.slow
def test_a_fine_tune_of_a_pipeline_with_an_adapter_is_refused(emoji: dict[str, Any]) -> None:
    tuned = finetune(tiny_pipeline(), emoji["member"][:2], **{**STEPS, "steps": 1})
    assert as_target(tuned).fingerprint == as_target(tuned.pipeline).fingerprint
    with pytest.raises(FineTuneError, match=r"1 adapters are loaded .*fuse_lora"):
        finetune(tuned.pipeline, emoji["member"][:2], **STEPS)
    tuned.pipeline.fuse_lora()
    tuned.pipeline.unload_lora_weights()
    finetune(tuned.pipeline, emoji["member"][:2], **{**STEPS, "steps": 1})


@pytest.mark.slow
def test_the_adapter_of_a_compiled_unet_is_written_as_any(
    made: Path, tmp_path: Path, emoji: dict[str, Any]
) -> None:
    pipeline = tiny_pipeline()
    pipeline.unet = torch.compile(pipeline.unet)
    tuned = finetune(pipeline, emoji["member"][:4], **STEPS)
    tuned.pipeline.unet = torch.compile(tuned.pipeline.unet)
    tuned.save_lora(tmp_path)
    assert load_file(tmp_path / FILE).keys() == load_file(made / "lora" / FILE).keys()
    assert unet_of(made, tmp_path) == unet_of(made, made / "lora")
