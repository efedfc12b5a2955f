"""What is decided together, the price of it, and how often chance alone would be red."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import norm

from privaudit import statistics
from privaudit.record import Chance, Counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Multiplicity", "chance", "clean_rate", "together"]


@dataclass(frozen=True)
class Multiplicity:
    """What is decided together, and the price of it.

    Attributes
    ----------
    n_results
        Results of the audit.
    n_together
        Those of one scenario, whose scores are of the same pictures.
    critical_value
        Standard errors between an estimate and a bound that holds for all results together.
    correlation
        Mean correlation of two AUCs of one scenario.
    """

    n_results: int
    n_together: int
    critical_value: float
    correlation: float

    @property
    def confidence(self) -> float:
        """Of one bound by itself."""
        return float(norm.cdf(self.critical_value))


def together(
    results: Mapping[str, statistics.ResultScores], n_scenarios: int, confidence: float
) -> Multiplicity:
    """Find the bound that holds for all results, from the scores of one scenario.

    Its inference models score the same pictures, so their AUCs deviate together, and how much so
    is known from the scores (max-T). The error is split evenly over the scenarios: to know how
    those hang together, an audit would have to ask everything before it could say anything.

    Parameters
    ----------
    results
        For each inference model its scores.
    n_scenarios
        Scenarios that are decided.
    confidence
        Of all bounds of one side together.
    """
    level = 1 - (1 - confidence) / n_scenarios
    bounds = statistics.simultaneous_lower_bounds(results, level)
    k = len(results)
    return Multiplicity(k * n_scenarios, k, bounds.critical_value, bounds.correlation)


def chance(sizes: Sequence[tuple[int, int]], n_attacks: int, budget: float) -> Chance | None:
    """Say what samples and gate can be expected to do, while nothing is known of the scores.

    Parameters
    ----------
    sizes
        Evaluated members and non-members of each scenario that is decided.
    n_attacks
        Inference models of each.
    budget
        The largest AUC accepted.

    Returns
    -------
    Chance or None
        ``None`` if nothing can be over the budget, or nothing is decided.
    """
    if budget >= 1 or not sizes or not min(map(min, sizes)):
        return None
    k = n_attacks * len(sizes)
    none_red = math.prod(1 - statistics.false_red_rate(*size, budget, n_attacks) for size in sizes)
    members, non_members = min(sizes, key=min)
    return Chance(
        false_red=1 - none_red,
        least=statistics.samples_for_false_red(budget, k),
        to_decide=statistics.samples_to_decide(budget, k),
        leak=statistics.default_leak(budget),
        n_results=k,
        evaluated=Counts(members=members, non_members=non_members),
    )


def clean_rate(
    sizes: tuple[int, int], budget: float, among: Multiplicity, auc: float | None = None
) -> float:
    """How often an audit of a model that leaks nothing has a result over the budget, or as high.

    Parameters
    ----------
    sizes
        Evaluated members and non-members.
    budget
        The largest AUC accepted.
    among
        What is decided together. Scenarios are taken as independent, which can only be too much:
        they share samples.
    auc
        If given, how often a result is at least as high as this.
    """
    if budget >= 1:
        return 0.0
    one = statistics.false_red_rate(*sizes, budget, among.n_together, among.correlation, auc=auc)
    return float(1 - (1 - one) ** (among.n_results / among.n_together))
