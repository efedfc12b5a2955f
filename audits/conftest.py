"""What both audits share: the samples, the encoder, the captioner and the shadow model."""

from __future__ import annotations

from typing import Any

import pytest

import emoji_sets
import privaudit
from retrieval import RetrievalCaptioner


@pytest.fixture(scope="session")
def members() -> list[privaudit.Sample]:
    """Twemoji that the audited models were fine-tuned on."""
    return emoji_sets.twemoji("member")


@pytest.fixture(scope="session")
def non_members() -> list[privaudit.Sample]:
    """Twemoji for which the same coin fell on the other side."""
    return emoji_sets.twemoji("non_member")


@pytest.fixture(scope="session")
def coin_split(
    members: list[privaudit.Sample], non_members: list[privaudit.Sample]
) -> privaudit.samples.CoinSplit:
    """Flip the coins of emoji_split.json again, to prove that they decided membership."""
    return privaudit.split_by_coin([*members, *non_members], emoji_sets.SEED)


@pytest.fixture(scope="session")
def image_encoder() -> Any:
    """EfficientNet-Lite0 with its ImageNet weights, which come in a pip package."""
    return privaudit.load_encoder("efficientnet-lite0", device="cpu")


@pytest.fixture(scope="session")
def captioner(image_encoder: Any) -> Any:
    """Load the captioner that looks an image up among Noto emoji."""
    folder = emoji_sets.MODELS / "captioner"
    return RetrievalCaptioner.from_pretrained(folder, image_encoder)


@pytest.fixture(scope="session")
def shadow_members() -> list[privaudit.Sample]:
    """Auxiliary Twemoji that the shadow model was fine-tuned on."""
    return emoji_sets.twemoji("shadow_member")


@pytest.fixture(scope="session")
def shadow_non_members() -> list[privaudit.Sample]:
    """Auxiliary Twemoji that it was not fine-tuned on."""
    return emoji_sets.twemoji("shadow_non_member")


@pytest.fixture(scope="session")
def shadow_model() -> Any:
    """Name the attacker's own fine-tune of the same base."""
    base = emoji_sets.MODELS / "base"
    return privaudit.SavedPipeline(base, lora=emoji_sets.MODELS / "shadow", device="cpu")
