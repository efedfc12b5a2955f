"""What every inference model does, and the data none of them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.similarity import Features

__all__ = ["InferenceModel", "check_calibration"]


class InferenceModel(Protocol):
    """Fitted on a calibration set, then asked about samples it has not seen.

    Attributes
    ----------
    threshold
        Decision threshold on the score, fixed by ``fit``: above it, a sample is called a member.
    """

    threshold: float

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
