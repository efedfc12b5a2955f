"""From scores to a verdict: bounds that hold together, operating points, and ε."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import norm

from privaudit import statistics
from privaudit.audit.threat_models import SCENARIOS
from privaudit.errors import ScoreError
from privaudit.record import Chance, Counts, EpsilonBound, Interval, OperatingPoint, Rate, TprBudget
from privaudit.statistics import Bonferroni, TopShare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.scoring import Scores
    from privaudit.audit.sets import LabelledSet
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.record import Claim, SequentialPath
    from privaudit.settings import AuditSettings

__all__ = [
    "Decision",
    "Multiplicity",
    "bound_epsilon",
    "chance",
    "clean_rate",
    "decide",
    "decide_fixed",
    "decide_sequential",
    "is_supported",
    "judge_tpr",
    "rates",
    "together",
    "worst",
]


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
    none_red = math.prod(
        1 - statistics.false_red_rate(*size, budget, n_attacks, two_sided=True) for size in sizes
    )
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


LOW_FPR_TARGETS = (0.01, 0.001)


def rates(
    scores: Scores, n_calibration_members: int, confidence: float
) -> tuple[Rate, list[OperatingPoint]]:
    """Return success rate and operating points, at thresholds fixed on the calibration set."""
    members, non_members = scores.members, scores.non_members
    success = statistics.success_rate_interval(members, non_members, scores.threshold, confidence)
    known = _known(scores, n_calibration_members)
    points = []
    for target in LOW_FPR_TARGETS:
        if len(non_members) * target < 1 - 1e-9:
            continue
        threshold = statistics.threshold_at_fpr(known, target)
        if threshold is not None:
            points.append(_operating_point(members, non_members, target, threshold, confidence))
    return _rate(success.estimate, success.low, success.high, confidence), points


def _known(scores: Scores, n_calibration_members: int) -> NDArray[np.float64]:
    return scores.calibration[n_calibration_members:]


def judge_tpr(
    scores: Scores, n_calibration_members: int, settings: AuditSettings, n_results: int
) -> TprBudget | None:
    """Decide on the share of members that is found at a low false positive rate.

    The gate is that of the AUC: ``point`` looks at the share, ``evidence`` at its lower bound,
    ``certify`` at its upper one. Bounds are Clopper and Pearson's, one-sided; the lower one's
    error is shared by all results (Bonferroni).

    Parameters
    ----------
    scores, n_calibration_members
        The scores, and how many of those of the calibration set are members'.
    settings
        With ``max_tpr``, ``at_fpr``, gate and confidence.
    n_results
        Results that are decided together.

    Returns
    -------
    TprBudget or None
        ``None`` if no ``max_tpr`` is set.
    """
    limit, target = settings.max_tpr, settings.at_fpr
    if limit is None:
        return None
    threshold = statistics.threshold_at_fpr(_known(scores, n_calibration_members), target)
    point, verdict = None, "inconclusive"
    if threshold is not None:
        alone = settings.gate == "certify"
        error = 1 - settings.confidence
        sides = scores.members, scores.non_members
        lower = _operating_point(*sides, target, threshold, 1 - 2 * error / n_results)
        upper = _operating_point(*sides, target, threshold, 1 - 2 * error) if alone else lower
        low, high = lower.tpr.interval.low, upper.tpr.interval.high
        verdict = decide(lower.tpr.value, low, high, limit, settings.gate)
        tpr = _rate(lower.tpr.value, low, high, settings.confidence)
        point = lower.model_copy(update={"tpr": tpr})
    return TprBudget(
        max_tpr=limit,
        source=settings.source("max_tpr"),
        at_fpr=target,
        needed=statistics.least_for_fpr(target),
        point=point,
        verdict=verdict,
    )


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
    confidence
        Of one bound by itself, so that those of all results hold together.
    clean_rate
        How often an audit of a model that leaks nothing has a result as high, or ``None``.
    sequential
        How a sequential audit ended.
    """

    auc: float
    low: float
    high: float
    verdict: str
    supported: bool
    samples_needed: Counts | None
    confidence: float
    clean_rate: float | None = None
    sequential: SequentialPath | None = None


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
    needed = None if supported else _needed(scores, budget, among)
    verdict = decide(auc, low, high, budget, settings.gate)
    sizes = len(scores.members), len(scores.non_members)
    if verdict == "pass" and settings.gate == "evidence" and not _could_fail(sizes, budget, reach):
        verdict = "inconclusive"  # what no scores at all would turn red is no gate
    clean = clean_rate(sizes, budget, among, auc) if auc > budget else None
    return Decision(auc, low, high, verdict, supported, needed, among.confidence, clean)


def _needed(scores: Scores, budget: float, among: Multiplicity) -> Counts | None:
    """How many samples would put the bounds on one side of the budget, if the AUC stays."""
    m, n = len(scores.members), len(scores.non_members)
    if statistics.auc(scores.members, scores.non_members) == 1 and budget < 1:
        # The classes are apart: nothing but their sizes is too small.
        least = statistics.least_for_a_verdict(budget, 1, among.confidence).to_fail
        return Counts(members=max(m, least), non_members=max(n, least))
    wanted = statistics.samples_needed(
        scores.members, scores.non_members, budget, among.critical_value
    )
    return (
        None if wanted is None else Counts(members=wanted.members, non_members=wanted.non_members)
    )


