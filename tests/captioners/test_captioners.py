"""Real captioners of transformers: BLIP and a vision encoder-decoder, trained and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit import load_captioner, load_encoder
from privaudit.captioners import TransformersCaptioner, as_captioner, finetune_captioner
from privaudit.errors import CaptionerError
from privaudit.fingerprint import fingerprint_module
from retrieval import RetrievalCaptioner
from tests.parts import AUDITS
from tests.parts.encoders import PixelEncoder


def tiny_blip() -> TransformersCaptioner:
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
    )

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "b",
        "c",
        "red",
        "blue",
        "honey",
        "pot",
        "face",
        "cat",
        "dog",
        "tile",
    ]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = BertTokenizer(vocab=vocabulary)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = BlipConfig(
        text_config={
            **shared,
            "vocab_size": len(words),
            "num_attention_heads": 2,
            "encoder_hidden_size": 32,
            "max_position_embeddings": 16,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**shared, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        image_text_hidden_size=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BlipForConditionalGeneration(config)
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    return TransformersCaptioner(model, processor, tokenizer, max_new_tokens=8)


def test_blip_learns_the_captions_of_auxiliary_samples(emoji: dict[str, Any]) -> None:
    from privaudit import Sample

    texts = ["red cat", "blue dog", "honey pot", "face a b c"]
    samples = [
        Sample(sample.image, text) for sample, text in zip(emoji["caption"], texts, strict=False)
    ]
    blank = tiny_blip()
    before = fingerprint_module(blank.model)
    tuned = finetune_captioner(
        blank, samples, steps=150, batch_size=4, learning_rate=3e-3, progress=False
    )
    assert fingerprint_module(blank.model) == before
    assert tuned.caption([sample.image for sample in samples]) == texts


def test_a_fixture_may_return_blip_and_its_processor(emoji: dict[str, Any]) -> None:
    from transformers import BlipProcessor

    captioner = tiny_blip()
    pair = (captioner.model, BlipProcessor(captioner.image_processor, captioner.tokenizer))
    images = [sample.image for sample in emoji["member"][:2]]
    given = as_captioner(pair)
    given.max_new_tokens = captioner.max_new_tokens
    assert given.caption(images) == captioner.caption(images)
    with pytest.raises(CaptionerError, match="tuple cannot write captions: return a name"):
        as_captioner((captioner.model, None))


def test_a_saved_captioner_writes_the_same(tmp_path: Path, emoji: dict[str, Any]) -> None:
    captioner = tiny_blip()
    captioner.save_pretrained(tmp_path)
    images = [sample.image for sample in emoji["member"][:8]]
    loaded = load_captioner(tmp_path, device="cpu")
    loaded.max_new_tokens = captioner.max_new_tokens
    assert loaded.caption(images) == captioner.caption(images)


def test_retrieval_knows_its_own_images_and_survives_saving(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    samples = emoji["caption"][:40]
    images = [sample.image for sample in samples]
    captioner = RetrievalCaptioner.from_samples(PixelEncoder(), samples, dimensions=32)
    assert captioner.caption(images) == [sample.caption for sample in samples]
    captioner.save_pretrained(tmp_path)
    loaded = RetrievalCaptioner.from_pretrained(tmp_path, PixelEncoder())
    assert loaded.caption(images) == captioner.caption(images)
    with pytest.raises(CaptionerError, match="40 samples cannot span 64 dimensions"):
        RetrievalCaptioner.from_samples(PixelEncoder(), samples, dimensions=64)
    with pytest.raises(CaptionerError, match="cannot be loaded"):
        RetrievalCaptioner.from_pretrained(tmp_path / "nowhere", PixelEncoder())


def test_the_committed_captioner_is_often_right(emoji: dict[str, Any]) -> None:
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    captioner = RetrievalCaptioner.from_pretrained(AUDITS / "models" / "captioner", encoder)
    samples = [*emoji["member"], *emoji["non_member"]]
    written = captioner.caption([sample.image for sample in samples])
    right = sum(a == s.caption for a, s in zip(written, samples, strict=True))
    assert right / len(samples) > 0.25


def test_a_name_that_leads_nowhere_is_named() -> None:
    with pytest.raises(CaptionerError, match="'/no/such' cannot be loaded"):
        load_captioner("/no/such")
