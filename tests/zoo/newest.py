"""Pipelines of 2025 and 2026 beside the families: Krea 2, and the cached Flux 2."""

from __future__ import annotations

from typing import Any

from tests.zoo.flux import LAYERS, SMALL, flux_2_klein
from tests.zoo.images import qwen_vae
from tests.zoo.registry import Parts, builds
from tests.zoo.texts import tokenizer


def qwen_3_vl(tokens: Any, width: int = 16) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLModel

    return Qwen3VLModel(
        Qwen3VLConfig(
            text_config={
                "vocab_size": len(tokens),
                "hidden_size": width,
                "intermediate_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "pad_token_id": tokens.pad_token_id,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": width,
            },
        )
    )


@builds("Krea2Pipeline", "Krea 2", height=32, width=32, max_sequence_length=96)
def krea_2() -> Parts:
    from diffusers import FlowMatchEulerDiscreteScheduler, Krea2Transformer2DModel

    tokens = tokenizer(length=1000)
    return {
        "transformer": Krea2Transformer2DModel(
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=32,
            timestep_embed_dim=8,
            text_hidden_dim=16,
            num_text_layers=3,
            text_num_attention_heads=2,
            text_num_key_value_heads=1,
            text_intermediate_size=16,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 2, 2),
            rope_theta=1000.0,
        ),
        "vae": qwen_vae(),
        "text_encoder": qwen_3_vl(tokens),
        "tokenizer": tokens,
        "text_encoder_select_layers": (0, 1, 2),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_shift=1.15),
    }


@builds("Flux2KleinKVPipeline", "Flux 2", **SMALL, **LAYERS)
def flux_2_klein_cached() -> Parts:
    return flux_2_klein()
