"""ROC-AUC, accuracy at a threshold, and thresholds for a low false positive rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["OperatingPoint", "auc", "checked", "rates_at", "success_rate", "threshold_at_fpr"]


def checked(
    member_scores: ArrayLike, non_member_scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both classes as flat float64 arrays.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    arrays = []
    for name, scores in (("member", member_scores), ("non-member", non_member_scores)):
        array = np.asarray(scores, dtype=np.float64).ravel()
        if len(array) == 0:
            msg = f"0 {name} scores: both classes are needed to tell them apart"
            raise ScoreError(msg)
        if not np.isfinite(array).all():
            msg = f"{int((~np.isfinite(array)).sum())} of {len(array)} {name} scores are not finite"
            raise ScoreError(msg)
        arrays.append(array)
    return arrays[0], arrays[1]


def auc(member_scores: ArrayLike, non_member_scores: ArrayLike) -> float:
    """Probability that a random member scores above a random non-member; ties count half.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    labels = np.concatenate([np.ones(len(members)), np.zeros(len(non_members))])
    return float(roc_auc_score(labels, np.concatenate([members, non_members])))


def success_rate(member_scores: ArrayLike, non_member_scores: ArrayLike, threshold: float) -> float:
    """Attack success rate: mean of the two classes' accuracies at a fixed threshold.

    Equal weight for both classes, so guessing is 0.5 whatever their sizes.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    return float(((members > threshold).mean() + (non_members <= threshold).mean()) / 2)


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does on an evaluation set.

    Attributes
    ----------
    tpr, fpr
        The rates achieved.
    true_positives, false_positives
        Their counts.
    """

    tpr: float
    fpr: float
    true_positives: int
    false_positives: int


def threshold_at_fpr(non_member_scores: ArrayLike, target: float) -> float | None:
    """Lowest threshold at which at most a share of the given non-members is above.

    Parameters
    ----------
    non_member_scores
        Of calibration samples, so that evaluation samples have no say in it.
    target
        False positive rate, in (0, 1]. Nothing is interpolated.

    Returns
    -------
    float or None
        ``None`` when there are fewer than 1 / target non-members: they cannot show such a rate.

    Raises
    ------
    ScoreError
        If there are none or a score is not finite.
    """
    _, non_members = checked([0.0], non_member_scores)
    allowed = int(np.floor(target * len(non_members) + 1e-9))
    if allowed < 1:
        return None
    # Called a member: above the (allowed + 1)-th largest non-member score.
    ordered = np.sort(non_members)[::-1]
    return float(ordered[allowed]) if allowed < len(ordered) else -np.inf


def rates_at(
    member_scores: ArrayLike, non_member_scores: ArrayLike, threshold: float
) -> OperatingPoint:
    """Count who is above a threshold.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    hits, alarms = int((members > threshold).sum()), int((non_members > threshold).sum())
    return OperatingPoint(hits / len(members), alarms / len(non_members), hits, alarms)
