"""Flux, and the transformers that were made after it."""

from __future__ import annotations

from typing import Any

from tests.zoo.images import vae
from tests.zoo.registry import Parts, builds, flow
from tests.zoo.texts import (
    bert,
    clip,
    clip_text,
    decoder,
    mistral_3,
    processor,
    qwen_vl,
    t5,
    tokenizer,
)

SMALL = {"height": 16, "width": 16}


@builds("FluxPipeline", "Flux", **SMALL, max_sequence_length=96)
def flux() -> Parts:
    from diffusers import FluxTransformer2DModel

    tokens, long = clip(), tokenizer(end=True)
    return {
        "transformer": FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
        "vae": vae(shift_factor=0.06),
        "text_encoder": clip_text(tokens),
        "tokenizer": tokens,
        "text_encoder_2": t5(long),
        "tokenizer_2": long,
        "scheduler": flow(),
    }


@builds("ChromaPipeline", "Chroma", **SMALL, max_sequence_length=96)
def chroma() -> Parts:
    from diffusers import ChromaTransformer2DModel

    tokens = tokenizer(end=True)
    return {
        "transformer": ChromaTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8),
            approximator_hidden_dim=32,
            approximator_layers=1,
            approximator_num_channels=16,
        ),
        "vae": vae(shift_factor=0.06),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("AuraFlowPipeline", "AuraFlow", **SMALL, max_sequence_length=96)
def aura_flow() -> Parts:
    from diffusers import AuraFlowTransformer2DModel

    tokens = tokenizer(end=True)
    return {
        "transformer": AuraFlowTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=32,
            out_channels=4,
            pos_embed_max_size=64,
        ),
        "vae": vae(),
        "text_encoder": t5(tokens, kind="UMT5"),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("BriaPipeline", "Bria", **SMALL, max_sequence_length=96)
def bria() -> Parts:
    from diffusers import BriaTransformer2DModel

    tokens = tokenizer(end=True)
    return {
        "transformer": BriaTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=None,
            axes_dims_rope=[0, 4, 4],
        ),
        "vae": vae(shift_factor=0.0),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


def flux_2_transformer(**given: Any) -> Any:
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        **{
            "patch_size": 1,
            "in_channels": 16,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "timestep_guidance_channels": 256,
            "axes_dims_rope": (4, 4, 4, 4),
            **given,
        }
    )


def flux_2_vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=16,
    )


LAYERS = {"max_sequence_length": 96, "text_encoder_out_layers": (1,)}


# What the system says comes first, and is longer than 96 tokens: the prompt would be cut off.
@builds("Flux2Pipeline", "Flux 2", **SMALL, **LAYERS | {"max_sequence_length": 512})
def flux_2() -> Parts:
    chat = processor()
    return {
        "transformer": flux_2_transformer(),
        "vae": flux_2_vae(),
        "text_encoder": mistral_3(chat.tokenizer),
        "tokenizer": chat,
        "scheduler": flow(),
    }


@builds("Flux2KleinPipeline", "Flux 2", **SMALL, **LAYERS)
def flux_2_klein() -> Parts:
    tokens = tokenizer()
    return {
        "transformer": flux_2_transformer(guidance_embeds=False),
        "vae": flux_2_vae(),
        "text_encoder": decoder("Qwen3ForCausalLM", tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("FluxKontextPipeline", "Flux", **SMALL, max_sequence_length=96, max_area=256)
def flux_kontext() -> Parts:
    return flux() | {"image_encoder": None, "feature_extractor": None}


@builds("HunyuanDiTPipeline", "Hunyuan-DiT", **SMALL, use_resolution_binning=False)
@builds(
    "HunyuanDiTPAGPipeline", "Perturbed-attention guidance", **SMALL, use_resolution_binning=False
)
def hunyuan_dit() -> Parts:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel

    short, long = tokenizer(length=77), tokenizer(end=True, length=256)
    return {
        "transformer": HunyuanDiT2DModel(
            sample_size=8,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            in_channels=4,
            cross_attention_dim=32,
            cross_attention_dim_t5=32,
            pooled_projection_dim=16,
            hidden_size=24,
            activation_fn="gelu-approximate",
        ),
        "vae": vae(),
        "text_encoder": bert(short),
        "tokenizer": short,
        "text_encoder_2": t5(long),
        "tokenizer_2": long,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        "scheduler": DDPMScheduler(),
    }


@builds("HunyuanImagePipeline", "HunyuanImage", **SMALL, own={"tokenizer_max_length": 96})
def hunyuan_image() -> Parts:
    from diffusers import (
        AutoencoderKLHunyuanImage,
        FlowMatchEulerDiscreteScheduler,
        HunyuanImageTransformer2DModel,
    )
    from diffusers.guiders import AdaptiveProjectedMixGuidance

    tokens, glyphs = tokenizer(length=2000), tokenizer(end=True)
    return {
        "transformer": HunyuanImageTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=4,
            attention_head_dim=8,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=(1, 1),
            guidance_embeds=False,
            text_embed_dim=32,
            text_embed_2_dim=32,
            rope_axes_dim=(4, 4),
        ),
        "vae": AutoencoderKLHunyuanImage(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(32, 32),
            layers_per_block=1,
            scaling_factor=0.476986,
            spatial_compression_ratio=2,
            sample_size=16,
        ),
        "text_encoder": qwen_vl(tokens),
        "tokenizer": tokens,
        "text_encoder_2": t5(glyphs),
        "tokenizer_2": glyphs,
        "guider": AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=2),
        "ocr_guider": AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=3),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }
