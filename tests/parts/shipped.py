"""Pipelines of the zoo as owners have them: the base in a folder, the fine-tune in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

import tests.zoo.families  # noqa: F401
from tests.parts.original_layouts import original_transformer
from tests.parts.single_files import original_unet, write_single_file, write_weights
from tests.zoo.registry import ZOO
from tests.zoo.stable_diffusion import unet
from tests.zoo.texts import clip, clip_text

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = {
    "sd-1.5": ("StableDiffusionPipeline", "whole"),
    "sdxl": ("StableDiffusionXLPipeline", "whole"),
    "sd-3.5": ("StableDiffusion3Pipeline", "whole"),
    "z-image": ("ZImagePipeline", "authors"),
    "qwen-image": ("QwenImagePipeline", "authors"),
    "sana": ("SanaPipeline", "authors"),
    "flux": ("FluxPipeline", "diffusers"),
    "chroma": ("ChromaPipeline", "diffusers"),
    "pixart": ("PixArtSigmaPipeline", "diffusers"),
}
"""Names on the page of what can be loaded: the class, and what is in the file, by whose names."""
WIDTHS = (16, 48)
"""Of the two text encoders that diffusers tells apart by them."""


def built(name: str, seed: int) -> Any:
    """Build a pipeline of the zoo, its text encoders of different widths as they really are."""
    pipeline = ZOO[name].build(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in ("StableDiffusionXLPipeline", "StableDiffusion3Pipeline"):
            first, second = (clip_text(clip(), width, projected=True).eval() for width in WIDTHS)
            pipeline.register_modules(text_encoder=first, text_encoder_2=second)
        if name == "StableDiffusionXLPipeline":
            pipeline.register_modules(
                text_encoder=clip_text(clip(), WIDTHS[0]).eval(),
                unet=unet(
                    64,
                    addition_embed_type="text_time",
                    addition_time_embed_dim=8,
                    projection_class_embeddings_input_dim=48 + 6 * 8,
                ).eval(),
            )
        if name == "StableDiffusion3Pipeline":  # its authors read no projection of the first
            pipeline.text_encoder.text_projection.weight.data = torch.eye(WIDTHS[0])
    return pipeline


def denoiser(pipeline: Any) -> str:
    return "transformer" if hasattr(pipeline, "transformer") else "unet"


def original_denoiser(pipeline: Any) -> dict[str, torch.Tensor]:
    return (original_unet if hasattr(pipeline, "unet") else original_transformer)(pipeline)


def write_shipped(folder: Path) -> None:
    """Write the models that the page of what can be loaded has, each as a folder and a file."""
    for name, (kind, names) in SHIPPED.items():
        built(kind, 0).save_pretrained(folder / name)
        tuned, file = built(kind, 1), folder / f"{name}-faces.safetensors"
        if names == "whole":
            write_single_file(tuned, file)
        else:
            own = names == "diffusers"
            write_weights(tuned.transformer.state_dict() if own else original_denoiser(tuned), file)
