"""From scores to what a record says of them: verdict, rates at fixed thresholds, ε."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import norm

from privaudit import statistics
from privaudit.audit.scenarios import SCENARIOS
from privaudit.audit.verdict import decide, is_supported
from privaudit.errors import ScoreError
from privaudit.record import Chance, Counts, EpsilonBound, Interval, OperatingPoint, Rate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from privaudit.audit.experiment import LabelledSet
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.scenarios import Scenario
    from privaudit.audit.scoring import Scores
    from privaudit.record import SequentialPath
    from privaudit.settings import AuditSettings

__all__ = [
    "Decision",
    "Multiplicity",
    "bound_epsilon",
    "chance",
    "clean_rate",
    "decide_fixed",
    "decide_sequential",
    "rates",
    "together",
]

LOW_FPR_TARGETS = (0.01, 0.001)
DEFAULT_DELTA = 1e-5
"""δ at which ε is bounded where no claim names one."""


@dataclass(frozen=True)
class Decision:
    """An estimate, its bounds, and what the gate makes of them.

    Attributes
    ----------
    auc, low, high
        The estimate and its bounds.
    verdict
        ``"pass"``, ``"fail"`` or ``"inconclusive"``.
    supported
        Whether the bounds are on one side of the budget.
    samples_needed
        Samples that would put them there, or ``None``.
    clean_rate
        How often an audit of a model that leaks nothing has a result as high, or ``None``.
    """

    auc: float
    low: float
    high: float
    verdict: str
    supported: bool
    samples_needed: Counts | None
    clean_rate: float | None = None


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
    results: Mapping[str, Mapping[str, Mapping[str, float]]], n_scenarios: int, confidence: float
) -> Multiplicity:
    """Find the bound that holds for all results, from the scores of one scenario.

    Its inference models score the same pictures, so their AUCs deviate together, and how much so
    is known from the scores (max-T). The error is split evenly over the scenarios: to know how
    those hang together, an audit would have to ask everything before it could say anything.

    Parameters
    ----------
    results
        For each inference model the scores, by id, of ``"members"`` and of ``"non_members"``.
    n_scenarios
        Scenarios that are decided.
    confidence
        Of all bounds of one side together.
    """
    level = 1 - (1 - confidence) / n_scenarios
    scores = {name: statistics.ResultScores(**sides) for name, sides in results.items()}
    bounds = statistics.simultaneous_lower_bounds(scores, level)
    k = len(results)
    return Multiplicity(k * n_scenarios, k, bounds.critical_value, bounds.correlation)


def decide_fixed(scores: Scores, settings: AuditSettings, among: Multiplicity) -> Decision:
    """Decide on all scores at once."""
    budget, reach = settings.budget, among.critical_value
    interval = statistics.auc_interval(
        scores.members,
        scores.non_members,
        float(2 * norm.cdf(reach) - 1),
        method=settings.interval,
        seed=settings.seed,
    )
    auc, low, high = interval.auc, interval.low, interval.high
    if settings.gate == "certify":
        # An intersection-union test: all results must pass, so each may have the whole error.
        high = statistics.auc_bound(
            scores.members, scores.non_members, _reach(settings.confidence), lower=False
        )
    supported = is_supported(low, high, budget)
    needed = None
    if not supported:
        wanted = statistics.samples_needed(scores.members, scores.non_members, budget, reach)
        if wanted is not None:
            needed = Counts(members=wanted.members, non_members=wanted.non_members)
    verdict = decide(auc, low, high, budget, settings.gate)
    sizes = len(scores.members), len(scores.non_members)
    if verdict == "pass" and settings.gate == "evidence" and not _could_fail(sizes, budget, reach):
        verdict = "inconclusive"  # what no scores at all would turn red is no gate
    clean = clean_rate(sizes, budget, among, auc) if auc > budget else None
    return Decision(auc, low, high, verdict, supported, needed, clean)


def _could_fail(sizes: tuple[int, int], budget: float, reach: float) -> bool:
    """Tell whether so many members and non-members would be shown to leak if wholly apart."""
    if budget >= 1:
        return True  # nothing can be over it, as its owner knows
    return min(sizes) >= statistics.least_for_a_verdict(budget, 1, float(norm.cdf(reach))).to_fail


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


def _reach(confidence: float) -> float:
    """Return the standard errors of a one-sided bound of this confidence."""
    return float(norm.ppf(confidence))


def decide_sequential(end: SequentialPath, settings: AuditSettings) -> Decision:
    """Decide on how a sequential test came to its end.

    A test that ran out of pairs has not shown that the model is within the budget; the gate
    ``evidence`` does not ask it to.
    """
    last = end.path[-1]
    undecided = "pass" if settings.gate == "evidence" else "inconclusive"
    needed = None
    if end.verdict is None and end.pairs_needed:
        needed = Counts(members=end.pairs_needed, non_members=end.pairs_needed)
    return Decision(
        end.estimate, last.low, last.high, end.verdict or undecided, end.verdict is not None, needed
    )


def rates(
    scores: Scores, n_calibration_members: int, confidence: float
) -> tuple[Rate, list[OperatingPoint]]:
    """Return success rate and operating points, at thresholds fixed on the calibration set."""
    members, non_members = scores.members, scores.non_members
    success = statistics.success_rate_interval(members, non_members, scores.threshold, confidence)
    known = scores.calibration[n_calibration_members:]
    points = []
    for target in LOW_FPR_TARGETS:
        if len(non_members) * target < 1 - 1e-9:
            continue
        threshold = statistics.threshold_at_fpr(known, target)
        if threshold is not None:
            points.append(_operating_point(members, non_members, target, threshold, confidence))
    return _rate(success.estimate, success.low, success.high, confidence), points


def _operating_point(
    members: NDArray[np.float64],
    non_members: NDArray[np.float64],
    target: float,
    threshold: float,
    confidence: float,
) -> OperatingPoint:
    at = statistics.rates_at(members, non_members, threshold)
    tpr = statistics.proportion_interval(at.true_positives, len(members), confidence)
    fpr = statistics.proportion_interval(at.false_positives, len(non_members), confidence)
    return OperatingPoint(
        target_fpr=target,
        threshold=threshold,
        tpr=_rate(at.tpr, tpr.low, tpr.high, confidence),
        fpr=_rate(at.fpr, fpr.low, fpr.high, confidence),
        true_positives=at.true_positives,
        false_positives=at.false_positives,
    )


def _rate(value: float, low: float, high: float, confidence: float) -> Rate:
    return Rate(value=value, interval=Interval(low=low, high=high, confidence=confidence))


def bound_epsilon(
    scenario: Scenario,
    evaluation: LabelledSet,
    scores: Scores,
    inputs: AuditInputs,
    settings: AuditSettings,
    scenarios: tuple[str, ...],
) -> tuple[EpsilonBound | None, str]:
    """Bound ε from below, or say why it cannot be.

    Parameters
    ----------
    scenario, evaluation, scores
        What was asked, of whom, and what came of it.
    inputs
        Whose coin split decided membership, and what is claimed.
    settings
        The audit's settings.
    scenarios
        The scenarios that are decided: the confidence is split over those that bound ε.

    Raises
    ------
    ScoreError
        If a claim is made that so few samples could not disprove, whatever the model.
    """
    split, claim = inputs.coin_split, inputs.claim
    if split is None:
        return None, (
            "membership was not shown to be decided by coin flips: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture"
        )
    if scenario.knows_members:
        return None, (
            f"{scenario.name} calibrates on samples chosen by their membership, so the coins of "
            "the others are no longer independent: read attack-III and attack-IV"
        )
    if settings.sequential:
        return None, "a sequential audit stops where the scores tell it to: run the fixed one"
    delta = claim.delta if claim else DEFAULT_DELTA
    mechanism = claim.mechanism if claim else "any"
    ids = ([s.id for s in evaluation.members], [s.id for s in evaluation.non_members])
    results = sum(not SCENARIOS[name].knows_members for name in scenarios)
    level = 1 - (1 - settings.confidence) / (results * len(settings.attacks))
    sides = (scores.members, scores.non_members)
    bound = statistics.epsilon_one_run(
        *sides, delta=delta, ids=ids, confidence=level, hypothesis=mechanism
    )
    if claim and not bound.provable:
        msg = (
            f"{sum(map(len, sides))} samples cannot prove any epsilon at delta {delta:g} with "
            f"{level:.2%} confidence, so a privacy_claim would never fail: add samples, audit "
            "fewer scenarios or inference models, claim a smaller delta or, of a model trained "
            "with DP-SGD, mechanism='gaussian'"
        )
        raise ScoreError(msg)
    from_rates = statistics.epsilon_from_rates(
        *sides, delta=delta, confidence=level, threshold=scores.threshold
    )
    return EpsilonBound(
        epsilon=bound.epsilon,
        delta=delta,
        mechanism=mechanism,
        provable=bound.provable,
        from_rates=from_rates.epsilon,
        coin_split=split.record(),
    ), ""
