"""How many samples a model redraws nearly exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.measurements.features import Features

__all__ = ["best_structure", "copy_threshold"]

BLOCK = "structure"


def best_structure(features: Features) -> NDArray[np.float64] | None:
    """Return the structural similarity of each sample's best answer, shape (n,).

    Returns
    -------
    ndarray or None
        ``None`` if that was not measured.
    """
    block = features.blocks.get(BLOCK)
    return None if block is None else block[:, -1]


def copy_threshold(non_members: NDArray[np.float64]) -> float:
    """Return the structural similarity from which an answer is nearly a copy.

    It lies halfway between what the luckiest of the calibration non-members reached and 1, the
    similarity of an exact copy: no model has to have seen a sample to draw it as well as the
    former. On the over-fitted emoji model, asked as in attack-I, the non-members reach 0.68, so it
    is 0.84: 48 of 94 evaluated members are above it and no non-member; on the DP model nobody is.

    Parameters
    ----------
    non_members
        Best similarities of the calibration set's non-members, shape (n,), n at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> copy_threshold(np.array([0.1, 0.5]))
    0.75
    """
    return float((1 + non_members.max()) / 2)
