"""Autoencoders of a few thousand parameters."""

from __future__ import annotations

from typing import Any


def vae(latents: int = 4, blocks: int = 2, **given: Any) -> Any:
    """Build the usual autoencoder: its latents are 2 ** (blocks - 1) times smaller."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        **{
            "block_out_channels": (8,) * blocks,
            "down_block_types": ("DownEncoderBlock2D",) * blocks,
            "up_block_types": ("UpDecoderBlock2D",) * blocks,
            "latent_channels": latents,
            "norm_num_groups": 4,
            "sample_size": 16,
            **given,
        }
    )


def qwen_vae(latents: int = 4) -> Any:
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=latents * 6,
        z_dim=latents,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1] * latents,
        latents_std=[1.1] * latents,
    )
