"""What an audit of a given size could have found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from privaudit.statistics.intervals import hanley_mcneil_variance, placements, shrunk_variance
from privaudit.statistics.roc import auc

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["SamplesNeeded", "detectable_auc", "samples_needed"]

POWER = 0.8
MOST = 10_000_000


def detectable_auc(
    n_members: int,
    n_non_members: int,
    reference: float = 0.5,
    confidence: float = 0.95,
    power: float = POWER,
    *,
    two_sided: bool = True,
) -> float | None:
    r"""Smallest true AUC that so many samples would tell from a reference.

    It solves :math:`\mathrm{logit} A - \mathrm{logit} A_0 =
    (z_\alpha + z_{\text{power}})\,\sigma(A)/(A(1 - A))`: with this power the lower bound of
    :func:`privaudit.statistics.auc_interval`, which is made on the logit scale, is over the
    reference. σ is the standard error of Hanley & McNeil (1982).

    Parameters
    ----------
    n_members, n_non_members
        Size of the evaluation set.
    reference
        0.5, or the budget; in [0.5, 1).
    confidence
        Of the interval, in (0, 1).
    power
        Probability of finding it, in (0, 1).
    two_sided
        Whether the confidence is that of both bounds together, as an interval's is, or of the
        lower one alone.

    Returns
    -------
    float or None
        ``None`` when no AUC below 1 is told from the reference with this power.
    """
    tail = (1 - confidence) / 2 if two_sided else 1 - confidence
    reach = float(norm.ppf(power) - norm.ppf(tail))
    limit = _logit(reference) if reference < 1 else math.inf
    apart = tail ** (1 / min(n_members, n_non_members))
    if apart <= reference:
        return None

    def gap(value: float) -> float:
        # Which of two unequal classes counts for more depends on whose scores are the wider.
        error = math.sqrt(
            max(
                hanley_mcneil_variance(value, n_members, n_non_members),
                hanley_mcneil_variance(value, n_non_members, n_members),
            )
        )
        return _logit(value) - limit - reach * error / (value * (1 - value))

    # Near 1 the error on the logit scale grows without end: the first crossing is meant.
    grid = np.linspace(reference + 1e-6, 1 - 1e-6, 500)
    above = [i for i, value in enumerate(grid) if gap(float(value)) >= 0]
    if not above or above[0] == 0:
        return None if not above else float(grid[0])
    return float(brentq(gap, grid[above[0] - 1], grid[above[0]]))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


@dataclass(frozen=True)
class SamplesNeeded:
    """The sizes at which a verdict is expected, if the AUC stays what it is.

    Attributes
    ----------
    members, non_members
        Sizes of the evaluation set, neither smaller than it is.
    grow
        Which class has to grow: ``"members"``, ``"non-members"`` or ``"both"``.
    """

    members: int
    non_members: int
    grow: Literal["members", "non-members", "both"]


def samples_needed(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    budget: float,
    reach: float,
    power: float = POWER,
) -> SamplesNeeded | None:
    r"""How many samples of each class would put the bound on one side of the budget.

    DeLong's variance is :math:`a/m + b/n`, a part for each class. The smallest m + n that makes
    it small enough has :math:`m : n = \sqrt a : \sqrt b`, unless a class is already larger; then
    only the other has to grow. Ten members against a thousand non-members need members.

    Parameters
    ----------
    member_scores, non_member_scores
        The scores.
    budget
        The largest AUC accepted, in (0, 1).
    reach
        Standard errors between estimate and bound, see
        :func:`privaudit.statistics.auc_bound`.
    power
        How likely the bound is to be on the side of the estimate then, in (0, 1).

    Returns
    -------
    SamplesNeeded or None
        ``None`` when the AUC is at the budget, 0 or 1, when the scores do not vary, or when it
        would take more than 10 million: no number of samples is known to decide.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(0)
    >>> scores = draws.normal(1.2, 1, 10), draws.normal(0, 1, 1000)
    >>> samples_needed(*scores, budget=0.6, reach=1.645).grow
    'members'
    """
    above, below = placements(member_scores, non_member_scores)
    value = auc(member_scores, non_member_scores)
    spread = float(above.var(ddof=1)), float(below.var(ddof=1))
    m, n = len(above), len(below)
    if not 0 < value < 1 or not 0 < budget < 1 or value == budget or not any(spread):
        return None
    variance = spread[0] / m + spread[1] / n
    scale = shrunk_variance(value, variance, m, n) / variance
    a, b = scale * spread[0], scale * spread[1]
    gap = abs(_logit(value) - _logit(budget)) * value * (1 - value)
    wanted = (gap / (reach + float(norm.ppf(power)))) ** 2
    both = math.sqrt(a) + math.sqrt(b)
    members, non_members = math.sqrt(a) * both / wanted, math.sqrt(b) * both / wanted
    if members < m and a / m < wanted:
        members, non_members = m, b / (wanted - a / m)
    elif non_members < n and b / n < wanted:
        members, non_members = a / (wanted - b / n), n
    if max(members, non_members) > MOST:
        return None
    sizes = max(m, math.ceil(members)), max(n, math.ceil(non_members))
    grow: Literal["members", "non-members", "both"] = (
        "members" if sizes[1] == n else "non-members" if sizes[0] == m else "both"
    )
    return SamplesNeeded(*sizes, grow)
