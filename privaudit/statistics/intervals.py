"""Intervals for the numbers of an audit: AUC, rates, and the attack success rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv
from scipy.stats import bootstrap, norm, rankdata

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics.roc import auc, checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AucEstimate",
    "AucInterval",
    "Interval",
    "auc_bound",
    "auc_estimate",
    "auc_interval",
    "delong_variance",
    "hanley_mcneil_variance",
    "placements",
    "proportion_interval",
    "shrunk_variance",
    "success_rate_interval",
]

PRIOR_SAMPLES = 5
"""How many samples Hanley and McNeil's variance counts for beside DeLong's, see there."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval of a proportion; all three in [0, 1]."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class AucInterval:
    """A two-sided confidence interval of an AUC.

    Attributes
    ----------
    auc
        The point estimate, in [0, 1].
    low, high
        The bounds: 0 ≤ low ≤ auc ≤ high ≤ 1.
    confidence
        Probability with which such an interval covers the true AUC, each side erring with half
        of the rest.
    standard_error
        Square root of DeLong's variance, 0 when the classes are apart or all scores equal.
    method
        ``"delong"`` or ``"bootstrap"``.
    """

    auc: float
    low: float
    high: float
    confidence: float
    standard_error: float
    method: str


def delong_variance(member_scores: ArrayLike, non_member_scores: ArrayLike) -> float:
    r"""Estimate the variance of the AUC without assuming a shape for the scores.

    With :math:`V_{10}(i)` the share of non-members that member i is above (ties count half) and
    :math:`V_{01}(j)` the share of members above non-member j, it is
    :math:`\mathrm{var}(V_{10})/m + \mathrm{var}(V_{01})/n` (DeLong et al. 1988, equation 5, by
    the mid-ranks of Sun & Xu 2014).

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    above, below = placements(member_scores, non_member_scores)
    return float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))


def placements(
    member_scores: ArrayLike, non_member_scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each score stands among the other class: DeLong's V₁₀ and V₀₁.

    Returns
    -------
    above
        For each member the share of non-members below it, shape (m,); ties count half.
    below
        For each non-member the share of members above it, shape (n,).

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    m, n = len(members), len(non_members)
    if min(m, n) < 2:
        msg = f"{m} member and {n} non-member scores have no variance: at least 2 of each"
        raise ScoreError(msg)
    together = rankdata(np.concatenate([members, non_members]))
    above = (together[:m] - rankdata(members)) / n
    below = 1 - (together[m:] - rankdata(non_members)) / m
    return above, below


def hanley_mcneil_variance(value: float, m: int, n: int) -> float:
    """Variance of an AUC whose scores are exponential: Hanley & McNeil 1982, equation 1."""
    if value < 0.5:  # the same for members and non-members exchanged
        value, m, n = 1 - value, n, m
    two_members = value / (2 - value)
    two_non_members = 2 * value**2 / (1 + value)
    return (
        value * (1 - value)
        + (m - 1) * (two_members - value**2)
        + (n - 1) * (two_non_members - value**2)
    ) / (m * n)


def auc_interval(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    confidence: float = 0.95,
    *,
    method: str = "delong",
    seed: int = 0,
) -> AucInterval:
    r"""Put a confidence interval around an AUC.

    ``"delong"`` is symmetric on the logit scale (Pepe 2003, section 5.2.5), so it stays in
    [0, 1] and keeps its coverage near 1, where the plain interval loses it (79 % at AUC 0.983
    with 30+30). Its variance is :math:`(kV_D + 5V_H)/(k + 5)` with DeLong's :math:`V_D`, Hanley
    and McNeil's :math:`V_H` and k the size of the smaller class: with 30 skewed scores at AUC
    0.95 :math:`V_D` alone, which is often far too small, covers 92 %. Against 100 samples the
    five are nothing. ``benchmarks/intervals.py`` has the table.

    When the classes are apart (AUC 0 or 1) there is no variance to speak of. Then the bound is
    Clopper and Pearson's for k independent pairs, none of which was out of order:
    :math:`(\alpha/2)^{1/k}`, exact but wide. Scores that are all the same have told nothing
    about anybody: their interval is [0, 1].

    Parameters
    ----------
    member_scores, non_member_scores
        The scores: independent samples, not generations of the same one.
    confidence
        Of both sides together, in (0, 1).
    method
        ``"delong"``, or ``"bootstrap"``: percentiles over 2,000 resamples of members and of
        non-members, each among themselves; as above where they have no width, because
        the classes are apart or all scores equal.
    seed
        Of the bootstrap.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    SettingError
        If ``confidence`` is outside (0, 1) or ``method`` is unknown.
    """
    if not 0 < confidence < 1:
        msg = f"confidence={confidence!r} is outside (0, 1)"
        raise SettingError(msg)
    if method not in ("delong", "bootstrap"):
        msg = f"method={method!r} is unknown: use 'delong' or 'bootstrap'"
        raise SettingError(msg)
    members, non_members = checked(member_scores, non_member_scores)
    found = auc_estimate(members, non_members)
    value = found.value
    reach = -float(norm.ppf((1 - confidence) / 2))
    low, high = found.bound(reach, lower=True), found.bound(reach, lower=False)
    if method == "bootstrap" and 0 < value < 1:
        resampled = _bootstrap(members, non_members, confidence, seed)
        # Two of each may have nothing to resample, and equal scores have nothing to say.
        if resampled[0] < resampled[1]:
            low, high = min(resampled[0], value), max(resampled[1], value)
    return AucInterval(value, low, high, confidence, math.sqrt(found.variance), method)


def shrunk_variance(value: float, variance: float, m: int, n: int) -> float:
    """Keep DeLong's variance from being far too small, see :func:`auc_interval`."""
    k, usual = min(m, n), hanley_mcneil_variance(value, m, n)
    return (k * variance + PRIOR_SAMPLES * usual) / (k + PRIOR_SAMPLES)


