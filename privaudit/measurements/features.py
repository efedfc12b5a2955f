"""What inference models read: one row a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Features", "aggregate"]


@dataclass(frozen=True)
class Features:
    """What the inference models read, one row a sample.

    Attributes
    ----------
    vectors
        Aggregated similarity vectors, shape (n, d), float64.
    similarity
        One aggregated similarity a sample, shape (n,), float64: the mean over patches.
    facts
        What is known of each answer alone, shape (n, m, 49), see
        :mod:`privaudit.measurements.liveness`; ``None`` where there were no answers.
    """

    vectors: NDArray[np.float64]
    similarity: NDArray[np.float64]
    facts: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.similarity)

    @classmethod
    def joined(cls, parts: Sequence[Features]) -> Features:
        """Put the features of several groups of samples one after another."""
        facts: list[Any] = [part.facts for part in parts]
        return cls(
            vectors=np.concatenate([part.vectors for part in parts]),
            similarity=np.concatenate([part.similarity for part in parts]),
            facts=None if any(f is None for f in facts) else np.concatenate(facts),
        )


def aggregate(values: NDArray[Any], how: str, axis: int) -> NDArray[np.float64]:
    """Reduce the similarities of the m images of a sample to one.

    Parameters
    ----------
    values
        Similarities, one axis of which has length m.
    how
        ``"mean"`` (the reference's), ``"median"``, ``"max"`` or ``"min"``.
    axis
        The axis of length m.
    """
    reduce: Any = {"mean": np.mean, "median": np.median, "max": np.max, "min": np.min}[how]
    return np.asarray(reduce(np.asarray(values, dtype=np.float64), axis=axis))
