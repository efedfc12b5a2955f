"""Statistics of two sets of scores, members' and non-members'; higher means more likely member."""

from __future__ import annotations

from privaudit.statistics.epsilon import (
    EpsilonBound,
    epsilon_from_rates,
    epsilon_one_run,
    least_samples,
)
from privaudit.statistics.exposure import exposed_members, member_p_values
from privaudit.statistics.guesses import Bonferroni, Fixed, Rule, TopShare
from privaudit.statistics.intervals import (
    AucInterval,
    Interval,
    auc_bound,
    auc_interval,
    delong_variance,
    proportion_interval,
    success_rate_interval,
)
from privaudit.statistics.paired import (
    AucChange,
    auc_change,
    change_bounds,
    change_reach,
    detectable_rise,
    largest_shown_rise,
)
from privaudit.statistics.planning import (
    LeastSamples,
    default_leak,
    false_red_rate,
    least_for_a_verdict,
    samples_for_false_red,
    samples_to_decide,
)
from privaudit.statistics.power import (
    SamplesNeeded,
    detectable_auc,
    samples_needed,
)
from privaudit.statistics.roc import (
    OperatingPoint,
    PairCounts,
    auc,
    count_pairs,
    least_for_fpr,
    rates_at,
    success_rate,
    threshold_at_fpr,
)
from privaudit.statistics.sequential import SequentialAUC
from privaudit.statistics.simultaneous import (
    ResultScores,
    SimultaneousBounds,
    simultaneous_lower_bounds,
)

__all__ = [
    "AucChange",
    "AucInterval",
    "Bonferroni",
    "EpsilonBound",
    "Fixed",
    "Interval",
    "LeastSamples",
    "OperatingPoint",
    "PairCounts",
    "ResultScores",
    "Rule",
    "SamplesNeeded",
    "SequentialAUC",
    "SimultaneousBounds",
    "TopShare",
    "auc",
    "auc_bound",
    "auc_change",
    "auc_interval",
    "change_bounds",
    "change_reach",
    "count_pairs",
    "default_leak",
    "delong_variance",
    "detectable_auc",
    "detectable_rise",
    "epsilon_from_rates",
    "epsilon_one_run",
    "exposed_members",
    "false_red_rate",
    "largest_shown_rise",
    "least_for_a_verdict",
    "least_for_fpr",
    "least_samples",
    "member_p_values",
    "proportion_interval",
    "rates_at",
    "samples_for_false_red",
    "samples_needed",
    "samples_to_decide",
    "simultaneous_lower_bounds",
    "success_rate",
    "success_rate_interval",
    "threshold_at_fpr",
]
