"""Small CLIPs of random weights, saved in the layouts of both libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.parts import AUDITS

WIDTH = 32
SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def _texts() -> tuple[Any, dict[str, Any]]:
    """Load the audits' tokenizer, and say what a small text tower for it is."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(AUDITS / "models" / "base" / "tokenizer")
    return tokenizer, {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Save a CLIPModel of transformers with its processor: 32 px, the audits' tokenizer."""
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
    )

    tokenizer, words = _texts()
    config = CLIPConfig(
        text_config={**SMALL, **words},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=WIDTH,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(config)
    edge = {"height": 32, "width": 32}
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=edge)
    model.save_pretrained(folder)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def tiny_siglip(folder: Path, seed: int = 0) -> Path:
    """Save a SiglipModel of transformers with its processor: 32 px, the audits' tokenizer."""
    from transformers import (
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    tokenizer, words = _texts()
    config = SiglipConfig(
        text_config={**SMALL, **words},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SiglipModel(config)
    model.save_pretrained(folder)
    pictures = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def tiny_siglip_of_any_shape(folder: Path) -> Path:
    """Save a Siglip2Model, which reads pictures of any shape, with its processor."""
    from transformers import (
        Siglip2Config,
        Siglip2ImageProcessor,
        Siglip2Model,
        Siglip2Processor,
    )

    tokenizer, words = _texts()
    config = Siglip2Config(
        text_config={**SMALL, **words},
        vision_config={**SMALL, "num_patches": 16, "patch_size": 8},
    )
    Siglip2Model(config).save_pretrained(folder)
    pictures = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    Siglip2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder


def tiny_open_clip(folder: Path, seed: int = 0) -> Path:
    """Save a CLIP as open_clip's ``local-dir:`` reads it."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": WIDTH, "patch_size": 8},
        "text_cfg": {"context_length": 16, "width": WIDTH, "heads": 2, "layers": 1},
    }
    config["vision_cfg"]["head_width"] = 16  # type: ignore[index]
    config["text_cfg"]["vocab_size"] = 49408  # type: ignore[index]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "size": [32, 32]}
    written = {"model_cfg": config, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(written), encoding="utf-8")
    return folder
