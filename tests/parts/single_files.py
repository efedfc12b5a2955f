"""Whole models in one file, with the names that their first authors gave to weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
    "mid_block.attentions.0.to_q": "mid.attn_1.q",
    "mid_block.attentions.0.to_k": "mid.attn_1.k",
    "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out",
    "conv_norm_out": "norm_out",
}


def write_single_file(pipeline: Any, file: Path) -> None:
    """Write a pipeline of Stable Diffusion 1 as the file that its authors published was written."""
    layers = pipeline.unet.config.layers_per_block + 1
    tensors = {
        f"model.diffusion_model.{_unet(name, layers)}": value
        for name, value in pipeline.unet.state_dict().items()
    }
    n_blocks = len(pipeline.vae.config.block_out_channels)
    for name, value in pipeline.vae.state_dict().items():
        matrix = ".attn_1." in (named := _vae(name, n_blocks)) and value.ndim == 2
        tensors[f"first_stage_model.{named}"] = value[..., None, None] if matrix else value
    for name, value in pipeline.text_encoder.state_dict().items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors[f"cond_stage_model.transformer.{whole}"] = value
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, file)


def _unet(name: str, layers: int) -> str:
    for ours, theirs in UNET.items():
        if name.startswith(f"{ours}."):
            return _resnet(name.replace(ours, theirs, 1))
    way, block, kind, layer, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name
    ).groups()  # type: ignore[union-attr]
    at = int(block) * layers + int(layer)
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * layers}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return f"output_blocks.{int(block) * layers + layers - 1}.2.{rest}"
    place = f"input_blocks.{at + 1}" if way == "down" else f"output_blocks.{at}"
    return _resnet(f"{place}.{int(kind == 'attentions')}.{rest}")


def _resnet(name: str) -> str:
    if ".transformer_blocks." in name:
        return name
    for ours, theirs in RESNET.items():
        name = re.sub(rf"\b{ours}\b(?=\.(weight|bias)$)", theirs, name)
    return name


def _vae(name: str, n_blocks: int) -> str:
    name = name.replace("conv_shortcut", "nin_shortcut")
    for ours, theirs in VAE.items():
        name = name.replace(ours, theirs)
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    for kind, theirs in (("resnets", "block"), ("upsamplers.0", "upsample")):
        name = re.sub(
            rf"up_blocks\.(\d+)\.{kind}",
            lambda m, theirs=theirs: f"up.{n_blocks - 1 - int(m[1])}.{theirs}",  # type: ignore[misc]
            name,
        )
    return name
