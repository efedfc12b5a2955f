"""Whole models in one file, with the names that their first authors gave to weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.parts.original_layouts import original_clip, original_open_clip, original_transformer

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
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
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


def write_single_file(pipeline: Any, file: Path, *, without: str = "") -> None:
    """Write a pipeline as the file that its authors published was written.

    Parameters
    ----------
    pipeline
        Of Stable Diffusion 1, XL or 3, of Flux, or, without its text encoder, of Z-Image.
    file
        Where.
    without
        Beginning of the names of weights to leave out.
    """
    write_weights(
        {n: v for n, v in original(pipeline).items() if not (without and n.startswith(without))},
        file,
    )


def write_weights(weights: dict[str, torch.Tensor], file: Path) -> None:
    """Write weights, each by itself: safetensors keeps no two that share memory."""
    save_file({name: value.contiguous().clone() for name, value in weights.items()}, file)


def original(pipeline: Any) -> dict[str, torch.Tensor]:
    """Return all weights of a pipeline by the names that its authors gave them."""
    kind = type(pipeline).__name__
    if kind == "StableDiffusionPipeline":
        texts = original_clip(pipeline.text_encoder, "cond_stage_model.transformer.")
    elif kind == "StableDiffusionXLPipeline":
        texts = original_clip(pipeline.text_encoder, "conditioner.embedders.0.transformer.")
        second = original_open_clip(pipeline.text_encoder_2, "conditioner.embedders.1.model.")
        texts |= second | {"conditioner.embedders.1.model.logit_scale": torch.tensor(4.6)}
    elif kind == "ZImagePipeline":
        texts = {}  # a Qwen, which diffusers does not look for in a file
    else:
        texts = original_clip(pipeline.text_encoder, "text_encoders.clip_l.transformer.")
        t5 = pipeline.text_encoder_2
        if kind == "StableDiffusion3Pipeline":
            texts |= original_clip(t5, "text_encoders.clip_g.transformer.")
            t5 = pipeline.text_encoder_3
        long = t5.state_dict() if t5 else {}
        long.pop("encoder.embed_tokens.weight", None)  # the same as shared.weight
        texts |= {f"text_encoders.t5xxl.transformer.{name}": v for name, v in long.items()}
    denoiser = original_unet(pipeline) if hasattr(pipeline, "unet") else None
    if denoiser is None:
        denoiser = original_transformer(pipeline)
    return {
        **{f"model.diffusion_model.{name}": value for name, value in denoiser.items()},
        **{f"first_stage_model.{n}": value for n, value in original_vae(pipeline).items()},
        **texts,
    }


def original_unet(pipeline: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a pipeline's U-Net by the names of latent diffusion's authors."""
    layers = pipeline.unet.config.layers_per_block + 1
    weights = pipeline.unet.state_dict()
    attentive = {name.split(".attentions.")[0] for name in weights if ".attentions." in name}
    return {_unet(name, layers, attentive): value for name, value in weights.items()}


def original_vae(pipeline: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a pipeline's autoencoder, its attention as convolutions."""
    n_blocks = len(pipeline.vae.config.block_out_channels)
    made = {}
    for name, value in pipeline.vae.state_dict().items():
        matrix = ".attn_1." in (named := _vae(name, n_blocks)) and value.ndim == 2
        made[named] = value[..., None, None] if matrix else value
    return made


def _unet(name: str, layers: int, attentive: set[str]) -> str:
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
        second = 1 + (f"up_blocks.{block}" in attentive)
        return f"output_blocks.{int(block) * layers + layers - 1}.{second}.{rest}"
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
