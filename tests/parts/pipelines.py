"""Real pipelines of some hundred thousand random parameters."""

from __future__ import annotations

from typing import Any

import torch

from tests.parts import AUDITS


def tiny_pipeline(seed: int = 0, **scheduler: Any) -> Any:
    """Build a Stable Diffusion pipeline of 0.2 M random parameters, on 16×16 images."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(AUDITS / "models" / "base" / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8, 8),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=16,
            ).eval(),
            text_encoder=CLIPTextModel(text).eval(),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                down_block_types=("CrossAttnDownBlock2D",) * 2,
                up_block_types=("CrossAttnUpBlock2D",) * 2,
                cross_attention_dim=16,
                attention_head_dim=4,
                norm_num_groups=4,
            ).eval(),
            scheduler=DDIMScheduler(**scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_sdxl() -> Any:
    """Build a Stable Diffusion XL pipeline of as few parameters, with its two text encoders."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    small = tiny_pipeline()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = small.text_encoder.config.__class__(
            **{**small.text_encoder.config.to_dict(), "projection_dim": 16}
        )
        pipeline = StableDiffusionXLPipeline(
            vae=small.vae,
            text_encoder=small.text_encoder,
            text_encoder_2=CLIPTextModelWithProjection(config).eval(),
            tokenizer=small.tokenizer,
            tokenizer_2=small.tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=32,
                attention_head_dim=4,
                norm_num_groups=4,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=16 + 6 * 8,
            ).eval(),
            scheduler=small.scheduler,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_flux() -> Any:
    """Build a Flux pipeline of one block of each kind; its second text encoder is left out."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        FluxPipeline,
        FluxTransformer2DModel,
    )

    small = tiny_pipeline()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=False,
        )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=small.vae,
        text_encoder=small.text_encoder,
        tokenizer=small.tokenizer,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=transformer.eval(),
    )
