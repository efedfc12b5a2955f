"""What a person would see in captions and files is seen, and fair splits are not flagged."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from privaudit.audit.checks.samples import (
    blind_test,
    caption_features,
    file_features,
    sample_features,
)
from privaudit.errors import SampleError
from privaudit.samples import FileFacts, Sample

WORDS = [
    "red",
    "blue",
    "small",
    "large",
    "cat",
    "dog",
    "tree",
    "house",
    "with",
    "under",
    "a",
    "the",
    "near",
    "of",
    "cloud",
    "star",
    "face",
]


def captions(n: int, seed: int) -> list[str]:
    draws = np.random.default_rng(seed)
    return [" ".join(draws.choice(WORDS, draws.integers(3, 9))) for _ in range(n)]


def flagged(features: dict[str, np.ndarray], n: int, seed: int = 0) -> tuple[bool, str, float]:
    found = blind_test(features, np.arange(2 * n) < n, seed=seed)
    assert found is not None
    return found.p_value <= 0.05, found.feature, found.auc


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (str.upper, "capital"),
        (str.capitalize, "capital"),
        (lambda text: text.replace(" ", "  ", 1), "white space"),
        (lambda text: text + "\n", "white space after"),
        (lambda text: text + ".", "punctuation"),
        (lambda text: "“" + text + "”", "character"),
    ],
)
def test_a_habit_of_one_side_is_always_flagged_at_50(
    change: Callable[[str], str], feature: str
) -> None:
    for seed in range(10):
        texts = captions(100, seed)
        changed = [change(text) for text in texts[:50]] + texts[50:]
        found, name, auc = flagged(caption_features(changed), 50, seed)
        assert (found, auc) == (True, 1.0)
        assert feature in name


@pytest.mark.parametrize("n", [20, 80])
def test_fair_splits_are_flagged_in_5_percent_at_most(n: int) -> None:
    splits = 120
    wrong = 0
    for seed in range(splits):
        texts = captions(2 * n, seed)
        draws = np.random.default_rng(seed)
        # One habit in half of all captions, whichever side they are on.
        texts = [t.capitalize() + "." if draws.random() < 0.5 else t for t in texts]
        found = blind_test(
            caption_features(texts), np.arange(2 * n) < n, permutations=199, seed=seed
        )
        assert found is not None
        wrong += found.p_value <= 0.05
    assert wrong / splits <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / splits)
    assert wrong > 0  # it is a test of 5 %, not of nothing


def saved(seed: int, **how: object) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **how)  # type: ignore[arg-type]
    return Sample(lambda: Image.open(io.BytesIO(file.getvalue())), "a picture", id=str(seed))


def exif(value: int) -> Image.Exif:
    entries = Image.Exif()
    entries[0x0112] = value
    return entries


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"format": "JPEG", "quality": 95}, {"format": "PNG"}),
        ({"format": "JPEG", "quality": 95}, {"format": "JPEG", "quality": 94}),
        ({"format": "JPEG", "exif": exif(1)}, {"format": "JPEG"}),
    ],
)
def test_how_the_files_were_saved_is_flagged_at_50(
    ours: dict[str, object], theirs: dict[str, object]
) -> None:
    files = [saved(i, **(ours if i < 50 else theirs)) for i in range(100)]
    found, _, auc = flagged(sample_features(files), 50)
    assert (found, auc) == (True, 1.0)
    same = [saved(i, **theirs) for i in range(100)]
    finding = blind_test(sample_features(same), np.arange(100) < 50, seed=1)
    assert finding is None or finding.p_value > 0.05


def test_what_is_not_known_of_a_file_is_no_difference() -> None:
    kept = saved(0, format="PNG")
    copied = Sample(kept.image.copy(), "a picture", id="copied")
    assert copied.facts.format is None
    assert "format PNG" in sample_features([kept, kept])
    assert set(file_features([kept.facts, copied.facts])) == {"width", "height", "aspect"}
    blank = Sample(kept.image.copy(), " ", id="blank")
    assert set(sample_features([kept, blank])) == {"width", "height", "aspect"}


def test_nothing_varies_and_mistakes() -> None:
    one = FileFacts("PNG", (4, 4), "L", None, has_exif=False)
    assert blind_test(file_features([one] * 8), [True] * 4 + [False] * 4) is None
    with pytest.raises(SampleError, match="0 members and 2 non-members"):
        blind_test({"a": [1, 2]}, [False, False])
    with pytest.raises(SampleError, match="'a' is not one finite number for each of 2"):
        blind_test({"a": [1, math.nan]}, [True, False])
    weak = blind_test({"a": np.arange(10)}, [True, False] * 5)
    assert weak is not None
    assert weak.p_value > 0.05
    assert weak.least_auc > 0.8
