"""From a number, its bounds and a budget to a verdict."""

from __future__ import annotations

import math

__all__ = ["decide", "is_supported"]


def decide(auc: float, low: float, high: float, budget: float, gate: str = "point") -> str:
    """Decide on one result.

    Parameters
    ----------
    auc, low, high
        The estimate and its bounds.
    budget
        The largest AUC accepted.
    gate
        ``"point"`` fails when the estimate is over the budget; ``"evidence"`` when the lower
        bound is; ``"certify"`` passes only when the upper bound is at or under it.

    Returns
    -------
    ``"pass"``, ``"fail"`` or ``"inconclusive"``
        Comparisons are written so that NaN, which is neither above nor below anything, fails.
    """
    if not all(math.isfinite(value) for value in (auc, low, high)):
        return "fail"
    if gate == "certify":
        return "pass" if high <= budget else "fail" if low > budget else "inconclusive"
    return "pass" if (auc if gate == "point" else low) <= budget else "fail"


def is_supported(low: float, high: float, budget: float) -> bool:
    """Tell whether the bounds are on one side of the budget: the sample size supports a verdict."""
    return low > budget or high <= budget
