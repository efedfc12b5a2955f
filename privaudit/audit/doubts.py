"""Passes that are none: of exchanged sets, and of an attack that its prompts left blind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.attacks.registry import registered, strongest
from privaudit.audit.ruler import seen_by_stronger
from privaudit.audit.validity import judge_copies
from privaudit.record import Validity

if TYPE_CHECKING:
    from collections.abc import Collection

    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scorer
    from privaudit.record import AttackResult

__all__ = ["doubts", "judge_exchanged", "judge_pass"]

LEAST_DISTINCT = 0.5
"""Share of different prompts below which a sample's own answers are anybody's."""


def judge_exchanged(name: str, auc: float, high: float, budget: float) -> list[str]:
    """Say why nothing can be concluded from sets of which a model knows the non-members better.

    A model that leaks nothing has an AUC of 0.5. One that is shown to be as far below as the budget
    is above is one that leaks, and was asked with its two sets exchanged.

    Parameters
    ----------
    name
        The result, such as ``"attack-I-threshold"``.
    auc, high
        Its AUC, and the upper bound of it.
    budget
        The largest AUC that is accepted.
    """
    # Exactly at the mirrored budget nothing is shown to be over it.
    if not high < 1 - budget:
        return []
    return [
        f"AUC {auc:.3f} (at most {high:.3f}) by {name}: non-members are known better than members, "
        f"and the other way round that would be over the budget of {budget:g}\n"
        "are the fixtures members and non_members exchanged? If not, the sets differ in more than "
        "membership: take both from one source, and decide membership by privaudit.split_by_coin"
    ]


def judge_pass(
    result: AttackResult, prompts: Collection[str], attacks: Collection[str] = ()
) -> list[str]:
    """Say why a result is not to be believed, if it would pass.

    Of one caption for all (a subject's, a style's) a model that gives back its members gives any of
    them to anyone, and who compares a sample with its own answers sees nothing.

    Parameters
    ----------
    result
        One that was decided.
    prompts
        What the evaluated samples were asked with, one each.
    attacks
        Inference models of the audit: where one compares with all answers, it decides as well.
    """
    reasons = judge_exchanged(result.name, result.auc, result.interval.high, result.budget)
    distinct = len(set(prompts))
    asked = {result.attack, *attacks}
    pool = result.sequential is None and any(registered(name).reads_pool for name in asked)
    # At a budget of 1 nothing can be over it, as its owner knows.
    passes = result.verdict == "pass" and result.budget < 1
    if passes and not pool and distinct < LEAST_DISTINCT * len(prompts):
        reasons.append(
            f"{len(prompts)} evaluated samples are asked with {distinct} different prompts: a "
            f"member that is given back is given to any who shares its prompt, and {result.name} "
            f"compares each with its own answers alone\nadd {strongest()}, which compares with all "
            f"answers: --privaudit-attacks={result.attack},{strongest()}, and not in sequence"
        )
    return reasons


def doubts(
    scorer: Scorer,
    experiment: Experiment,
    evaluation: LabelledSet,
    result: AttackResult,
    level: float,
) -> Validity:
    """Return all that speaks against a result that would pass, and what a stronger attack sees.

    Parameters
    ----------
    scorer
        Of the scenario.
    experiment, evaluation
        The scenario, and whom it evaluated.
    result
        One that was decided.
    level
        Confidence of one bound, so that those of all results hold together.
    """
    prompts = [experiment.prompts[sample.id] for sample in experiment.evaluation.samples]
    reasons = judge_pass(result, prompts, scorer.settings.attacks)
    reasons += judge_copies(result, level, scorer.settings.attacks)
    if reasons:
        return Validity(reasons=reasons)
    return seen_by_stronger(scorer, experiment, evaluation, result)