def _could_fail(sizes: tuple[int, int], budget: float, reach: float) -> bool:
    """Tell whether so many members and non-members would be shown to leak if wholly apart."""
    if budget >= 1:
        return True  # nothing can be over it, as its owner knows
    return min(sizes) >= statistics.least_for_a_verdict(budget, 1, float(norm.cdf(reach))).to_fail


def _reach(confidence: float) -> float:
    """Return the standard errors of a one-sided bound of this confidence."""
    return float(norm.ppf(confidence))


def decide_sequential(end: SequentialPath, settings: AuditSettings, level: float) -> Decision:
    """Decide on how a sequential test, of this confidence, came to its end.

    A test that ran out of pairs has not shown that the model is within the budget; the gate
    ``evidence`` does not ask it to, if as many pairs could have shown the contrary.
    """
    last = end.path[-1]
    test = statistics.SequentialAUC(settings.budget, level)
    lenient = settings.gate == "evidence" and test.could_fail(end.max_pairs)
    undecided = "pass" if lenient else "inconclusive"
    needed = None
    if end.verdict is None and end.pairs_needed:
        needed = Counts(members=end.pairs_needed, non_members=end.pairs_needed)
    return Decision(
        auc=end.estimate,
        low=last.low,
        high=last.high,
        verdict=end.verdict or undecided,
        supported=end.verdict is not None,
        samples_needed=needed,
        confidence=level,
        sequential=end,
    )


@functools.lru_cache(maxsize=8)
def _coins_needed(claim: Claim, confidence: float) -> int | None:
    """How many coins could refute a claim, every guess right: the same for all results."""
    if not claim.epsilon:
        return None
    return statistics.least_samples(
        claim.epsilon,
        delta=claim.delta,
        confidence=confidence,
        rule=_rule(claim),
        hypothesis=claim.mechanism,
    )


def _rule(claim: Claim | None) -> TopShare | Bonferroni:
    """Say who is guessed: what a claim fixed beforehand, or what is strong whatever the leak."""
    return Bonferroni() if claim is None or claim.guesses is None else TopShare(claim.guesses)


def _why_unbounded(
    threat_model: ThreatModel,
    attack: str,
    inputs: AuditInputs,
    settings: AuditSettings,
    named: str | None,
) -> str | None:
    """Say why this result bounds no ε, whatever its scores are."""
    if inputs.coin_split is None:
        return (
            "membership was not shown to be decided by coin flips: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture"
        )
    if not threat_model.by_text and named is None:
        return (
            "beside attack-III and attack-IV only an attack on the weights that a claim names does"
        )
    if threat_model.knows_members and threat_model.by_text:
        return (
            f"{threat_model.name} calibrates on samples chosen by their membership, so the coins "
            "of the others are no longer independent: read attack-III and attack-IV"
        )
    if settings.sequential and threat_model.by_text:  # the others evaluate everyone at once
        return "a sequential audit stops where the scores tell it to: run the fixed one"
    if named not in (None, f"{threat_model.name.removeprefix('attack-')}-{attack}"):
        return f"the claim names {named}, which has all the confidence to itself"
    return None


def bound_epsilon(
    threat_model: ThreatModel,
    attack: str,
    evaluation: LabelledSet,
    scores: Scores,
    inputs: AuditInputs,
    settings: AuditSettings,
    scenarios: tuple[str, ...],
) -> tuple[EpsilonBound | None, str]:
    """Bound ε from below, or say why it cannot be.

    Parameters
    ----------
    threat_model, attack, evaluation, scores
        What was asked, by which inference model, of whom, and what came of it.
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
    named = claim.attack if claim else None
    why_not = _why_unbounded(threat_model, attack, inputs, settings, named)
    if split is None or why_not is not None:
        return None, why_not or ""
    refused = len(inputs.members) + len(inputs.non_members) - len(evaluation.samples)
    if refused:
        why = (
            f"{refused} samples were left out because a service refused to draw them, and whom it "
            "refuses is no coin's doing: have its filter turned off"
        )
        if claim:
            raise ScoreError(f"a privacy_claim cannot be checked: {why}")
        return None, why
    delta = claim.delta if claim else DEFAULT_DELTA
    mechanism = claim.mechanism if claim else "any"
    ids = ([s.id for s in evaluation.members], [s.id for s in evaluation.non_members])
    results = sum(not SCENARIOS[name].knows_members for name in scenarios)
    shares = 1 if named else results * len(settings.attacks)
    level = 1 - (1 - settings.confidence) / shares
    sides = (scores.members, scores.non_members)
    bound = statistics.epsilon_one_run(
        *sides, delta=delta, ids=ids, confidence=level, rule=_rule(claim), hypothesis=mechanism
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
        coins_needed=(
            _coins_needed(claim, level) if claim and bound.provable <= claim.epsilon else None
        ),
        from_rates=from_rates.epsilon,
        coin_split=split.record(),
    ), ""
