"""How much an AUC rose from one model to another: on the same samples, or on others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.optimize import brentq
from scipy.stats import norm

from privaudit.errors import SettingError
from privaudit.statistics.intervals import (
    PRIOR_SAMPLES,
    AucEstimate,
    auc_estimate,
    hanley_mcneil_variance,
)
from privaudit.statistics.simultaneous import (
    ResultScores,
    correlations_of,
    influences,
    largest_deviation,
    sides,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AucChange",
    "auc_change",
    "change_bounds",
    "change_reach",
    "detectable_rise",
    "largest_shown_rise",
]

FARTHEST = 40.0
"""Standard errors beyond which a p-value is 0 in double precision."""


@dataclass(frozen=True)
class AucChange:
    """By how much the AUC of a new model is above that of an old one.

    Attributes
    ----------
    old, new
        The two AUCs, in [0, 1].
    change
        ``new − old``, in [−1, 1].
    low, high
        Bounds of the change: −1 ≤ low ≤ change ≤ high ≤ 1.
    confidence
        Of both bounds together, each erring with half of the rest.
    p_value
        One-sided, of the hypothesis that the AUC did not rise.
    standard_error
        Of the change.
    correlation
        Of the two AUCs, as the samples they share make them deviate together; 0 where they share
        none, or where the scores of one do not vary.
    n_shared
        Samples that both were computed from.
    """

    old: float
    new: float
    change: float
    low: float
    high: float
    confidence: float
    p_value: float
    standard_error: float
    correlation: float
    n_shared: int


def auc_change(old: ResultScores, new: ResultScores, confidence: float = 0.95) -> AucChange:
    r"""Compare the AUCs of two models, paired as far as they were asked of the same samples.

    The covariance of the two AUCs is that of DeLong et al. (1988, equation 6): the products of
    each shared sample's placements under both models. The interval joins those of the two AUCs,
    which are on the logit scale (:func:`privaudit.statistics.auc_interval`), by the square-and-add
    rule for correlated estimates (Zou & Yue 2013, equation 4; Zou 2007):
    :math:`L = \hat A_1 - \hat A_0 - \sqrt{(\hat A_1 - l_1)^2 + (u_0 - \hat A_0)^2 -
    2\hat\rho(\hat A_1 - l_1)(u_0 - \hat A_0)}`, likewise above. So it stays in [−1, 1], has a width
    where an AUC is 0 or 1, and for other samples is the interval of two independent AUCs. The
    correlation is :math:`k\hat\rho/(k + 5)`, with k the size of the smallest class: the five
    samples for which :func:`privaudit.statistics.auc_interval` does not trust DeLong alone are
    here taken as not shared. Without them, 30 samples on which two models nearly agree would
    prove a rise too often.

    Parameters
    ----------
    old, new
        Scores of both models. What has one id in both is one sample.
    confidence
        Of both bounds together, in (0, 1).

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    SettingError
        If ``confidence`` is outside (0, 1).

    Examples
    --------
    >>> old = ResultScores({"a": 3.0, "b": 1.0, "c": 2.5}, {"d": 0.0, "e": 2.0, "f": 1.5})
    >>> same = auc_change(old, old)
    >>> same.change, same.n_shared, same.low < 0 < same.high
    (0.0, 6, True)
    """
    if not 0 < confidence < 1:
        msg = f"confidence={confidence!r} is outside (0, 1)"
        raise SettingError(msg)
    pair = _Pair(old, new)
    reach = -float(norm.ppf((1 - confidence) / 2))
    return AucChange(
        old=pair.old.value,
        new=pair.new.value,
        change=pair.change,
        low=pair.low(reach),
        high=pair.high(reach),
        confidence=confidence,
        p_value=pair.p_value,
        standard_error=pair.standard_error,
        correlation=pair.correlation,
        n_shared=pair.n_shared,
    )


def change_bounds(
    old: ResultScores, new: ResultScores, below: float, above: float
) -> tuple[float, float]:
    """Bound a change, so many standard errors below and above it, as :func:`auc_change` does.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    pair = _Pair(old, new)
    return pair.low(below), pair.high(above)


