"""One result as a record has it, with the members and groups that stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.attacks.registry import names, registered
from privaudit.audit.verdict import bound_epsilon, judge_tpr, rates, worst
from privaudit.record import AttackResult, Counts, DetectableAUC, ExposedMember, GroupAUC, Interval
from privaudit.statistics import detectable_auc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.audit.models import Models
    from privaudit.audit.scoring import Scores
    from privaudit.audit.sets import LabelledSet, Sets
    from privaudit.audit.verdict import Decision

__all__ = ["by_id", "exposed", "group_aucs", "make_result"]


def make_result(
    models: Models,
    sets: Sets,
    attack: str,
    evaluation: LabelledSet,
    scores: Scores,
    decision: Decision,
    *,
    n_results: int,
    coins: tuple[LabelledSet, Scores] | None = None,
) -> AttackResult:
    """Put together one result as a record has it.

    Parameters
    ----------
    models
        The audit's models, inputs and settings.
    sets, attack
        The threat model's sets, and the attack.
    evaluation, scores
        What was evaluated, and its scores: of a sequential audit a part of the evaluation set.
    decision
        The verdict with its bounds.
    n_results
        Results that are decided together.
    coins
        Who bounds ε, and their scores, where that is not who is evaluated.
    """
    settings, calibration = models.settings, sets.calibration
    tpr = judge_tpr(scores, len(calibration.members), settings, n_results)
    success, points = rates(scores, len(calibration.members), settings.confidence)
    epsilon, refused = bound_epsilon(
        sets.threat_model,
        attack,
        *(coins or (evaluation, scores)),
        models.inputs,
        settings,
        models.scenarios,
    )
    m, n = len(scores.members), len(scores.non_members)
    sides = (
        by_id(evaluation.members, scores.members),
        by_id(evaluation.non_members, scores.non_members),
    )
    result = AttackResult(
        scenario=sets.threat_model.name,
        attack=attack,
        auc=decision.auc,
        verdict=worst(decision.verdict, "pass" if tpr is None else tpr.verdict),
        auc_verdict=decision.verdict,
        interval=Interval(low=decision.low, high=decision.high, confidence=settings.confidence),
        n_results=n_results,
        supported=decision.supported,
        samples_needed=decision.samples_needed,
        clean_rate=decision.clean_rate,
        budget=settings.budget,
        budget_source=settings.source("budget"),
        gate=settings.gate,
        evaluation=Counts(members=m, non_members=n),
        calibration=Counts(
            members=len(calibration.members), non_members=len(calibration.non_members)
        ),
        n_queries=settings.queries * (len(calibration.samples) + m + n),
        success_rate=success,
        threshold=scores.threshold,
        operating_points=points,
        tpr_budget=tpr,
        detectable=_detectable(m, n, settings.budget, decision.confidence),
        sequential=decision.sequential,
        epsilon=epsilon,
        epsilon_refused=refused,
        claim=models.inputs.claim,
        near_copies=scores.near_copies,
        blocks=list(scores.blocks) if attack in names() and registered(attack).reads_base else [],
        exposed=exposed(*sides, settings.confidence),
        groups=group_aucs(*sides, models.samples.groups, settings.confidence),
        member_scores=sides[0],
        non_member_scores=sides[1],
    )
    if result.claim_exceeded:
        return result.model_copy(update={"verdict": "fail"})
    if result.claim_irrefutable:  # what no scores at all would turn red is no check
        return result.model_copy(update={"verdict": worst(result.verdict, "inconclusive")})
    return result


def _detectable(m: int, n: int, budget: float, level: float) -> DetectableAUC:
    return DetectableAUC(
        from_half=detectable_auc(m, n, 0.5, level, two_sided=False),
        from_budget=detectable_auc(m, n, budget, level, two_sided=False),
    )


def by_id(samples: Any, scores: Any) -> dict[str, float]:
    """Return a sample's score by its id."""
    return {sample.id: float(score) for sample, score in zip(samples, scores, strict=True)}


LEAST = 2
"""Samples of each class from which a group has an AUC with an interval."""


def exposed(
    members: Mapping[str, float], non_members: Mapping[str, float], confidence: float
) -> list[ExposedMember]:
    """Name the members who stand out, the highest score first.

    Parameters
    ----------
    members, non_members
        Scores by id.
    confidence
        One less the expected share of those named by chance.
    """
    scores = list(members.values())
    others = list(non_members.values())
    p_values = statistics.member_p_values(scores, others)
    named = statistics.exposed_members(scores, others, 1 - confidence)
    members_exposed = [
        ExposedMember(id=name, score=score, p_value=float(p))
        for (name, score), p, is_named in zip(members.items(), p_values, named, strict=True)
        if is_named
    ]
    return sorted(members_exposed, key=lambda one: (-one.score, one.id))


def group_aucs(
    members: Mapping[str, float],
    non_members: Mapping[str, float],
    groups: Mapping[str, str],
    confidence: float,
) -> list[GroupAUC]:
    """Compute the AUC within each group of samples.

    Parameters
    ----------
    members, non_members
        Scores by id.
    groups
        The group of each sample, by id; a sample without one is in none.
    confidence
        Of the intervals of all groups together (Bonferroni).

    Returns
    -------
    list of GroupAUC
        In the order of their names; of a group with fewer than two members or two non-members
        there is no AUC.
    """
    names = sorted(set(groups.values()), key=lambda name: (len(name), name))
    sides = [
        {
            name: [s for key, s in side.items() if groups.get(key) == name]
            for name in groups.values()
        }
        for side in (members, non_members)
    ]
    enough = [name for name in names if min(len(side[name]) for side in sides) >= LEAST]
    aucs = []
    for name in names:
        inside, outside = (np.asarray(side[name], dtype=np.float64) for side in sides)
        bounds = None
        if name in enough:
            level = 1 - (1 - confidence) / len(enough)
            bounds = statistics.auc_interval(inside, outside, level)
        aucs.append(
            GroupAUC(
                group=name,
                evaluation=Counts(members=len(inside), non_members=len(outside)),
                auc=None if bounds is None else bounds.auc,
                interval=None
                if bounds is None
                else Interval(low=bounds.low, high=bounds.high, confidence=confidence),
            )
        )
    return aucs
