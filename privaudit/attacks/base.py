"""What every inference model does, and the data none of them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from sklearn.model_selection import StratifiedKFold

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["InferenceModel", "check_calibration", "folds"]

FOLDS = 5
LEAST_TO_FOLD = 10


class InferenceModel(Protocol):
    """Fitted on a calibration set, then asked about samples it has not seen.

    Attributes
    ----------
    threshold
        Decision threshold on the score, fixed by ``fit``: above it, a sample is called a member.
    calibration_scores
        Scores of the calibration samples, shape (n,), each from a fit that has not seen the
        sample: what a threshold for a low false positive rate can be read off. NaN with fewer
        than ten samples of a class.
    """

    threshold: float
    calibration_scores: NDArray[np.float64]

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> InferenceModel:
        """Fit on n calibration samples; ``labels`` (n,) is true for members."""
        ...

    def score(self, features: Features) -> NDArray[np.float64]:
        """Score n samples, shape (n,): higher means more likely a member."""
        ...


def check_calibration(features: Features, labels: NDArray[np.bool_], least: int) -> None:
    """Check that a calibration set can be fitted on.

    Raises
    ------
    ScoreError
        If a class has fewer than ``least`` samples, or a feature is not finite.
    """
    members, non_members = int(labels.sum()), int((~labels).sum())
    if min(members, non_members) < least:
        msg = (
            f"{members} members and {non_members} non-members to calibrate on, at least {least} "
            "of each are needed: add samples, or raise --privaudit-calibration"
        )
        raise ScoreError(msg)
    for values in (features.vectors, features.pooled):
        if not np.isfinite(values).all():
            msg = f"{int((~np.isfinite(values)).sum())} similarities are not finite"
            raise ScoreError(msg)


def folds(labels: NDArray[np.bool_], seed: int) -> StratifiedKFold | None:
    """Split a calibration set in five for out-of-fold scores; ``None`` if it is too small."""
    if min(int(labels.sum()), int((~labels).sum())) < LEAST_TO_FOLD:
        return None
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
