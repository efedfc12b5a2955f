"""LoRA files of trainers, for SD, SDXL and Flux: each weight is what its layout says, or an error.

What is expected is computed here: W + α/r · B A (Hu et al. 2022), layer by layer.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from privaudit.diffusion.adapters import fuse_adapter
from privaudit.errors import GeneratorError
from privaudit.targets.loading import check_used
from tests.parts.pipelines import tiny_flux, tiny_pipeline, tiny_sdxl

RANK, ALPHA = 2, 1.0
Tensors = dict[str, torch.Tensor]
Layers = dict[str, tuple[torch.Tensor, torch.Tensor]]
SD = (".to_q", ".to_v", ".to_out.0", ".conv1", ".proj_in", ".ff.net.2", ".time_emb_proj")
TEXT = (".q_proj", ".out_proj", ".fc1")
SGM = {
    "down_blocks_1_attentions_0_": "input_blocks_3_1_",
    "mid_block_attentions_0_": "middle_block_1_",
    "up_blocks_0_attentions_0_": "output_blocks_0_1_",
    "up_blocks_0_attentions_1_": "output_blocks_1_1_",
}
"""What Stability's code calls the blocks of a U-Net of this size."""


@pytest.fixture(scope="module")
def bases() -> dict[str, Any]:
    return {"sd": tiny_pipeline(), "sdxl": tiny_sdxl(), "flux": tiny_flux()}


def layers_of(module: Any, ends: tuple[str, ...]) -> Layers:
    """Draw A and B for the layers of a module whose names end so."""
    draws = torch.Generator().manual_seed(0)
    found: Layers = {}
    for name, layer in module.named_modules():
        if name.endswith(ends) and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            out, *rest = layer.weight.shape
            up = [out, RANK, *([1, 1] if len(rest) > 1 else [])]
            found[name] = tuple(  # type: ignore[assignment]
                torch.randn(shape, generator=draws) * 0.1 for shape in ([RANK, *rest], up)
            )
    assert found
    return found


def kohya(layers: Layers, prefix: str, within: str = "") -> Tensors:
    tensors: Tensors = {}
    for name, (down, up) in layers.items():
        whole = name if name.startswith(within) else within + name
        flat = prefix + whole.replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        tensors[f"{flat}.alpha"] = torch.tensor(ALPHA)
    return tensors


def peft(layers: Layers, prefix: str) -> Tensors:
    ends = ("lora_A", "lora_B")
    return {
        f"{prefix}{name}.{end}.weight": value
        for name, pair in layers.items()
        for end, value in zip(ends, pair, strict=True)
    }


def fused(base: Any, tensors: Tensors, folder: Path) -> Any:
    file = folder / "adapter.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, file)
    pipeline = type(base)(**{k: copy.deepcopy(v) for k, v in base.components.items()})
    fuse_adapter(pipeline, file)
    return pipeline


