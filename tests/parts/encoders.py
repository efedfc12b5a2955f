"""Small image encoders."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


def tiny_vit(image_size: int = 32) -> tuple[Any, Any]:
    """Build a small randomly initialised ViT and its image processor, real classes both."""
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ViTConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=image_size,
            patch_size=8,
        )
        model = ViTModel(config, add_pooling_layer=False)
    return model, ViTImageProcessor(size={"height": image_size, "width": image_size})


class PixelEncoder:
    """The simplest encoder there is: 8×8 patches of a 32×32 image as tokens of raw pixels."""

    fingerprint = "pixels-8"

    def encode(self, images: Any) -> Any:
        pixels = np.stack([np.asarray(i.convert("RGB").resize((32, 32))) for i in images])
        patches = pixels.reshape(-1, 4, 8, 4, 8, 3).swapaxes(2, 3).reshape(-1, 16, 192)
        return patches.astype(np.float32) / 255


class BrittleEncoder:
    """Knows a picture from its exact copy, and nothing else: the positive control is content."""

    fingerprint = "brittle"

    def encode(self, images: Any) -> Any:
        seeds = [zlib.crc32(np.asarray(image.convert("RGB")).tobytes()) for image in images]
        return np.stack([np.random.default_rng(s).normal(size=(4, 16)) for s in seeds], dtype="f4")
