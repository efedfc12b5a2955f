"""From scores to what a record says of them: the verdict, and a lower bound on ε."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import norm

from privaudit import statistics
from privaudit.audit.multiplicity import clean_rate
from privaudit.audit.scenarios import SCENARIOS
from privaudit.audit.verdict import decide, is_supported
from privaudit.errors import ScoreError
from privaudit.record import Counts, EpsilonBound
from privaudit.statistics import Corrected, Surest

if TYPE_CHECKING:
    from privaudit.audit.experiment import LabelledSet
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.multiplicity import Multiplicity
    from privaudit.audit.scenarios import Scenario
    from privaudit.audit.scoring import Scores
    from privaudit.record import Claim, SequentialPath
    from privaudit.settings import AuditSettings

__all__ = [
    "Decision",
    "bound_epsilon",
    "decide_fixed",
    "decide_sequential",
]

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
    return Decision(auc, low, high, verdict, supported, needed, clean)


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
        end.estimate, last.low, last.high, end.verdict or undecided, end.verdict is not None, needed
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


def _rule(claim: Claim | None) -> Surest | Corrected:
    """Say who is guessed: what a claim fixed beforehand, or what is strong whatever the leak."""
    return Corrected() if claim is None or claim.guesses is None else Surest(claim.guesses)


def _why_unbounded(
    scenario: Scenario,
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
    if not scenario.is_fitted and named is None:
        return (
            "beside attack-III and attack-IV only an attack on the weights that a claim names does"
        )
    if scenario.knows_members and scenario.is_fitted:
        return (
            f"{scenario.name} calibrates on samples chosen by their membership, so the coins of "
            "the others are no longer independent: read attack-III and attack-IV"
        )
    if settings.sequential and scenario.is_fitted:  # the others evaluate everyone at once
        return "a sequential audit stops where the scores tell it to: run the fixed one"
    if named not in (None, f"{scenario.name.removeprefix('attack-')}-{attack}"):
        return f"the claim names {named}, which has all the confidence to itself"
    return None


def bound_epsilon(
    scenario: Scenario,
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
    scenario, attack, evaluation, scores
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
    why_not = _why_unbounded(scenario, attack, inputs, settings, named)
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
