"""What inference models read: one row a sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.measurements.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Features", "aggregate", "mean_and_best"]


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
    blocks
        Similarities by the name of what was compared, each of shape (n, values), float64. The
        paper's inference models read ``vectors`` and ``similarity`` alone; a combined one reads
        all of these.
    pool
        What the samples, and all answers, look like; ``None`` where no inference model asks.
    base_pool
        The same samples beside the answers of the base model, where it was asked.
    """

    vectors: NDArray[np.float64]
    similarity: NDArray[np.float64]
    facts: NDArray[np.float32] | None = None
    blocks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    pool: Pool | None = None
    base_pool: Pool | None = None

    @property
    def side_by_side(self) -> NDArray[np.float64]:
        """All blocks in the order of their names, shape (n, values); without any, the vectors."""
        if not self.blocks:
            return self.vectors
        return np.concatenate([self.blocks[name] for name in sorted(self.blocks)], axis=1)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.similarity)

    def over(self, base: Features) -> Features:
        """Put what the target's answers have over those of its base beside each block.

        A picture that any model would draw from its caption says nothing of the fine-tune: the
        base, asked the same prompts and seeds, draws it too.

        Parameters
        ----------
        base
            The same measurement of the same samples on the base model.
        """
        gained = {
            f"{name} over base": block - base.blocks[name] for name, block in self.blocks.items()
        }
        return replace(self, blocks={**self.blocks, **gained}, base_pool=base.pool)

    def less(self, base: Features) -> Features:
        """Return what is measured of a model less what is measured of its base.

        Some samples score high whatever the model has seen; the base says which (difficulty
        calibration, Watson et al. 2022).

        Parameters
        ----------
        base
            The same measurement of the same samples on the base model.
        """
        return replace(
            self,
            vectors=self.vectors - base.vectors,
            similarity=self.similarity - base.similarity,
        )

    @classmethod
    def joined(cls, parts: Sequence[Features]) -> Features:
        """Put the features of several groups of samples one after another."""
        facts: list[Any] = [part.facts for part in parts]
        pools = [part.pool for part in parts if part.pool is not None]
        return cls(
            vectors=np.concatenate([part.vectors for part in parts]),
            similarity=np.concatenate([part.similarity for part in parts]),
            facts=None if any(f is None for f in facts) else np.concatenate(facts),
            blocks={
                name: np.concatenate([part.blocks[name] for part in parts])
                for name in parts[0].blocks
            },
            pool=Pool.joined(pools) if len(pools) == len(parts) else None,
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


def mean_and_best(values: NDArray[Any]) -> NDArray[np.float64]:
    """Put the mean over the m images of a sample, and the largest value, side by side.

    A model that redraws a member once in three times has memorised it; the mean hides that.

    Parameters
    ----------
    values
        Similarities, shape (n, m, d).

    Returns
    -------
    ndarray of float64, shape (n, 2 · d)
        All means, then all bests.
    """
    return np.concatenate([aggregate(values, how, axis=1) for how in ("mean", "max")], axis=1)
