"""PixArt and Sana: a transformer on latents that are small, and texts that are long."""

from __future__ import annotations

from typing import Any

from tests.zoo.images import vae
from tests.zoo.registry import Parts, builds
from tests.zoo.texts import decoder, t5, tokenizer

SMALL = {"height": 16, "width": 16, "use_resolution_binning": False}
SANA = SMALL | {"height": 32, "width": 32}
"""It wants a multiple of 32."""


def pixart_transformer(**given: Any) -> Any:
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel(
        **{
            "sample_size": 8,
            "num_layers": 2,
            "patch_size": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 3,
            "caption_channels": 32,
            "in_channels": 4,
            "cross_attention_dim": 24,
            "out_channels": 8,
            "attention_bias": True,
            "activation_fn": "gelu-approximate",
            "num_embeds_ada_norm": 1000,
            "norm_type": "ada_norm_single",
            "norm_elementwise_affine": False,
            "norm_eps": 1e-6,
            "use_additional_conditions": False,
            **given,
        }
    )


@builds("PixArtAlphaPipeline", "PixArt", **SMALL, max_sequence_length=96)
@builds("PixArtSigmaPipeline", "PixArt", **SMALL, max_sequence_length=96)
@builds("PixArtSigmaPAGPipeline", "Perturbed-attention guidance", **SMALL, max_sequence_length=96)
def pixart() -> Parts:
    from diffusers import DDIMScheduler

    tokens = tokenizer(end=True)
    return {
        "transformer": pixart_transformer(),
        "vae": vae(),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
        "scheduler": DDIMScheduler(),
    }


def sana_transformer(**given: Any) -> Any:
    from diffusers import SanaTransformer2DModel

    return SanaTransformer2DModel(
        **{
            "patch_size": 1,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 4,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 4,
            "cross_attention_dim": 8,
            "caption_channels": 8,
            "sample_size": 8,
            **given,
        }
    )


def deep_compression() -> Any:
    from diffusers import AutoencoderDC

    return AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )


@builds("SanaPipeline", "Sana", **SANA, max_sequence_length=96)
@builds("SanaPAGPipeline", "Perturbed-attention guidance", **SANA, max_sequence_length=96)
def sana() -> Parts:
    from diffusers import FlowMatchEulerDiscreteScheduler

    tokens = tokenizer(begin=True, length=1000)
    return {
        "transformer": sana_transformer(),
        "vae": deep_compression(),
        "text_encoder": decoder("Gemma2Model", tokens, 8),
        "tokenizer": tokens,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }


@builds("SanaSprintPipeline", "Sana", **SANA, max_sequence_length=96)
def sana_sprint() -> Parts:
    from diffusers import SCMScheduler

    return sana() | {
        "transformer": sana_transformer(qk_norm="rms_norm_across_heads", guidance_embeds=True),
        "scheduler": SCMScheduler(),
    }
