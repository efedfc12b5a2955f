"""What a gate will err, and how many samples it needs, before anything is generated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri
from scipy.stats import norm

from privaudit.errors import SettingError
from privaudit.statistics.intervals import hanley_mcneil_variance
from privaudit.statistics.roc import as_fraction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "LeastSamples",
    "default_leak",
    "false_red_rate",
    "least_for_a_verdict",
    "samples_for_false_red",
    "samples_to_decide",
]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
MOST = 10_000_000


def _all_under(z: float, k: int, correlation: float) -> float:
    r"""Probability that k standard normals, equally correlated, are all at most z.

    :math:`\int \varphi(x)\,\Phi((z - \sqrt\rho x)/\sqrt{1 - \rho})^k\,dx`, by Gauss–Hermite
    quadrature (Gupta 1963).
    """
    if correlation >= 1 or k == 1:
        return float(norm.cdf(z))
    inner = (z - math.sqrt(correlation) * NODES) / math.sqrt(1 - correlation)
    density: NDArray[np.float64] = WEIGHTS / math.sqrt(2 * math.pi)
    return float(density @ np.exp(k * log_ndtr(inner)))


def _all_within(z: float, k: int, correlation: float) -> float:
    """Return the probability that k such normals are all between -z and z."""
    if z <= 0:
        return 0.0
    if correlation >= 1 or k == 1:
        return float(1 - 2 * norm.cdf(-z))
    spread, shift = math.sqrt(1 - correlation), math.sqrt(correlation) * NODES
    inside = norm.cdf((z - shift) / spread) - norm.cdf((-z - shift) / spread)
    density: NDArray[np.float64] = WEIGHTS / math.sqrt(2 * math.pi)
    return float(density @ inside**k)


def _check(budget: float, k: int, correlation: float) -> None:
    if not 0.5 < budget < 1:
        msg = f"budget={budget!r} is outside (0.5, 1): a model that leaks nothing has an AUC of 0.5"
        raise SettingError(msg)
    if k < 1:
        msg = f"k={k}: at least one result is decided"
        raise SettingError(msg)
    if not 0 <= correlation <= 1:
        msg = f"correlation={correlation!r} is outside [0, 1]"
        raise SettingError(msg)


def false_red_rate(
    n_members: int,
    n_non_members: int,
    budget: float,
    k: int = 1,
    correlation: float = 0.0,
    *,
    auc: float | None = None,
    two_sided: bool = False,
) -> float:
    r"""How often a model that leaks nothing has a result over the budget, by chance alone.

    Two-sided, it is the false-red rate of the gate ``point``, which judges an AUC as its mirror
    image is. An AUC of exchangeable scores has mean ½ and
    variance :math:`(m + n + 1)/(12 m n)`, and is close to normal (Mann & Whitney 1947).

    Parameters
    ----------
    n_members, n_non_members
        Evaluated samples: those of attack-I that calibrate do not count.
    budget
        The largest AUC accepted, in (0.5, 1).
    k
        Results decided together.
    correlation
        Of two results' AUCs, in [0, 1];
        :attr:`privaudit.statistics.SimultaneousBounds.correlation` estimates it from scores. 0,
        where nothing is known, gives the largest rate.
    auc
        The largest AUC observed. If given, the rate at which a clean model would be at least as
        red as this.
    two_sided
        Whether a result that is as far below ½ counts too.

    Raises
    ------
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> round(false_red_rate(50, 50, 0.6), 3)
    0.042
    >>> round(false_red_rate(50, 50, 0.6, k=12), 2)
    0.4
    >>> false_red_rate(1000, 1000, 0.6, k=12) < 1e-6
    True
    """
    _check(budget, k, correlation)
    if min(n_members, n_non_members) < 1:
        msg = f"{n_members} members and {n_non_members} non-members: both classes are needed"
        raise SettingError(msg)
    limit = budget if auc is None else max(budget, auc)
    pairs = n_members * n_non_members
    spread = math.sqrt((n_members + n_non_members + 1) / (12 * pairs))
    # A count of pairs moves by whole steps: over the budget begins half a step above it.
    steps = math.floor(as_fraction(limit) * pairs)
    at_least = (steps + 0.5) / pairs if auc is None else limit - 0.5 / pairs
    inside = _all_within if two_sided else _all_under
    return max(0.0, 1 - inside((at_least - 0.5) / spread, k, correlation))


def samples_for_false_red(
    budget: float, k: int = 1, correlation: float = 0.0, *, rate: float = 0.05
) -> int | None:
    """How many samples of each class keep the false-red rate of ``point`` at or under a rate.

    Parameters
    ----------
    budget, k, correlation
        As of :func:`false_red_rate`.
    rate
        In (0, 1).

    Returns
    -------
    int or None
        ``None`` when 10 million would not do.

    Raises
    ------
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> n = samples_for_false_red(0.6, k=12)
    >>> false_red_rate(n, n, 0.6, k=12, two_sided=True) <= 0.05
    True
    """
    _check(budget, k, correlation)
    if not 0 < rate < 1:
        msg = f"rate={rate!r} is outside (0, 1)"
        raise SettingError(msg)
    return _least(lambda n: false_red_rate(n, n, budget, k, correlation, two_sided=True) <= rate)


def default_leak(budget: float) -> float:
    """Return an AUC that ought to fail: as far over the budget as ½ is under it.

    Half-way to 1, where that would be over 1.

    Examples
    --------
    >>> round(default_leak(0.6), 9), default_leak(0.8)
    (0.7, 0.9)
    """
    return 2 * budget - 0.5 if 2 * budget - 0.5 < 1 else (1 + budget) / 2


def samples_to_decide(
    budget: float,
    k: int = 1,
    correlation: float = 0.0,
    *,
    leak: float | None = None,
    confidence: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """How many samples of each class decide both ways.

    With so many, a model that leaks nothing passes ``certify`` with this power, and a model one
    of whose results has the AUC ``leak`` is shown to be over the budget with this power.

    Parameters
    ----------
    budget
        The largest AUC accepted, in (0.5, 1).
    k
        Results decided together.
    correlation
        Of two results' AUCs, in [0, 1].
    leak
        True AUC that is to fail, in (budget, 1); by default :func:`default_leak`.
    confidence
        Of both conclusions, one-sided.
    power
        In (0, 1).

    Returns
    -------
    int or None
        Samples of each class; ``None`` when 10 million would not do.

    Raises
    ------
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> samples_to_decide(0.6, k=12, correlation=0.6) < samples_to_decide(0.6, k=12)
    True
    """
    _check(budget, k, correlation)
    if leak is None:
        leak = default_leak(budget)
    if not budget < leak < 1:
        msg = f"leak={leak!r} is outside (budget, 1) = ({budget:g}, 1)"
        raise SettingError(msg)
    for name, value in (("confidence", confidence), ("power", power)):
        if not 0.5 <= value < 1:
            msg = f"{name}={value!r} is outside [0.5, 1)"
            raise SettingError(msg)
    single, reached = float(ndtri(confidence)), float(ndtri(power))
    together = float(brentq(lambda z: _all_under(z, k, correlation) - confidence, -5, 12))
    limit = _logit(budget)

    def passes(n: int) -> bool:
        return _all_within(limit / _logit_error(0.5, n) - single, k, correlation) >= power

    def fails(n: int) -> bool:
        return (_logit(leak) - limit) / _logit_error(leak, n) >= together + reached

    found = [_least(enough) for enough in (passes, fails)]
    return None if None in found else max(n for n in found if n is not None)


def _least(enough: Callable[[int], bool]) -> int | None:
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _logit_error(auc: float, n: int) -> float:
    return math.sqrt(hanley_mcneil_variance(auc, n, n)) / (auc * (1 - auc))


@dataclass(frozen=True)
class LeastSamples:
    """Sizes of the smaller class below which no scores at all would lead to a verdict.

    Attributes
    ----------
    to_fail
        With fewer, even members and non-members that are wholly apart are not shown to be.
    to_pass
        With fewer, even members that all score below every non-member do not pass ``certify``.
    """

    to_fail: int
    to_pass: int


def least_for_a_verdict(budget: float, k: int = 1, confidence: float = 0.95) -> LeastSamples:
    r"""Return the sizes below which no verdict is possible, whatever the scores.

    The bound of an AUC of 1 is :math:`\alpha^{1/n}`, see
    :func:`privaudit.statistics.auc_interval`; for a fail it has to be over the budget, with the
    error shared by k results at the worst.

    Raises
    ------
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> least_for_a_verdict(0.6)
    LeastSamples(to_fail=6, to_pass=4)
    """
    _check(budget, k, 0.0)
    if not 0 < confidence < 1:
        msg = f"confidence={confidence!r} is outside (0, 1)"
        raise SettingError(msg)
    error = 1 - confidence
    to_fail = math.floor(math.log(error / k) / math.log(budget)) + 1
    to_pass = math.ceil(math.log(error) / math.log(1 - budget))
    return LeastSamples(max(2, to_fail), max(2, to_pass))
