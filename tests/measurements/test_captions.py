"""What a CLIP sees of sample, answer and text: FSCA's feature, beside blocks that stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit.encoders.clip import Clip, load_clip
from privaudit.measurements import AnswerSimilarity, ReconstructionSimilarity
from privaudit.measurements.captions import BLOCK, CaptionSimilarity
from privaudit.targets.queries import plan_queries
from tests.parts.clips import tiny_clip
from tests.parts.encoders import PixelEncoder

N, M = 4, 3
WORDS = ["a cat", "two dogs", "a red house", "the sea"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(str(tiny_clip(tmp_path_factory.mktemp("clip"))), device="cpu")


def asked(emoji: dict[str, Any]) -> tuple[Any, Any]:
    queries = dict(enumerate(plan_queries(emoji["member"][:N], WORDS, M, 0)))
    return queries, {i: emoji["non_member"][i].image for i in queries}


def measured(emoji: dict[str, Any], clip: Clip | None, **how: bool) -> Any:
    queries, images = asked(emoji)
    paper = ReconstructionSimilarity(PixelEncoder(), "cosine", "token")
    captions = None if clip is None else CaptionSimilarity(clip)
    measurement = AnswerSimilarity(paper, captions=captions, **how)
    rows = np.stack(measurement.rows(None, queries, images))  # type: ignore[arg-type]
    return measurement.features(rows.reshape(N, M, -1), "mean")


def test_the_block_is_the_authors_feature(emoji: dict[str, Any], clip: Clip) -> None:
    """By a loop over samples and answers, from the library's own vectors."""
    queries, images = asked(emoji)
    found = measured(emoji, clip).blocks[BLOCK]
    assert found.shape == (N, 2 * M)

    def unit(vector: Any) -> Any:
        return vector / np.sqrt((vector**2).sum())

    for n in range(N):
        sample = unit(clip.images.encode([emoji["member"][n].image])[0, 0])
        text = unit(clip.texts([WORDS[n]])[0])
        answers = [
            unit(clip.images.encode([images[i]])[0, 0])
            for i, query in queries.items()
            if query.sample is emoji["member"][n]
        ]
        alike = sorted((float(one @ sample) for one in answers), reverse=True)
        better = sorted((float(text @ one - text @ sample) for one in answers), reverse=True)
        np.testing.assert_allclose(found[n], [*alike, *better], atol=2e-6)


def test_an_exact_copy_is_alike_and_fits_the_text_as_well(
    emoji: dict[str, Any], clip: Clip
) -> None:
    queries, _ = asked(emoji)
    copies = {i: query.sample.image for i, query in queries.items()}
    captions = CaptionSimilarity(clip)
    block = captions.block(np.stack(captions.rows(queries, copies)).reshape(N, M, -1))
    np.testing.assert_allclose(block[:, :M], 1, atol=1e-6)
    np.testing.assert_allclose(block[:, M:], 0, atol=1e-6)


@pytest.mark.parametrize("pool", [False, True])
def test_a_clip_changes_nothing_that_others_read(
    emoji: dict[str, Any], clip: Clip, pool: bool
) -> None:
    beside, without = measured(emoji, clip, pool=pool), measured(emoji, None, pool=pool)
    for name in ("vectors", "similarity", "facts"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(without, name))
    assert beside.blocks.keys() - without.blocks.keys() == {BLOCK}
    for name, block in without.blocks.items():
        np.testing.assert_array_equal(beside.blocks[name], block)
    if pool:
        np.testing.assert_array_equal(beside.pool.answers.pixels, without.pool.answers.pixels)


def test_rows_do_not_depend_on_their_batch(emoji: dict[str, Any], clip: Clip) -> None:
    queries, images = asked(emoji)
    together = np.stack(CaptionSimilarity(clip).rows(queries, images))
    apart = [
        CaptionSimilarity(clip).rows({i: query}, {i: images[i]})[0] for i, query in queries.items()
    ]
    np.testing.assert_allclose(np.stack(apart), together, atol=1e-6)


def test_rows_with_a_clip_have_keys_of_their_own(
    emoji: dict[str, Any], clip: Clip, tmp_path: Path
) -> None:
    paper = ReconstructionSimilarity(PixelEncoder(), "cosine", "token")
    plain = AnswerSimilarity(paper)
    one = AnswerSimilarity(paper, captions=CaptionSimilarity(clip))
    other = load_clip(str(tiny_clip(tmp_path, seed=1)), device="cpu")
    another = AnswerSimilarity(paper, captions=CaptionSimilarity(other))
    assert len({plain.identity, one.identity, another.identity}) == 3
    assert AnswerSimilarity(paper, captions=None).identity == plain.identity
    assert one.describe()["clip"] == {"name": clip.name, "identity": clip.fingerprint}
    assert "clip" not in plain.describe()
    assert one.persistent
    unknown = CaptionSimilarity(clip)
    unknown.persistent = False
    assert not AnswerSimilarity(paper, captions=unknown).persistent


def test_each_text_and_each_sample_is_read_once_a_batch(
    emoji: dict[str, Any], clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, images = asked(emoji)
    told: list[str] = []
    real = clip.texts
    monkeypatch.setattr(clip, "texts", lambda texts: told.extend(texts) or real(texts))
    CaptionSimilarity(clip).rows(queries, images)
    assert sorted(told) == sorted(WORDS)
