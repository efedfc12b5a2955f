"""The threshold attack: the pooled similarity itself, and a line drawn on calibration data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks.base import check_calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements.similarity import Features

__all__ = ["ThresholdAttack"]


class ThresholdAttack:
    r"""Call a sample a member when its pooled similarity is above :math:`\tau`.

    :math:`\tau` is the midpoint between two neighbouring calibration scores that calls most
    calibration samples right, the lowest of equals (the paper's threshold-based attack; the
    reference code searches the same midpoints, over the largest standardised entry of the
    similarity vector).
    """

    threshold: float

    def __init__(self, seed: int = 0) -> None:  # nothing in it is random
        del seed

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> ThresholdAttack:
        """Choose τ for accuracy on the calibration set."""
        check_calibration(features, labels, least=1)
        scores = np.unique(features.pooled)
        candidates = np.concatenate([[-np.inf], (scores[:-1] + scores[1:]) / 2, [np.inf]])
        # Right above a candidate: the members above it, and the non-members not above it.
        ranked = [np.sort(features.pooled[side]) for side in (labels, ~labels)]
        above = len(ranked[0]) - np.searchsorted(ranked[0], candidates, side="right")
        below = np.searchsorted(ranked[1], candidates, side="right")
        best = int((above + below).argmax())
        # An end of the line means that no threshold beats calling all samples alike.
        self.calibration_scores = features.pooled  # no fit has a say in them
        self.threshold = float(np.clip(candidates[best], scores[0] - 1, scores[-1]))
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the pooled similarities, shape (n,)."""
        return features.pooled