def check(before: Any, after: Any, layers: Layers, scale: float) -> None:
    """Compare all weights of a module with what they must be, those of other layers too."""
    there, here = before.state_dict(), after.state_dict()
    assert there.keys() == here.keys()
    for name, weight in there.items():
        expected = weight
        layer = name.removesuffix(".weight")
        if name.endswith(".weight") and layer in layers:
            down, up = layers[layer]
            change = up.flatten(1) @ down.flatten(1)
            expected = weight + scale * change.reshape(weight.shape)
            assert not torch.allclose(expected, weight, atol=1e-4)
        torch.testing.assert_close(here[name], expected, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("which", ["sd", "sdxl"])
def test_kohya_files_are_as_strong_as_their_alphas_say(
    bases: dict[str, Any], tmp_path: Path, which: str
) -> None:
    base = bases[which]
    unet = layers_of(base.unet, SD)
    text = {"text_encoder": layers_of(base.text_encoder, TEXT)}
    prefixes = {"text_encoder": "lora_te_" if which == "sd" else "lora_te1_"}
    if which == "sdxl":
        text["text_encoder_2"] = layers_of(base.text_encoder_2, TEXT)
        prefixes["text_encoder_2"] = "lora_te2_"
    tensors = kohya(unet, "lora_unet_")
    for part, layers in text.items():
        tensors |= kohya(layers, prefixes[part], "text_model.")
    pipeline = fused(base, tensors, tmp_path)
    check(base.unet, pipeline.unet, unet, ALPHA / RANK)
    for part, layers in text.items():
        check(getattr(base, part), getattr(pipeline, part), layers, ALPHA / RANK)


def test_kohya_files_of_sdxl_with_stabilitys_names(bases: dict[str, Any], tmp_path: Path) -> None:
    base = bases["sdxl"]
    layers = layers_of(base.unet, (".to_q", ".to_out.0", ".ff.net.2"))
    tensors = {}
    for key, value in kohya(layers, "lora_unet_").items():
        (ours,) = [name for name in SGM if f"lora_unet_{name}" in key]
        tensors[key.replace(ours, SGM[ours])] = value
    check(base.unet, fused(base, tensors, tmp_path).unet, layers, ALPHA / RANK)


FLUX = (".attn.to_q", ".attn.to_out.0", ".attn.add_k_proj")


@pytest.mark.parametrize(
    ("layout", "scale"),
    [
        (lambda layers: peft(layers, "transformer."), 1.0),
        (lambda layers: peft(layers, ""), 1.0),
        (lambda layers: kohya(layers, "lora_transformer_"), ALPHA / RANK),
    ],
    ids=["ai-toolkit", "no prefix", "OneTrainer"],
)
def test_layouts_of_flux_trainers(
    bases: dict[str, Any], tmp_path: Path, layout: Any, scale: float
) -> None:
    base = bases["flux"]
    layers = layers_of(base.transformer, FLUX)
    pipeline = fused(base, layout(layers), tmp_path)
    check(base.transformer, pipeline.transformer, layers, scale)


def test_a_unet_for_a_pipeline_without_one_is_an_error(bases: dict[str, Any]) -> None:
    unet = bases["sd"].unet
    with pytest.raises(GeneratorError, match="FluxPipeline has no unet, so the one given would"):
        check_used(bases["flux"], {"unet": unet})
    check_used(bases["sd"], {"unet": unet})


def flux_kohya(width: int = 32) -> Tensors:
    """What kohya's scripts write for Flux: Q, K and V are one layer there."""
    shapes = {
        "double_blocks_0_img_attn_qkv": (width, 3 * width),
        "double_blocks_0_img_mlp_0": (width, 4 * width),
        "single_blocks_0_linear2": (5 * width, width),
    }
    draws = torch.Generator().manual_seed(0)
    layers: Layers = {
        name: (torch.randn(RANK, i, generator=draws), torch.randn(o, RANK, generator=draws))
        for name, (i, o) in shapes.items()
    }
    return kohya(layers, "lora_unet_")


def test_kohya_files_of_flux(bases: dict[str, Any], tmp_path: Path) -> None:
    base, tensors = bases["flux"], flux_kohya()
    there, here = base.transformer, fused(base, tensors, tmp_path).transformer
    name = "lora_unet_double_blocks_0_img_attn_qkv.lora_"
    change = tensors[f"{name}up.weight"] @ tensors[f"{name}down.weight"] * ALPHA / RANK
    for part, expected in zip(("to_q", "to_k", "to_v"), change.chunk(3), strict=True):
        before, after = (
            getattr(model.transformer_blocks[0].attn, part).weight for model in (there, here)
        )
        torch.testing.assert_close(after - before, expected, atol=1e-4, rtol=1e-4)


def test_a_dora_is_used_whole(bases: dict[str, Any], tmp_path: Path) -> None:
    base = bases["sd"]
    unet = copy.deepcopy(base.unet)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet.add_adapter(
            LoraConfig(
                r=2, lora_alpha=2, target_modules=["to_q"], use_dora=True, init_lora_weights=False
            )
        )
    for name, value in unet.named_parameters():
        if "lora_magnitude_vector" in name:  # as training leaves it
            value.data *= 1.5
    type(base).save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(unet))
    pipeline = type(base)(**{k: copy.deepcopy(v) for k, v in base.components.items()})
    fuse_adapter(pipeline, tmp_path)
    inputs = torch.randn(2, 4, 8, 8), torch.tensor(5), torch.randn(2, 3, 16)
    one, other, plain = (model(*inputs).sample for model in (unet, pipeline.unet, base.unet))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(one, plain, atol=1e-2)


def lycoris(kinds: tuple[str, ...]) -> Any:
    def change(tensors: Tensors) -> Tensors:
        names = [key.split(".")[0] for key in tensors if key.endswith("alpha")]
        return {f"{name}.{kind}": torch.ones(4, 4) for name in names for kind in kinds}

    return change


LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


@pytest.mark.parametrize("which", ["sd", "sdxl", "flux"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lycoris(LOHA), "its keys look like LyCORIS'"),
        (lycoris(("lokr_w1", "lokr_w2")), "its keys look like LyCORIS'"),
        (
            lambda ts: {**ts, "lora_unet_double_blocks_9_bogus.lora_down.weight": torch.ones(2, 4)},
            "kohya's",
        ),
        (
            lambda ts: {
                **ts,
                **{
                    key.replace("lora_down.weight", "dora_scale"): torch.ones(value.shape[1])
                    for key, value in ts.items()
                    if "lora_down" in key
                },
            },
            "a DoRA's that diffusers does not convert",
        ),
    ],
    ids=["LoHa", "LoKr", "surplus", "DoRA of kohya"],
)
def test_what_diffusers_does_not_convert_is_an_error_that_names_the_layout(
    bases: dict[str, Any], tmp_path: Path, which: str, change: Any, said: str
) -> None:
    base = bases[which]
    plain = flux_kohya() if which == "flux" else kohya(layers_of(base.unet, SD), "lora_unet_")
    with pytest.raises(GeneratorError, match=said):
        fused(base, change(plain), tmp_path)


def test_a_part_that_a_converter_drops_is_an_error(bases: dict[str, Any], tmp_path: Path) -> None:
    """Kohya's T5 for Flux: diffusers warns and drops it, and repeats other tensors meanwhile."""
    t5 = {"encoder.block.0.layer.0.SelfAttention.q": (torch.ones(2, 16), torch.ones(16, 2))}
    tensors = flux_kohya() | kohya(t5, "lora_te2_")
    with pytest.raises(GeneratorError, match=r"2 of 12 keys .*lora_te2_encoder_block_0"):
        fused(bases["flux"], tensors, tmp_path)
