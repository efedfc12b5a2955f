"""ROC-AUC, accuracy at a threshold, and thresholds for a low false positive rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from privaudit.errors import ScoreError, SettingError

if TYPE_CHECKING:
    from decimal import Decimal

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "OperatingPoint",
    "PairCounts",
    "as_fraction",
    "auc",
    "checked",
    "count_pairs",
    "least_for_fpr",
    "rates_at",
    "success_rate",
    "threshold_at_fpr",
]


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


def as_fraction(number: float | str | Decimal) -> Fraction:
    """Read a number as the decimal its owner wrote: 0.6 is 3/5, not the nearest double.

    Raises
    ------
    SettingError
        If it is not a finite number.
    """
    try:
        return Fraction(str(number))
    except ValueError:
        msg = f"{number!r} is not a number to compare an AUC with: use a decimal such as 0.6"
        raise SettingError(msg) from None


@dataclass(frozen=True)
class PairCounts:
    """How the pairs of one member and one non-member fell: the AUC without rounding.

    Attributes
    ----------
    wins
        Pairs in which the member scores higher.
    ties
        Pairs with equal scores.
    pairs
        All pairs: members times non-members.
    """

    wins: int
    ties: int
    pairs: int

    @property
    def fraction(self) -> Fraction:
        """The AUC: wins and half the ties, over all pairs."""
        return Fraction(2 * self.wins + self.ties, 2 * self.pairs)

    @property
    def auc(self) -> float:
        """The double nearest to the AUC, in [0, 1]."""
        return float(self.fraction)

    def exceeds(self, budget: float | str | Decimal) -> bool:
        """Tell whether the AUC is over a budget, which is read as the decimal that was written.

        Raises
        ------
        SettingError
            If the budget is not a finite number.
        """
        return self.fraction > as_fraction(budget)


def count_pairs(member_scores: ArrayLike, non_member_scores: ArrayLike) -> PairCounts:
    """Count the pairs that the member wins, and those that tie.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    ordered = np.sort(non_members)
    below = int(np.searchsorted(ordered, members, side="left").sum())
    at_most = int(np.searchsorted(ordered, members, side="right").sum())
    return PairCounts(below, at_most - below, len(members) * len(non_members))


def auc(member_scores: ArrayLike, non_member_scores: ArrayLike) -> float:
    """Probability that a random member scores above a random non-member; ties count half.

    It is the double nearest to the exact fraction, so an AUC of 240 of 400 pairs is ``0.6``.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    return count_pairs(member_scores, non_member_scores).auc


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
    r"""Lowest threshold above which a new non-member is expected to be no more often than that.

    Of n exchangeable scores and one more, the new one is above the j-th largest of the n with
    probability :math:`j/(n + 1)`, less with ties. So j is the largest whole number with
    :math:`j/(n + 1) \le` ``target``. The share of these n that are above says less: they chose
    the threshold, and with 100 of them and one above, 2 % of new ones are.

    Parameters
    ----------
    non_member_scores
        Of calibration samples, so that evaluation samples have no say in it.
    target
        Expected false positive rate, in (0, 1]. Nothing is interpolated.

    Returns
    -------
    float or None
        ``None`` when there are fewer than 1 / target − 1 non-members: they cannot promise such
        a rate.

    Raises
    ------
    ScoreError
        If there are none or a score is not finite.
    SettingError
        If the target is outside (0, 1].

    Examples
    --------
    >>> threshold_at_fpr(range(99), 0.01), threshold_at_fpr(range(98), 0.01)
    (98.0, None)
    """
    if not 0 < target <= 1:
        msg = f"a false positive rate of {target!r} is outside (0, 1]"
        raise SettingError(msg)
    _, non_members = checked([0.0], non_member_scores)
    allowed = int(as_fraction(target) * (len(non_members) + 1))
    if allowed < 1:
        return None
    ordered = np.sort(non_members)[::-1]
    return float(ordered[allowed - 1]) if allowed <= len(ordered) else -np.inf


def least_for_fpr(target: float) -> int:
    """Return how many non-members :func:`threshold_at_fpr` needs at least.

    Examples
    --------
    >>> least_for_fpr(0.01), least_for_fpr(0.001)
    (99, 999)
    """
    return max(1, math.ceil(1 / as_fraction(target)) - 1)


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
