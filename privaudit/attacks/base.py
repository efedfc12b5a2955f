"""What every inference model does, and the data none of them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.model_selection import StratifiedKFold

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = [
    "InferenceModel",
    "check_calibration",
    "check_spread",
    "out_of_fold",
    "standardiser",
    "youden",
]

FOLDS = 5
LEAST_TO_CHECK = 10
"""Scores from which on a lack of spread cannot be an accident."""
DEAD = 1e-8
"""Spread of scores, in units of their size, below which their order is rounding."""
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
    for values in (features.vectors, features.similarity, *features.blocks.values()):
        if not np.isfinite(values).all():
            msg = f"{int((~np.isfinite(values)).sum())} similarities are not finite"
            raise ScoreError(msg)


def out_of_fold(
    labels: NDArray[np.bool_],
    seed: int,
    scored: Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], bool]:
    """Score each calibration sample by a model that did not see it.

    Parameters
    ----------
    labels
        Shape (n,), ``True`` for members.
    seed
        Of the split in five.
    scored
        From the places of samples to fit on, and of others, to the scores of the latter.

    Returns
    -------
    ndarray of shape (n,), bool
        The scores, and whether there are any: NaN where a class is too small to be split.
    """
    scores = np.full(len(labels), np.nan)
    if min(int(labels.sum()), int((~labels).sum())) < LEAST_TO_FOLD:
        return scores, False
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for seen, unseen in parts.split(labels, labels):
        scores[unseen] = scored(seen, unseen)
    return scores, True


def youden(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Find the threshold of the largest Youden index, true minus false positive rate.

    Youden (1950). Candidates are the midpoints between neighbouring scores, and the two ends of
    the line; of equals the lowest is taken.

    Parameters
    ----------
    scores
        Calibration scores, shape (n,), finite.
    labels
        True for members, shape (n,), both classes present.

    Examples
    --------
    >>> import numpy as np
    >>> youden(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    0.5
    """
    values = np.unique(scores)
    candidates = np.concatenate([[-np.inf], (values[:-1] + values[1:]) / 2, [np.inf]])
    members, non_members = np.sort(scores[labels]), np.sort(scores[~labels])
    # Whole numbers: a quotient would break ties by its last bit.
    true = len(members) - np.searchsorted(members, candidates, side="right")
    false = len(non_members) - np.searchsorted(non_members, candidates, side="right")
    best = int((true * len(non_members) - false * len(members)).argmax())
    # An end of the line means that no threshold beats calling all samples alike.
    return float(np.clip(candidates[best], values[0] - 1, values[-1]))


def standardiser(
    vectors: NDArray[np.float64],
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Make the function that standardises features by the mean and SD of calibration rows.

    A feature that varies by rounding alone, or not at all, becomes zero.

    Parameters
    ----------
    vectors
        Calibration features, shape (n, d).
    """
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
    # Rows are stored in float32: below its resolution there is nothing to see.
    varies = spread > np.finfo(np.float32).eps * np.abs(vectors).max(axis=0)
    factor = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    return lambda rows: (rows - mean) * factor


def check_spread(scores: NDArray[np.float64], vectors: NDArray[np.floating[Any]]) -> None:
    """Check that scores are not dead: features that vary must give scores that vary.

    The order of scores that differ by rounding is no finding, yet it has an AUC. Features that do
    not vary, such as those of exact copies, may well have equal scores.

    Parameters
    ----------
    scores
        Scores of n samples, shape (n,).
    vectors
        Their features, shape (n, d).

    Raises
    ------
    ScoreError
        If scores are not finite, or at least ten differ by rounding while the features differ by
        more.
    """
    if not np.isfinite(scores).all():
        msg = f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite"
        raise ScoreError(msg)
    if len(scores) < LEAST_TO_CHECK:
        return
    size = np.abs(vectors).max()
    features_vary = np.ptp(vectors, axis=0).max() > 1e-4 * size > 0
    if features_vary and np.ptp(scores) <= DEAD * max(np.abs(scores).max(), np.finfo(float).tiny):
        msg = (
            f"{len(scores)} scores differ by no more than {np.ptp(scores):.1g}, though the "
            "features differ: the fitted inference model is dead, and the order of its scores "
            "would be rounding; leave it out with --privaudit-attacks"
        )
        raise ScoreError(msg)
