"""Whether answers are pictures at all: a black image hides whatever was memorised."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["FACTS", "answer_facts", "count_flat", "count_repeated", "is_flat"]

CELLS = 4
"""An answer is compared with others by the mean colours of so many cells a side."""
FACTS = 1 + 3 * CELLS**2
"""Numbers that are kept of each answer."""
FLAT_LEVELS = 2.0
"""Standard deviation of the levels (0 to 255) under which every channel is one colour."""
SAME_LEVELS = 0.75
"""Two answers whose cells are closer, in the root of the mean square, are one picture. Noise of a
few levels, or JPEG, moves a cell's mean by less; of 1,325 emoji two are so close."""
BLOCK = 1024


def answer_facts(image: Image.Image) -> NDArray[np.float32]:
    """Return the largest standard deviation of a channel, and a small picture, both in levels.

    Parameters
    ----------
    image
        An RGB image.

    Returns
    -------
    ndarray of float32, shape (49,)
    """
    pixels = np.asarray(image)
    rows, columns = (np.linspace(0, n, CELLS + 1).astype(int) for n in pixels.shape[:2])
    # Sums of whole numbers, first down the rows: means of floats, cell by cell, take twice as long.
    bands = np.stack([pixels[top : max(end, top + 1)].sum(axis=0) for top, end in pairwise(rows)])
    sums = np.add.reduceat(bands, columns[:-1], axis=1)
    sizes = np.multiply.outer(*(np.maximum(np.diff(edges), 1) for edges in (rows, columns)))
    cells = sums / sizes[..., None]
    return np.concatenate([[_spread(image)], cells.ravel()]).astype(np.float32)


def is_flat(image: Image.Image) -> bool:
    """Tell whether an RGB image is one colour, or nearly so."""
    return _spread(image) < FLAT_LEVELS


def _spread(image: Image.Image) -> float:
    """Return the largest standard deviation of a channel, in levels, from how often each occurs."""
    counts = np.asarray(image.histogram(), dtype=np.int64).reshape(3, 256)
    levels = np.arange(256)
    n = counts[0].sum()
    # n² times the variance, in whole numbers: nothing cancels.
    scaled = n * (counts @ levels**2) - (counts @ levels) ** 2
    return float(np.sqrt(scaled.max()) / n)


def count_flat(facts: NDArray[np.float32]) -> int:
    """Count the answers that are one colour, or nearly so.

    Parameters
    ----------
    facts
        Shape (n, m, 49), see :func:`answer_facts`.
    """
    return int((facts[..., 0] < FLAT_LEVELS).sum())


def count_repeated(facts: NDArray[np.float32], prompts: Sequence[str]) -> int:
    """Count the answers that were also, or nearly, given to another prompt.

    Parameters
    ----------
    facts
        Shape (n, m, 49), see :func:`answer_facts`.
    prompts
        The n prompts. One prompt may have one answer: a model may ignore seeds.
    """
    pictures = facts[..., 1:].reshape(-1, facts.shape[-1] - 1)
    pictures = pictures - pictures.mean(axis=0)  # small numbers: their squares are exact enough
    squares = (pictures**2).sum(axis=1)
    numbers = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    asked = np.repeat([numbers[prompt] for prompt in prompts], facts.shape[1])
    limit = SAME_LEVELS**2 * pictures.shape[1]
    count = 0
    for start in range(0, len(pictures), BLOCK):
        block = slice(start, start + BLOCK)
        apart = squares[block, None] + squares - 2 * pictures[block] @ pictures.T
        others = asked[block, None] != asked
        count += int(((apart <= limit) & others).any(axis=1).sum())
    return count
