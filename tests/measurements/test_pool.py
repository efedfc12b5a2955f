"""What samples and answers look like: beside the rows that were there before, which stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit.fingerprint import fingerprint_values
from privaudit.measurements import AnswerSimilarity, Features, ReconstructionSimilarity
from privaudit.measurements.pixels import PixelSimilarity, scaled_pixels
from privaudit.measurements.pool import share_answers
from privaudit.targets.queries import plan_queries
from tests.parts.encoders import PixelEncoder

N, M = 4, 2


class Counting(PixelEncoder):
    """Counts the pictures that it encodes; two of its tokens stand for no patch."""

    n_special_tokens = 2
    seen = 0

    def encode(self, images: Any) -> Any:
        self.seen += len(images)
        return super().encode(images)


def measured(emoji: dict[str, Any], axis: str = "token", **pool: bool) -> tuple[Any, Any, Any]:
    samples = emoji["member"][:N]
    queries = dict(enumerate(plan_queries(samples, list("abcd"), M, 0)))
    images = {i: emoji["non_member"][i].image for i in queries}
    encoder = Counting()
    measurement = AnswerSimilarity(ReconstructionSimilarity(encoder, "cosine", axis), **pool)
    rows = np.stack(measurement.rows(None, queries, images))  # type: ignore[arg-type]
    return measurement, encoder, measurement.features(rows.reshape(N, M, -1), "mean")


@pytest.mark.parametrize("axis", ["token", "channel"])
def test_a_pool_changes_nothing_that_others_read(emoji: dict[str, Any], axis: str) -> None:
    _, _, without = measured(emoji, axis)
    _, _, beside = measured(emoji, axis, pool=True)
    for name in ("vectors", "similarity", "facts", "side_by_side"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(without, name))
    assert beside.blocks.keys() == without.blocks.keys()
    assert without.pool is None
    assert beside.facts.base is None or beside.facts.base.nbytes < 4 * N * M * 500  # no big view


def test_a_pool_is_the_pixels_and_mean_features_of_each_picture(emoji: dict[str, Any]) -> None:
    _, _, features = measured(emoji, pool=True)
    assert features.pool.m == M
    for group, pictures in (
        (features.pool.samples, emoji["member"][:N]),
        (features.pool.answers, emoji["non_member"][: N * M]),
    ):
        images = [sample.image for sample in pictures]
        np.testing.assert_array_equal(group.pixels, [scaled_pixels(i, 16) for i in images])
        patches = PixelEncoder().encode(images)[:, 2:]
        np.testing.assert_allclose(group.states, patches.mean(axis=1), atol=1e-6)


def test_no_picture_is_encoded_twice(emoji: dict[str, Any]) -> None:
    assert measured(emoji, pool=True)[1].seen == N + N * M == measured(emoji)[1].seen


def test_rows_with_a_pool_have_keys_of_their_own_and_others_keep_theirs(
    emoji: dict[str, Any],
) -> None:
    paper = ReconstructionSimilarity(PixelEncoder(), "cosine", "token")
    before = fingerprint_values(parts=[PixelSimilarity().identity, paper.identity])
    assert AnswerSimilarity(paper).identity == before
    assert AnswerSimilarity(paper, pool=True).identity != before
    assert "pool" in AnswerSimilarity(paper, pool=True).describe()
    assert "pool" not in AnswerSimilarity(paper).describe()


def test_groups_are_joined_with_their_answers_or_share_them(emoji: dict[str, Any]) -> None:
    _, _, one = measured(emoji, pool=True)
    both = Features.joined([one, one])
    assert (len(both.pool.samples), len(both.pool.answers)) == (2 * N, 2 * N * M)
    first, second = share_answers(one.pool, one.pool)
    assert (len(first.samples), len(first.answers)) == (N, 2 * N * M)
    np.testing.assert_array_equal(first.answers.pixels, both.pool.answers.pixels)
    np.testing.assert_array_equal(second.samples.states, one.pool.samples.states)
    assert Features.joined([one, measured(emoji)[2]]).pool is None
