"""Answers that are no pictures: of one colour, or nearly the same picture for several prompts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit.measurements.liveness import (
    FACTS,
    answer_facts,
    count_flat,
    count_repeated,
    is_flat,
)


def facts_of(images: list[Image.Image], m: int = 1) -> Any:
    rows = np.stack([answer_facts(image) for image in images])
    assert rows.shape[1] == FACTS
    return rows.reshape(-1, m, FACTS)


def noisy(image: Image.Image, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(-2, 3, np.asarray(image).shape)
    return Image.fromarray(np.clip(np.asarray(image, int) + noise, 0, 255).astype(np.uint8))


def compressed(image: Image.Image, seed: int) -> Image.Image:
    file = io.BytesIO()
    noisy(image, seed).save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("change", [lambda image, _: image, noisy, compressed])
def test_one_picture_for_all_prompts_is_counted_however_it_is_dressed(
    change: Any, emoji: dict[str, Any]
) -> None:
    image = emoji["member"][0].image
    facts = facts_of([change(image, seed) for seed in range(6)])
    assert count_repeated(facts, [f"prompt {i}" for i in range(6)]) == 6
    # One prompt may have one answer, whatever the seed.
    assert count_repeated(facts.reshape(1, 6, FACTS), ["one"]) == 0
    assert count_repeated(facts, ["one", "one", "two", "two", "two", "two"]) == 6


def test_pictures_that_differ_are_not_counted(emoji: dict[str, Any]) -> None:
    samples = [sample for role in emoji.values() for sample in role]
    facts = facts_of([sample.image for sample in samples])
    assert count_repeated(facts, [sample.id for sample in samples]) <= 2  # one pair of emoji
    assert count_flat(facts) == 0
    twice = np.concatenate([facts[:40], facts[:3]])
    assert count_repeated(twice, [str(i) for i in range(len(twice))]) == 6


def test_flat_answers_are_counted() -> None:
    plain = Image.new("RGB", (64, 48), "navy")
    facts = facts_of([plain, noisy(plain, 0), Image.linear_gradient("L").convert("RGB")])
    assert count_flat(facts) == 2
    assert is_flat(plain)
    assert not is_flat(Image.linear_gradient("L").convert("RGB"))
    assert np.isfinite(answer_facts(Image.new("RGB", (1, 3)))).all()
