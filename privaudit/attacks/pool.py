"""Distances of samples to all pictures that a model generated, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from privaudit.measurements.pool import Pool

__all__ = [
    "SAME",
    "correlations",
    "distances",
    "nearest",
    "nearness",
]

SAME = 0.5 / 255
"""Distance below which two pictures are one: half a level of a picture file. Nothing is closer, so
a logarithm of a distance is finite, and the order of exact copies is not rounding."""
FLAT = 1e-6
"""Least norm of centred pixels: a picture of one colour correlates with nothing."""
AT_ONCE = 2**22
"""Distances that are in memory at one time: 32 MB."""


def distances(pool: Pool) -> Iterator[NDArray[np.float64]]:
    """Yield the distances of some samples to all answers at a time, in the order of the samples.

    The root mean square of the differences of pixels, so a distance of 1 is that of black and
    white; :data:`SAME` where it is less.

    Yields
    ------
    ndarray of float64, shape (some samples, answers)
    """
    middle = pool.answers.pixels.mean(axis=0, dtype=np.float64)
    # Small numbers: what cancels in the difference of their squares is below SAME.
    samples, answers = pool.samples.pixels - middle, pool.answers.pixels - middle
    squares = (answers**2).sum(axis=1)
    step = max(1, AT_ONCE // len(answers))
    for start in range(0, len(samples), step):
        block = samples[start : start + step]
        apart = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ answers.T
        yield np.maximum(np.sqrt(np.maximum(apart, 0) / samples.shape[1]), SAME)


def nearest(pool: Pool, k: int) -> NDArray[np.float64]:
    """Return the distances of each sample to its k nearest answers, shape (n, k), in any order.

    Of fewer answers, all of them.
    """
    return _least(distances(pool), min(k, len(pool.answers)))


def _least(blocks: Iterator[NDArray[np.float64]], k: int) -> NDArray[np.float64]:
    return np.concatenate([np.partition(block, k - 1)[:, :k] for block in blocks])


def nearness(pool: Pool) -> NDArray[np.float64]:
    """Return how near each sample is to those of all answers that are nearest to it.

    Minus the distance to the nearest answer, and minus the mean of the distances to the m nearest;
    then the largest correlation of pixels, and the mean of the m largest. They are those of
    :func:`privaudit.measurements.pixels.pixel_similarities`, at 16 × 16 pixels.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Higher is nearer.
    """
    k = min(pool.m, len(pool.answers))
    apart, unlike = _least(distances(pool), k), _least((-c for c in correlations(pool)), k)
    columns = [column for few in (apart, unlike) for column in (few.min(axis=1), few.mean(axis=1))]
    return -np.stack(columns, axis=1)


def correlations(pool: Pool) -> Iterator[NDArray[np.float64]]:
    """Yield the centred cosines of some samples with all answers at a time, as :func:`distances`.

    That of a picture of one colour with any other is 0.

    Yields
    ------
    ndarray of float64, shape (some samples, answers)
    """
    answers = _unit(pool.answers.pixels).T
    step = max(1, AT_ONCE // len(pool.answers))
    for start in range(0, len(pool.samples), step):
        yield _unit(pool.samples.pixels[start : start + step]) @ answers


def _unit(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    centred = pixels - pixels.mean(axis=1, keepdims=True, dtype=np.float64)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.where(norms > FLAT, centred / np.maximum(norms, FLAT), 0)