class _Pair:
    """Two results of one question, with their bounds and what they share."""

    def __init__(self, old: ResultScores, new: ResultScores) -> None:
        self.old, self.new = (auc_estimate(*sides(one)) for one in (old, new))
        self.change = self.new.value - self.old.value
        before, after = influences(old), influences(new)
        self.n_shared = len(before.keys() & after.keys())
        self.correlation = self._correlation(before, after)

    def _correlation(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        # Exact sums, so that no order of the samples decides a last bit.
        squares = (math.fsum(x * x for x in one.values()) for one in (before, after))
        spread = math.prod(map(math.sqrt, squares))
        if spread == 0:
            return 0.0
        shared = math.fsum(before[key] * after[key] for key in before.keys() & after.keys())
        k = min(n for one in (self.old, self.new) for n in (one.n_members, one.n_non_members))
        return max(-1.0, min(1.0, shared / spread)) * k / (k + PRIOR_SAMPLES)

    @property
    def standard_error(self) -> float:
        before, after = self.old.trusted_variance, self.new.trusted_variance
        both = 2 * self.correlation * math.sqrt(before * after)
        return math.sqrt(max(0.0, before + after - both))

    def low(self, reach: float) -> float:
        down, up = _apart(self.new, reach, lower=True), _apart(self.old, reach, lower=False)
        return max(-1.0, self.change - self._joined(down, up))

    def high(self, reach: float) -> float:
        up, down = _apart(self.new, reach, lower=False), _apart(self.old, reach, lower=True)
        return min(1.0, self.change + self._joined(up, down))

    def _joined(self, a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2 * self.correlation * a * b))

    @property
    def p_value(self) -> float:
        """The error at which the bound next to 0 is 0; of a fall, that of the rise back."""
        if self.change == 0:
            return 0.5
        bound = self.low if self.change > 0 else lambda reach: -self.high(reach)
        if bound(0.0) <= 0:
            return 0.5  # so few samples bound nothing, however little is asked of the bound
        reach = FARTHEST if bound(FARTHEST) > 0 else float(brentq(bound, 0.0, FARTHEST))
        tail = float(norm.sf(reach))
        return tail if self.change > 0 else 1.0 - tail


def _apart(found: AucEstimate, reach: float, *, lower: bool) -> float:
    return abs(found.value - found.bound(reach, lower=lower))


def change_reach(
    pairs: Mapping[str, tuple[ResultScores, ResultScores]],
    confidence: float = 0.95,
    seed: int = 0,
) -> float:
    """Return how many standard errors away bounds of several changes hold together.

    It is the quantile of the largest of their deviations, as of
    :func:`privaudit.statistics.simultaneous_lower_bounds`, where each sample moves a change by
    what it moves the new AUC less what it moves the old one.

    Parameters
    ----------
    pairs
        Old and new scores of each result that is decided, by its name.
    confidence
        That all bounds of one side hold at once, in [0.5, 1).
    seed
        Of the draws.

    Raises
    ------
    ScoreError
        If there is no result, a class has fewer than two scores, or one is not finite.
    SettingError
        If ``confidence`` is outside [0.5, 1).
    """
    columns = []
    for old, new in pairs.values():
        before, after = influences(old), influences(new)
        columns.append(
            {
                name: after.get(name, 0.0) - before.get(name, 0.0)
                for name in sorted(before.keys() | after.keys())
            }
        )
    return largest_deviation(correlations_of(columns), confidence, seed)


def detectable_rise(change: AucChange, reach: float, power: float = 0.8) -> float:
    """Return the smallest rise that such samples would show with this probability.

    Parameters
    ----------
    change
        A comparison of so many samples, whose standard error is taken to stay.
    reach
        Standard errors between an estimate and its bound.
    power
        In (0, 1).
    """
    return float(min(1.0, (reach + norm.ppf(power)) * change.standard_error))


def largest_shown_rise(old: tuple[int, int], new: tuple[int, int], reach: float) -> float:
    """Return the largest lower bound that a rise can have, whatever the new scores.

    It is that of an AUC of 1 over one of 0.5, on samples that tell nothing of each other. Where
    it is not above 0, so few samples can show no rise.

    Parameters
    ----------
    old, new
        Members and non-members that were evaluated.
    reach
        Standard errors between an estimate and its bound.

    Examples
    --------
    >>> largest_shown_rise((6, 6), (6, 6), 2.6) > 0, largest_shown_rise((30, 30), (30, 30), 2.6) > 0
    (False, True)
    """
    apart = float(norm.cdf(-reach) ** (1 / min(new)))
    spread = math.sqrt(hanley_mcneil_variance(0.5, *old)) / 0.25
    up = 1 / (1 + math.exp(-reach * spread)) - 0.5
    return 0.5 - math.hypot(1 - apart, up)
