"""Rows of the paper's measurement, with an encoder that has special tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit.encoders import as_encoder
from privaudit.measurements import ReconstructionSimilarity
from privaudit.measurements.liveness import FACTS
from privaudit.measurements.similarity import similarity_vector
from privaudit.samples import Sample
from privaudit.targets import Query
from privaudit.targets.queries import plan_queries
from tests.parts.encoders import PixelEncoder, tiny_vit

DRAWS = np.random.default_rng(0)


def picture() -> Image.Image:
    return Image.fromarray(DRAWS.integers(0, 256, (32, 32, 3), dtype=np.uint8))


def asked(n: int) -> tuple[dict[int, Query], dict[int, Image.Image]]:
    samples = [Sample(picture(), "a thing", id=str(i)) for i in range(n)]
    queries = plan_queries(samples, [sample.caption for sample in samples], 1, 0)
    return dict(enumerate(queries)), {i: picture() for i in range(n)}


@pytest.mark.parametrize(("axis", "width"), [("token", 16), ("channel", 32)])
def test_special_tokens_stand_for_no_patch(axis: str, width: int) -> None:
    encoder: Any = as_encoder(tiny_vit(), device="cpu")
    queries, images = asked(3)
    measurement = ReconstructionSimilarity(encoder, "cosine", axis)
    rows = np.stack(measurement.rows(None, queries, images))  # type: ignore[arg-type]
    assert rows.shape == (3, FACTS + 1 + width)
    for i, row in enumerate(rows):
        q, g = encoder.encode([queries[i].sample.image, images[i]])
        patches = similarity_vector(q[1:], g[1:], "cosine", "token")
        mean, *vector = row[FACTS:]
        assert mean == pytest.approx(patches.mean(), abs=1e-6)
        # The reference's vector over channels runs over all tokens.
        wanted = patches if axis == "token" else similarity_vector(q, g, "cosine", "channel")
        np.testing.assert_allclose(vector, wanted, atol=1e-6)


def test_tokens_that_are_said_to_be_special_change_the_identity_and_the_rows() -> None:
    plain, said = PixelEncoder(), PixelEncoder()
    said.n_special_tokens = 2  # type: ignore[attr-defined]
    one, other = (ReconstructionSimilarity(e, "cosine", "token") for e in (plain, said))
    assert one.identity != other.identity
    queries, images = asked(1)
    (full,), (fewer,) = (m.rows(None, queries, images) for m in (one, other))  # type: ignore[arg-type]
    np.testing.assert_array_equal(full[FACTS + 3 :], fewer[FACTS + 1 :])


def test_threshold_reads_the_mean_over_patches_with_either_axis() -> None:
    queries, images = asked(4)
    first = [
        ReconstructionSimilarity(PixelEncoder(), "cosine", axis)
        .features(np.stack(rows)[:, None], "mean")
        .similarity
        for axis in ("token", "channel")
        for rows in [
            ReconstructionSimilarity(PixelEncoder(), "cosine", axis).rows(None, queries, images)
        ]  # type: ignore[arg-type]
    ]
    np.testing.assert_array_equal(*first)
