"""Stable Diffusion 1 to 3, and what is built of their parts."""

from __future__ import annotations

from typing import Any

from tests.zoo.images import vae
from tests.zoo.registry import Parts, builds
from tests.zoo.texts import clip, clip_text, t5, tokenizer


def unet(width: int = 32, **given: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "layers_per_block": 1,
            "block_out_channels": (16, 32),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": width,
            "attention_head_dim": 4,
            "norm_num_groups": 4,
            **given,
        }
    )


@builds("StableDiffusionPipeline", "Stable Diffusion 1 and 2")
@builds("StableDiffusionPAGPipeline", "Perturbed-attention guidance")
@builds("StableDiffusionSAGPipeline", "Stable Diffusion 1 and 2")
@builds("StableDiffusionPanoramaPipeline", "Stable Diffusion 1 and 2", height=16, width=16)
def stable_diffusion() -> Parts:
    from diffusers import DDIMScheduler

    tokens = clip()
    return {
        "vae": vae(),
        "text_encoder": clip_text(tokens),
        "tokenizer": tokens,
        "unet": unet(),
        "scheduler": DDIMScheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


@builds("LatentConsistencyModelPipeline", "Latent consistency models")
def latent_consistency() -> Parts:
    from diffusers import LCMScheduler

    return stable_diffusion() | {
        "unet": unet(time_cond_proj_dim=16),
        "scheduler": LCMScheduler(beta_schedule="scaled_linear"),
    }


@builds("StableDiffusionXLPipeline", "Stable Diffusion XL")
@builds("StableDiffusionXLPAGPipeline", "Perturbed-attention guidance")
def stable_diffusion_xl() -> Parts:
    from diffusers import EulerDiscreteScheduler

    tokens = clip()
    return {
        "vae": vae(),
        "text_encoder": clip_text(tokens),
        "text_encoder_2": clip_text(tokens, projected=True),
        "tokenizer": tokens,
        "tokenizer_2": clip(),
        "unet": unet(
            64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
        "scheduler": EulerDiscreteScheduler(),
    }


@builds("StableDiffusion3Pipeline", "Stable Diffusion 3", max_sequence_length=96)
@builds("StableDiffusion3PAGPipeline", "Perturbed-attention guidance")
def stable_diffusion_3() -> Parts:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    tokens, long = clip(), tokenizer(end=True)
    return {
        "transformer": SD3Transformer2DModel(
            sample_size=8,
            patch_size=1,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=64,
            pooled_projection_dim=64,
            out_channels=4,
        ),
        "vae": vae(shift_factor=0.06),
        "text_encoder": clip_text(tokens, projected=True),
        "tokenizer": tokens,
        "text_encoder_2": clip_text(tokens, projected=True),
        "tokenizer_2": clip(),
        "text_encoder_3": t5(long, 64),
        "tokenizer_3": long,
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }
