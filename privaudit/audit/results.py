"""One result, written down: what was scored and decided, with what so many samples can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import names, registered
from privaudit.audit.conclusions import bound_epsilon
from privaudit.audit.exposure import exposed, group_aucs
from privaudit.audit.rates import judge_tpr, rates
from privaudit.audit.verdict import worst
from privaudit.record import AttackResult, Counts, DetectableAUC, Interval
from privaudit.statistics import detectable_auc

if TYPE_CHECKING:
    from privaudit.audit.conclusions import Decision
    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scores
    from privaudit.audit.setup import Setup
    from privaudit.record import SequentialPath

__all__ = ["by_id", "written_result"]


def written_result(
    setup: Setup,
    experiment: Experiment,
    attack: str,
    evaluation: LabelledSet,
    scores: Scores,
    end: SequentialPath | None,
    decision: Decision,
    level: float,
    *,
    n_results: int,
    coins: tuple[LabelledSet, Scores] | None = None,
) -> AttackResult:
    """Write down a result.

    Parameters
    ----------
    setup
        The audit's inputs and settings.
    experiment, attack
        The scenario's sets, and the inference model.
    evaluation, scores
        What was evaluated, and its scores.
    end
        How a sequential audit ended.
    decision
        The verdict with its bounds.
    level
        Confidence of one bound.
    n_results
        Results that are decided together.
    coins
        Who bounds ε, and their scores, where that is not who is evaluated.
    """
    settings, calibration = setup.settings, experiment.calibration
    tpr = judge_tpr(scores, len(calibration.members), settings, n_results)
    success, points = rates(scores, len(calibration.members), settings.confidence)
    epsilon, refused = bound_epsilon(
        experiment.scenario,
        attack,
        *(coins or (evaluation, scores)),
        setup.inputs,
        settings,
        setup.scenarios,
    )
    m, n = len(scores.members), len(scores.non_members)
    sides = (
        by_id(evaluation.members, scores.members),
        by_id(evaluation.non_members, scores.non_members),
    )
    result = AttackResult(
        scenario=experiment.scenario.name,
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
        detectable=_detectable(m, n, settings.budget, level),
        sequential=end,
        epsilon=epsilon,
        epsilon_refused=refused,
        claim=setup.inputs.claim,
        near_copies=scores.near_copies,
        blocks=list(scores.blocks) if attack in names() and registered(attack).reads_base else [],
        exposed=exposed(*sides, settings.confidence),
        groups=group_aucs(*sides, setup.groups, settings.confidence),
        member_scores=sides[0],
        non_member_scores=sides[1],
    )
    return result.model_copy(update={"verdict": "fail"}) if result.claim_exceeded else result


def _detectable(m: int, n: int, budget: float, level: float) -> DetectableAUC:
    return DetectableAUC(
        from_half=detectable_auc(m, n, 0.5, level, two_sided=False),
        from_budget=detectable_auc(m, n, budget, level, two_sided=False),
    )


def by_id(samples: Any, scores: Any) -> dict[str, float]:
    """Return a sample's score by its id."""
    return {sample.id: float(score) for sample, score in zip(samples, scores, strict=True)}
