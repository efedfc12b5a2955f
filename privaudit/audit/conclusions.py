"""From scores to what a record says of them: verdict, rates at fixed thresholds, ε."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from privaudit import statistics
from privaudit.audit.scenarios import SCENARIOS
from privaudit.audit.verdict import decide, is_supported
from privaudit.errors import ScoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.attacks import InferenceModel
    from privaudit.audit.experiment import Ingredients
    from privaudit.audit.scenarios import Scenario
    from privaudit.audit.scoring import Scored
    from privaudit.settings.resolve import Settings

    Scores = tuple[NDArray[np.float64], NDArray[np.float64]]

__all__ = ["bound_epsilon", "conclude", "low_fpr_rates"]

LOW_FPR_TARGETS = (0.01, 0.001)
DEFAULT_DELTA = 1e-5
"""δ at which ε is bounded where no claim names one."""


def conclude(
    scores: Scores, sequential: dict[str, Any] | None, settings: Settings
) -> dict[str, Any]:
    """Decide, and say on what."""
    budget, level = settings.budget, settings.result_confidence
    needed: list[int] | None = None
    if sequential is not None:
        end = sequential["path"][-1]
        value, low, high = end["auc"], end["low"], end["high"]
        # An audit that ran out of pairs has not shown that the model is within the budget;
        # "evidence" does not ask it to.
        verdict = sequential["verdict"] or (
            "pass" if settings.gate == "evidence" else "inconclusive"
        )
        supported = sequential["verdict"] is not None
        if not supported and sequential["pairs_needed"]:
            needed = [sequential["pairs_needed"]] * 2
    else:
        found = statistics.auc_interval(
            scores[0], scores[1], level, method=settings.interval, seed=settings.seed
        )
        value, low, high = found.auc, found.low, found.high
        verdict = decide(value, low, high, budget, settings.gate)
        supported = is_supported(low, high, budget)
        if not supported:
            factor = statistics.samples_factor(value, low if value > budget else high, budget)
            needed = [math.ceil(factor * len(side)) for side in scores] if factor else None
    m, n = (len(side) for side in scores)
    return {
        "auc": value,
        "auc_low": low,
        "auc_high": high,
        "verdict": verdict,
        "supported": supported,
        "samples_needed": needed,
        "detectable_from_half": statistics.detectable_auc(m, n, 0.5, level),
        "detectable_from_budget": statistics.detectable_auc(m, n, budget, level),
    }


def low_fpr_rates(
    model: InferenceModel | Scored,
    scores: Scores,
    n_calibration_members: int,
    settings: Settings,
) -> dict[str, Any]:
    """Rates at thresholds that were fixed on the calibration set."""
    rate = statistics.success_rate_interval(
        scores[0], scores[1], model.threshold, settings.confidence
    )
    points = []
    known = model.calibration_scores[n_calibration_members:]
    for target in LOW_FPR_TARGETS:
        if min(len(known), len(scores[1])) * target < 1 - 1e-9:
            continue
        threshold = statistics.threshold_at_fpr(known, target)
        if threshold is None:
            continue
        at = statistics.rates_at(scores[0], scores[1], threshold)
        tpr = statistics.proportion_interval(at.true_positives, len(scores[0]), settings.confidence)
        fpr = statistics.proportion_interval(
            at.false_positives, len(scores[1]), settings.confidence
        )
        points.append(
            {
                "target_fpr": target,
                "threshold": threshold,
                "tpr": at.tpr,
                "tpr_low": tpr.low,
                "tpr_high": tpr.high,
                "fpr": at.fpr,
                "fpr_low": fpr.low,
                "fpr_high": fpr.high,
                "true_positives": at.true_positives,
                "false_positives": at.false_positives,
            }
        )
    first = next((point for point in points if point["target_fpr"] == LOW_FPR_TARGETS[0]), None)
    return {
        "attack_success_rate": rate.estimate,
        "success_rate_low": rate.low,
        "success_rate_high": rate.high,
        "threshold": model.threshold,
        "tpr_at_1_percent_fpr": first and first["tpr"],
        "achieved_fpr": first and first["fpr"],
        "low_fpr": points,
    }


def bound_epsilon(
    plan: Scenario,
    model: InferenceModel | Scored,
    scores: Scores,
    ingredients: Ingredients,
    settings: Settings,
) -> dict[str, Any]:
    """Bound ε from below, or say why it cannot be."""
    claim, split = ingredients.claim, ingredients.coin_split
    refused = ""
    if split is None:
        refused = (
            "membership was not shown to be decided by coin flips: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture"
        )
    elif plan.knows_members:
        refused = (
            f"{plan.name} calibrates on samples chosen by their membership, so the coins of "
            "the others are no longer independent: read attack-III and attack-IV"
        )
    elif settings.sequential:
        refused = "a sequential audit stops where the scores tell it to: run the fixed one"
    delta = claim.delta if claim else DEFAULT_DELTA
    answer: dict[str, Any] = {
        "epsilon": None,
        "epsilon_delta": None,
        "epsilon_provable": None,
        "epsilon_from_rates": None,
        "epsilon_refused": refused,
        "claimed_epsilon": claim and claim.epsilon,
        "coin_split": None,
    }
    if refused or split is None:
        return answer
    results = sum(not SCENARIOS[name].knows_members for name in settings.scenarios)
    level = 1 - (1 - settings.confidence) / (results * len(settings.attacks))
    bound = statistics.epsilon_one_run(scores[0], scores[1], delta=delta, confidence=level)
    if claim and not bound.provable:
        msg = (
            f"{sum(map(len, scores))} samples cannot prove any epsilon at delta {delta:g} with "
            f"{level:.2%} confidence, so a privacy_claim would never fail: add samples, audit "
            "fewer scenarios or inference models, or claim a smaller delta"
        )
        raise ScoreError(msg)
    rates = statistics.epsilon_from_rates(
        scores[0],
        scores[1],
        delta=delta,
        confidence=level,
        rule="fixed",
        threshold=model.threshold,
    )
    return answer | {
        "epsilon": bound.epsilon,
        "epsilon_delta": delta,
        "epsilon_provable": bound.provable,
        "epsilon_from_rates": rates.epsilon,
        "coin_split": split.record(),
    }
