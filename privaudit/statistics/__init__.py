"""Statistics of two sets of scores, members' and non-members'; higher means more likely member."""

from __future__ import annotations

from privaudit.statistics.epsilon import (
    EpsilonBound,
    epsilon_from_rates,
    epsilon_one_run,
    least_samples,
)
from privaudit.statistics.guesses import Corrected, Fixed, Rule, Surest
from privaudit.statistics.intervals import (
    AucInterval,
    Interval,
    auc_interval,
    delong_variance,
    proportion_interval,
    success_rate_interval,
)
from privaudit.statistics.power import detectable_auc, samples_factor
from privaudit.statistics.roc import (
    OperatingPoint,
    PairCounts,
    auc,
    auc_exceeds,
    count_pairs,
    rates_at,
    success_rate,
    threshold_at_fpr,
)
from privaudit.statistics.sequential import SequentialAUC

__all__ = [
    "AucInterval",
    "Corrected",
    "EpsilonBound",
    "Fixed",
    "Interval",
    "OperatingPoint",
    "PairCounts",
    "Rule",
    "SequentialAUC",
    "Surest",
    "auc",
    "auc_exceeds",
    "auc_interval",
    "count_pairs",
    "delong_variance",
    "detectable_auc",
    "epsilon_from_rates",
    "epsilon_one_run",
    "least_samples",
    "proportion_interval",
    "rates_at",
    "samples_factor",
    "success_rate",
    "success_rate_interval",
    "threshold_at_fpr",
]
