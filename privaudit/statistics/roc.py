"""ROC-AUC, accuracy at a threshold, and true positives at a low false positive rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["OperatingPoint", "auc", "success_rate", "tpr_at_fpr"]


def _checked(member_scores: ArrayLike, non_member_scores: ArrayLike) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
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
    members, non_members = _checked(member_scores, non_member_scores)
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
    members, non_members = _checked(member_scores, non_member_scores)
    return float(((members > threshold).mean() + (non_members <= threshold).mean()) / 2)


@dataclass(frozen=True)
class OperatingPoint:
    """A point of the empirical ROC curve.

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


def tpr_at_fpr(
    member_scores: ArrayLike, non_member_scores: ArrayLike, target: float
) -> OperatingPoint | None:
    """Largest true positive rate at a false positive rate of at most ``target``.

    Parameters
    ----------
    member_scores, non_member_scores
        The scores.
    target
        False positive rate, in (0, 1]. No interpolation: the point returned exists.

    Returns
    -------
    OperatingPoint or None
        ``None`` when there are fewer than 1 / target non-members: the rate cannot be observed.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = _checked(member_scores, non_member_scores)
    allowed = int(np.floor(target * len(non_members) + 1e-9))
    if allowed < 1:
        return None
    # Called a member: above the (allowed + 1)-th largest non-member score.
    ordered = np.sort(non_members)[::-1]
    threshold = ordered[allowed] if allowed < len(ordered) else -np.inf
    hits, alarms = int((members > threshold).sum()), int((non_members > threshold).sum())
    return OperatingPoint(hits / len(members), alarms / len(non_members), hits, alarms)
