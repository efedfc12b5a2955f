"""Passes that are none: of exchanged sets, and of attacks that see less than the pictures show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks.registry import registered, strongest, with_strongest
from privaudit.audit.ruler import seen_by_stronger
from privaudit.record import Validity
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scorer
    from privaudit.record import AttackResult

__all__ = ["doubts", "judge_copies", "judge_exchanged", "judge_pass"]

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
            f"answers: {with_strongest([result.attack])}, and not in sequence"
        )
    return reasons


def judge_copies(result: AttackResult, confidence: float, attacks: Sequence[str] = ()) -> list[str]:
    """Say why a result that passes is not to be believed: the pictures show more than it saw.

    Who calls those members that a model redraws nearly exactly has an AUC of (1 + TPR − FPR) / 2,
    whatever the encoder sees. Where that is over the budget, an inference model that is within it
    is a weak ruler, and its green is wrong.

    Parameters
    ----------
    result
        One that was decided. Under the gate ``"evidence"`` it must be shown that the copies are
        over the budget, as of any AUC.
    confidence
        Of the bound that then shows it.
    attacks
        Inference models of the audit, among which one may see more.
    """
    copies, n = result.near_copies, result.evaluation
    if copies is None or result.verdict != "pass":
        return []
    members, non_members = (
        np.where(np.arange(of) < number, 1.0, 0.0)
        for number, of in (
            (copies.members, n.members),
            (copies.non_members, n.non_members),
        )
    )
    found = auc_interval(members, non_members, confidence)
    told = found.low if result.gate == "evidence" else found.auc
    if told <= result.budget:
        return []
    return [
        f"{copies.members} of {n.members} members were redrawn nearly exactly "
        f"({copies.non_members} of {n.non_members} non-members): that alone is an AUC of "
        f"{found.auc:.3f}, over the budget of {result.budget:g}, and {result.name} saw "
        f"{result.auc:.3f}\n{_stronger_than(result.attack, attacks)}"
    ]


def _stronger_than(attack: str, attacks: Sequence[str]) -> str:
    """Say what to do about an attack that sees less than the eye."""
    best = strongest()
    if attack == best:
        return "it reads pixels too, and has learned too little: give it more samples"
    if best in attacks:
        return f"leave {attack} out of --privaudit-attacks: {best}, which reads pixels too, stays"
    return f"take --privaudit-attacks={best}, which reads pixels too, or another encoder"


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
