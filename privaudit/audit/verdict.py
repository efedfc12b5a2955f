"""From a number, its bounds and a budget to a verdict."""

from __future__ import annotations

import math

__all__ = ["decide", "is_supported", "worst"]

ORDER = ("pass", "inconclusive", "fail")


def decide(auc: float, low: float, high: float, budget: float, gate: str = "point") -> str:
    """Decide on one result.

    Parameters
    ----------
    auc, low, high
        The estimate and its bounds.
    budget
        The largest AUC accepted.
    gate
        ``"point"`` passes when the estimate is within the budget, ``"evidence"`` when the lower
        bound is, ``"certify"`` when the upper bound is.

    Returns
    -------
    ``"pass"``, ``"fail"`` or ``"inconclusive"``
        What does not pass fails if the lower bound is over the budget, which shows that the AUC
        is. Comparisons are written so that NaN, which is neither above nor below anything, fails.
    """
    if not all(math.isfinite(value) for value in (auc, low, high)):
        return "fail"
    decisive = {"point": auc, "evidence": low, "certify": high}[gate]
    return "pass" if decisive <= budget else "fail" if low > budget else "inconclusive"


def worst(*verdicts: str) -> str:
    """Return the worst of several verdicts.

    Examples
    --------
    >>> worst("pass", "inconclusive")
    'inconclusive'
    """
    return max(verdicts, key=ORDER.index)


def is_supported(low: float, high: float, budget: float) -> bool:
    """Tell whether the bounds are on one side of the budget: the sample size supports a verdict."""
    return low > budget or high <= budget
