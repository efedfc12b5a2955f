"""What an audit of a given size could have found."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm

from privaudit.statistics.intervals import hanley_mcneil_variance

__all__ = ["detectable_auc", "samples_factor"]

POWER = 0.8


def detectable_auc(
    n_members: int,
    n_non_members: int,
    reference: float = 0.5,
    confidence: float = 0.95,
    power: float = POWER,
) -> float | None:
    r"""Smallest true AUC that so many samples would tell from a reference.

    It solves :math:`A - A_0 = z_{1-\alpha}\,\sigma(A_0) + z_{\text{power}}\,\sigma(A)`, a
    one-sided test, with the standard errors of Hanley & McNeil (1982).

    Parameters
    ----------
    n_members, n_non_members
        Size of the evaluation set.
    reference
        0.5, or the budget; in [0.5, 1).
    confidence
        One-sided, in (0, 1).
    power
        Probability of finding it, in (0, 1).

    Returns
    -------
    float or None
        ``None`` when even AUC 1 would not be told from the reference.
    """
    up, found = float(norm.ppf(confidence)), float(norm.ppf(power))

    def gap(value: float) -> float:
        errors = [
            math.sqrt(hanley_mcneil_variance(a, n_members, n_non_members))
            for a in (reference, value)
        ]
        return value - reference - up * errors[0] - found * errors[1]

    largest = 1 - 1e-9
    if not reference < 1 or gap(largest) < 0:
        return None
    return float(brentq(gap, reference, largest))


def samples_factor(auc: float, bound: float, budget: float) -> float | None:
    """How many times as many samples would move a bound of the AUC to the budget.

    The width on the logit scale shrinks with the square root of the number of samples.

    Parameters
    ----------
    auc, bound
        The estimate, and its bound on the side of the budget.
    budget
        Where the bound would have to be.

    Returns
    -------
    float or None
        At least 1; ``None`` when the estimate is at the budget or at 0 or 1, where no number
        of samples is known to decide.
    """
    if not all(0 < value < 1 for value in (auc, bound, budget)) or auc == budget:
        return None

    def logit(p: float) -> float:
        return math.log(p / (1 - p))

    ratio = (logit(bound) - logit(auc)) / (logit(budget) - logit(auc))
    return max(1.0, ratio**2)
