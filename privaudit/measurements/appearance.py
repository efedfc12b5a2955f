"""What samples and answers look like, one small row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.batching import in_threads
from privaudit.fingerprint import fingerprint_values
from privaudit.measurements.pixels import scaled_pixels
from privaudit.measurements.pool import Appearance, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.targets import Query

__all__ = ["EDGE", "IDENTITY", "appearance_rows", "split_rows"]

EDGE = 16
"""Edge, in pixels, of the squares that pictures are compared at."""
PIXELS = 3 * EDGE**2
IDENTITY = fingerprint_values(appearance="pixels, mean features", edge=EDGE, version=1)
"""Changes whenever a row would."""


def appearance_rows(
    queries: Mapping[int, Query],
    images: Mapping[int, Image.Image],
    states: Mapping[int, tuple[NDArray[Any], NDArray[Any]]],
) -> list[NDArray[np.float32]]:
    """Write down what each query's sample and its answer look like.

    Parameters
    ----------
    queries, images
        As of :meth:`privaudit.measurements.Measurement.rows`.
    states
        The encoder's features of sample and answer, each of shape (patches, channels), by the
        position of the query.

    Returns
    -------
    list of ndarray of float32, shape (1 + 2 · (768 + channels),)
        The number of channels, then pixels and features of the sample, then of the answer. The
        sample's are there m times: what an answer's row holds depends on no other.
    """
    digests = {query.sample.digest: query.sample for query in queries.values()}
    seen = dict(zip(digests, in_threads(_pixels, [s.image for s in digests.values()]), strict=True))
    drawn = in_threads(_pixels, [images[i] for i in queries])
    rows = []
    for (i, query), answer in zip(queries.items(), drawn, strict=True):
        means = [state.mean(axis=0) for state in states[i]]
        parts: list[Any] = [[len(means[0])], seen[query.sample.digest], means[0], answer, means[1]]
        rows.append(np.concatenate(parts).astype(np.float32))
    return rows


def _pixels(image: Image.Image) -> NDArray[np.float32]:
    return scaled_pixels(image, EDGE)


def split_rows(rows: NDArray[np.float32]) -> tuple[Pool, NDArray[np.float32]]:
    """Read the rows of :func:`appearance_rows`, and return what follows them.

    Parameters
    ----------
    rows
        Shape (n, m, d): each begins with a row of that function.

    Returns
    -------
    Pool, ndarray of shape (n, m, rest)
    """
    each = PIXELS + int(rows[0, 0, 0])
    sample, answer, rest = np.split(rows[..., 1:], [each, 2 * each], axis=-1)
    # Copies: a view would keep all of the rows alive.
    answers = _appearance(answer.reshape(-1, each))
    return Pool(_appearance(sample[:, 0]), answers, rows.shape[1]), rest.copy()


def _appearance(rows: NDArray[np.float32]) -> Appearance:
    return Appearance(rows[:, :PIXELS].copy(), rows[:, PIXELS:].copy())