def auc_bound(
    member_scores: ArrayLike, non_member_scores: ArrayLike, reach: float, *, lower: bool
) -> float:
    """Bound an AUC from one side, so many standard errors away, as :func:`auc_interval` does.

    Parameters
    ----------
    member_scores, non_member_scores
        The scores, of independent samples.
    reach
        In standard errors; the bound errs with probability 1 − Φ(reach).
    lower
        Whether the bound is the lower one.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    return auc_estimate(member_scores, non_member_scores).bound(reach, lower=lower)


@dataclass(frozen=True)
class AucEstimate:
    """An AUC with all that its bounds are made of.

    Attributes
    ----------
    value
        In [0, 1].
    variance
        DeLong's.
    n_members, n_non_members
        How many scores it was computed from.
    """

    value: float
    variance: float
    n_members: int
    n_non_members: int

    @property
    def trusted_variance(self) -> float:
        """The variance that bounds are computed with, see :func:`shrunk_variance`."""
        return shrunk_variance(self.value, self.variance, self.n_members, self.n_non_members)

    def bound(self, reach: float, *, lower: bool) -> float:
        """Bound the AUC from one side, see :func:`auc_bound`."""
        m, n = self.n_members, self.n_non_members
        if lower:
            return _lower_bound(self.value, self.variance, m, n, reach)
        return 1 - _lower_bound(1 - self.value, self.variance, n, m, reach)


def auc_estimate(member_scores: ArrayLike, non_member_scores: ArrayLike) -> AucEstimate:
    """Estimate an AUC once, for bounds at any distance.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    return AucEstimate(
        auc(members, non_members),
        delong_variance(members, non_members),
        len(members),
        len(non_members),
    )


def _lower_bound(value: float, variance: float, m: int, n: int, reach: float) -> float:
    k = min(m, n)
    apart = float(norm.cdf(-reach) ** (1 / k))
    if value == 1.0:
        return apart
    if value == 0.0 or variance == 0.0:
        return 0.0
    shrunk = shrunk_variance(value, variance, m, n)
    centre = math.log(value / (1 - value))
    low = _expit(centre - reach * math.sqrt(shrunk) / (value * (1 - value)))
    # Scores that overlap prove no more than scores that are apart; and rounding must not put the
    # estimate outside of its own interval.
    return min(low, apart, value)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _bootstrap(
    members: NDArray[np.float64], non_members: NDArray[np.float64], confidence: float, seed: int
) -> tuple[float, float]:
    def aucs(a: NDArray[np.float64], b: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        ranks = rankdata(np.concatenate([a, b], axis=axis), axis=axis)
        m, n = a.shape[axis], b.shape[axis]
        total: NDArray[np.float64] = ranks[..., :m].sum(axis=axis)
        return np.asarray((total - m * (m + 1) / 2) / (m * n))

    found = bootstrap(
        (members, non_members),
        aucs,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        batch=200,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def proportion_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a proportion (1934), by quantiles of Beta.

    Raises
    ------
    ScoreError
        If there were no trials.
    """
    if n < 1:
        msg = f"{n} trials: a proportion of nothing has no interval"
        raise ScoreError(msg)
    k, tail = successes, (1 - confidence) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(k / n, low, high)


def success_rate_interval(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    threshold: float,
    confidence: float = 0.95,
) -> Interval:
    r"""Put an interval around the attack success rate at a threshold fixed beforehand.

    The rate is the mean of two independent proportions, each with its Clopper–Pearson interval;
    the two are joined by the square-and-add rule of Zou & Donner (2008, equation 5):
    :math:`L = \hat p - \tfrac12\sqrt{(\hat p_1 - l_1)^2 + (\hat p_2 - l_2)^2}`, likewise above.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    """
    members, non_members = checked(member_scores, non_member_scores)
    hits, passed = int((members > threshold).sum()), int((non_members <= threshold).sum())
    a = proportion_interval(hits, len(members), confidence)
    b = proportion_interval(passed, len(non_members), confidence)
    estimate = (a.estimate + b.estimate) / 2
    down = math.hypot(a.estimate - a.low, b.estimate - b.low) / 2
    up = math.hypot(a.high - a.estimate, b.high - b.estimate) / 2
    return Interval(estimate, max(0.0, estimate - down), min(1.0, estimate + up))
