"""Kandinsky 2.1 and 2.2: a prior from text to image embeddings, and a decoder, in one pipeline."""

from __future__ import annotations

from typing import Any

from tests.zoo.registry import Parts, builds
from tests.zoo.texts import clip, clip_text

FAMILY = "Kandinsky 2"


def image_encoder(width: int = 32) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width,
            image_size=32,
            projection_dim=width,
            intermediate_size=32,
            num_attention_heads=2,
            num_channels=3,
            num_hidden_layers=1,
            patch_size=16,
        )
    )


def prior_parts() -> Parts:
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor

    tokens = clip()
    return {
        "prior_prior": PriorTransformer(
            num_attention_heads=2,
            attention_head_dim=12,
            embedding_dim=32,
            num_layers=1,
            num_embeddings=tokens.model_max_length,
        ),
        "prior_image_encoder": image_encoder(),
        "prior_text_encoder": clip_text(tokens, projected=True),
        "prior_tokenizer": tokens,
        "prior_scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            num_train_timesteps=1000,
            clip_sample_range=5.0,
        ),
        "prior_image_processor": CLIPImageProcessor(size=32, crop_size=32),
    }


def decoder_unet(**given: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 8,  # the variance too
            "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "encoder_hid_dim": 32,
            "encoder_hid_dim_type": "image_proj",
            "addition_embed_type": "image",
            "cross_attention_dim": 32,
            "attention_head_dim": 4,
            "norm_num_groups": 8,
            "resnet_time_scale_shift": "scale_shift",
            "class_embed_type": None,
            **given,
        }
    )


def movq() -> Any:
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(32, 32),  # its attention has 32 groups
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        norm_num_groups=8,
        num_vq_embeddings=12,
        vq_embed_dim=4,
        latent_channels=4,
        layers_per_block=1,
        norm_type="spatial",
    )


def ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


@builds("KandinskyV22CombinedPipeline", FAMILY, height=64, width=64, prior_num_inference_steps=2)
def kandinsky_22() -> Parts:
    return prior_parts() | {"unet": decoder_unet(), "scheduler": ddim(), "movq": movq()}
