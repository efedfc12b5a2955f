"""Similarities against the formulas, and against torch, which the reference code calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from privaudit.measurements import aggregate
from privaudit.measurements.similarity import (
    COSINE_EPS,
    patch_similarity,
    similarity_vector,
)

TOKENS, CHANNELS = 5, 7
states = hnp.arrays(np.float32, (TOKENS, CHANNELS), elements=st.floats(-50, 50, width=32))


def reference(q: np.ndarray, g: np.ndarray, measure: str, dim: int) -> np.ndarray:
    """Compute as the reference code does, in torch, on (1, tokens, channels)."""
    a, b = (torch.from_numpy(x.astype(np.float64))[None] for x in (q, g))
    if measure == "cosine":
        return torch.nn.functional.cosine_similarity(a, b, dim=dim)[0].numpy()
    if measure == "euclidean":  # pairwise_distance reduces the last axis only
        if dim == 1:
            a, b = a.transpose(1, 2), b.transpose(1, 2)
        return -torch.nn.functional.pairwise_distance(a, b)[0].numpy()
    if measure == "manhattan":
        return -torch.sum(torch.abs(a - b), dim=dim)[0].numpy()
    return -torch.sum(a.int() ^ b.int(), dim=dim)[0].numpy()


@pytest.mark.parametrize("measure", ["cosine", "euclidean", "manhattan", "hamming"])
@pytest.mark.parametrize(
    ("axis", "dim", "length"), [("channel", 1, CHANNELS), ("token", 2, TOKENS)]
)
@given(q=states, g=states)
def test_vectors_equal_the_reference_formulas(
    measure: str, axis: str, dim: int, length: int, q: np.ndarray, g: np.ndarray
) -> None:
    ours = similarity_vector(q, g, measure, axis)
    assert ours.shape == (length,)
    np.testing.assert_allclose(ours, reference(q, g, measure, dim), rtol=1e-6, atol=1e-6)


def test_per_channel_is_over_tokens_written_out() -> None:
    q = np.array([[1.0, 0.0], [2.0, 1.0]])
    g = np.array([[2.0, 1.0], [4.0, -1.0]])
    np.testing.assert_allclose(similarity_vector(q, g, "cosine", "channel"), [1.0, -1 / np.sqrt(2)])
    np.testing.assert_allclose(
        similarity_vector(q, g, "cosine", "token"), [2 / np.sqrt(5), 7 / np.sqrt(85)]
    )
    np.testing.assert_allclose(similarity_vector(q, g, "manhattan", "channel"), [-3.0, -3.0])
    # int(1)^int(2) + int(2)^int(4) = 3 + 6; int(0)^int(1) + int(1)^int(-1) = 1 + -2
    np.testing.assert_allclose(similarity_vector(q, g, "hamming", "channel"), [-9.0, 1.0])


@given(q=states, g=states)
def test_one_similarity_is_the_mean_over_patches_written_out(q: np.ndarray, g: np.ndarray) -> None:
    cosines = [
        a @ b / (max(np.linalg.norm(a), 1e-8) * max(np.linalg.norm(b), 1e-8))
        for a, b in zip(q.astype(np.float64), g.astype(np.float64), strict=True)
    ]
    np.testing.assert_allclose(patch_similarity(q, g), sum(cosines) / TOKENS, atol=1e-9)


@pytest.mark.parametrize("measure", ["cosine", "euclidean", "manhattan"])
@given(q=states, g=states)
@example(q=np.full((TOKENS, CHANNELS), 1e-9, np.float32), g=np.ones((TOKENS, CHANNELS), np.float32))
def test_nothing_is_more_alike_than_a_copy(measure: str, q: np.ndarray, g: np.ndarray) -> None:
    if measure == "cosine":
        # Below COSINE_EPS a norm is clamped, in torch as here, and a copy's cosine is under 1.
        norms = np.linalg.norm(q.astype(np.float64), axis=-1)
        assume(((norms == 0) | (norms >= COSINE_EPS)).all())
    # The reference adds 1e-6 to every difference, so a copy is not quite at distance zero.
    slack = 1e-6 * np.sqrt(CHANNELS) if measure == "euclidean" else 0.0
    assert patch_similarity(q, g, measure) <= patch_similarity(q, q, measure) + slack + 1e-9


def test_aggregation_is_elementwise_over_the_images() -> None:
    values = np.array([[[1.0, 9.0], [2.0, 0.0], [6.0, 3.0]]])
    for how, wanted in {"mean": [3, 4], "median": [2, 3], "max": [6, 9], "min": [1, 0]}.items():
        np.testing.assert_allclose(aggregate(values, how, axis=1), [wanted])
