"""Samples beside all pictures that a model generated, for attacks that compare with the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Appearance", "Pool", "share_answers"]


@dataclass(frozen=True)
class Appearance:
    """What pictures look like, one row a picture.

    Attributes
    ----------
    pixels
        RGB values in [0, 1] at 16 × 16 pixels, shape (n, 768), float32.
    states
        The encoder's last hidden state, averaged over patches, shape (n, channels), float32.
    """

    pixels: NDArray[np.float32]
    states: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pixels)

    @classmethod
    def joined(cls, parts: Sequence[Appearance]) -> Appearance:
        """Put several groups of pictures one after another."""
        return cls(
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.states for part in parts]),
        )


@dataclass(frozen=True)
class Pool:
    """Samples, and the pictures that one model generated for all of them.

    Attributes
    ----------
    samples
        The n samples, in their order.
    answers
        The pool: m answers to each of them, and maybe to others, in no order that means anything.
    m
        Answers to each sample.
    """

    samples: Appearance
    answers: Appearance
    m: int

    @classmethod
    def joined(cls, parts: Sequence[Pool]) -> Pool:
        """Put the samples of several groups one after another, and their answers together."""
        return cls(
            Appearance.joined([part.samples for part in parts]),
            Appearance.joined([part.answers for part in parts]),
            parts[0].m,
        )


def share_answers(one: Pool, other: Pool) -> tuple[Pool, Pool]:
    """Compare two groups of samples, of which one model was asked, with all of its answers."""
    answers = Appearance.joined([one.answers, other.answers])
    return Pool(one.samples, answers, one.m), Pool(other.samples, answers, other.m)
