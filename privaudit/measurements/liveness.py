"""Whether answers are pictures at all: a black image hides whatever was memorised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["FACTS", "answer_facts", "count_flat", "count_repeated"]

FACTS = 2
"""Numbers that are kept of each answer."""
FLAT_LEVELS = 2.0
"""Standard deviation of the levels (0 to 255) under which every channel is one colour."""
DIGEST_BITS = 24
"""A float32 holds so many exactly; two of 1,000 different pictures share them in 3 % of cases."""


def answer_facts(image: Image.Image, digest: str) -> NDArray[np.float32]:
    """Return the largest standard deviation of a channel, in levels, and a short digest.

    Parameters
    ----------
    image
        An RGB image.
    digest
        Of its pixels, in hexadecimal digits.

    Returns
    -------
    ndarray of float32, shape (2,)
    """
    spread = np.asarray(image, dtype=np.float32).std(axis=(0, 1)).max()
    return np.array([spread, int(digest[: DIGEST_BITS // 4], 16)], dtype=np.float32)


def count_flat(facts: NDArray[np.float32]) -> int:
    """Count the answers that are one colour, or nearly so.

    Parameters
    ----------
    facts
        Shape (n, m, 2), see :func:`answer_facts`.
    """
    return int((facts[..., 0] < FLAT_LEVELS).sum())


def count_repeated(facts: NDArray[np.float32], prompts: Sequence[str]) -> int:
    """Count the answers that were also given to another prompt.

    Parameters
    ----------
    facts
        Shape (n, m, 2), see :func:`answer_facts`.
    prompts
        The n prompts. One prompt may have one answer: a model may ignore seeds.
    """
    asked: dict[float, set[str]] = {}
    for row, prompt in zip(facts[..., 1], prompts, strict=True):
        for digest in row.tolist():
            asked.setdefault(digest, set()).add(prompt)
    return sum(len(asked[digest]) > 1 for digest in facts[..., 1].ravel().tolist())
