"""Checks of a pass: exchanged sets, shared prompts, near-copies, a stronger attack, the base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks.registry import registered, strongest, with_strongest
from privaudit.audit.checks.samples import told_apart
from privaudit.errors import ScoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.record import BlindBaseline, Validity
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from privaudit.audit.scoring import Scorer
    from privaudit.audit.sets import Experiment, LabelledSet
    from privaudit.record import AttackResult
    from privaudit.samples import Sample

__all__ = [
    "doubts",
    "judge_base",
    "judge_copies",
    "judge_exchanged",
    "judge_pass",
    "seen_by_stronger",
    "told_by_base",
]


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


MOST_KNOWN, MOST_EVALUATED = 250, 1_000
"""Samples of each class that are fitted on, and looked at: a fit takes the cube of its samples."""


def seen_by_stronger(
    scorer: Scorer,
    experiment: Experiment,
    evaluation: LabelledSet,
    result: AttackResult,
) -> Validity:
    """Say why a pass is not to be believed: the registry's strongest attack shows a leak.

    It reads the answers that were given and measured anyway: each sample's own, and with them
    everybody's by the small picture that is kept of each, whichever tells more. So nothing is
    generated. Its lower bound must be over the budget, whatever the gate: one bound at the audit's
    confidence, a scenario at a time. A model that leaks nothing is hardly ever that far over a
    budget (0.70 with 40 + 40 evaluated and a budget of 0.6), so what is said of false reds stays
    true. An audit that chose the attack decides by it, and is not asked.

    Parameters
    ----------
    scorer
        Of the scenario.
    experiment
        What the result calibrated on.
    evaluation
        Whom it evaluated.
    result
        One that was decided.

    Returns
    -------
    Validity
        What the attack sees, by its name; empty of a result that did not pass, and where it cannot
        be fitted.
    """
    attack = strongest()
    if result.verdict != "pass" or attack in scorer.settings.attacks:
        return Validity()
    known, some = _some(experiment.calibration, MOST_KNOWN), _some(evaluation, MOST_EVALUATED)
    # Of both bounds; of the lower by itself it is the audit's.
    level = round(2 * scorer.settings.confidence - 1, 12)
    try:
        # What everybody was answered helps where it is telling, and is in the way where it is not.
        both = [scorer.scores(attack, known, some, by_cells=cells) for cells in (False, True)]
    except ScoreError:  # too few samples to fit it, or answers that differ by rounding
        return Validity()
    looks = [told_apart(one.members, one.non_members, level) for one in both]
    found = max(looks, key=lambda one: one.interval.low)
    low, reasons = found.interval.low, []
    if low > result.budget:
        reasons = [
            f"AUC {result.auc:.3f} by {result.attack}, in pictures in which {attack} sees "
            f"{found.auc:.3f}, at least {low:.3f}: over the budget of {result.budget:g}, so "
            f"{result.attack} is too weak a ruler here\n"
            f"let {attack} decide: {with_strongest(scorer.settings.attacks)}"
        ]
    return Validity(stronger={f"{experiment.scenario.name}-{attack}": found}, reasons=reasons)


def _some(labelled: LabelledSet, most: int) -> LabelledSet:
    """Leave so many of each class, chosen by their ids alone."""

    def chosen(samples: Sequence[Sample]) -> Sequence[Sample]:
        if len(samples) <= most:
            return samples
        return sorted(samples, key=lambda sample: fingerprint_values(ruler=sample.id))[:most]

    return replace(
        labelled,
        members=chosen(labelled.members),
        non_members=chosen(labelled.non_members),
    )


def told_by_base(
    scorer: Scorer,
    experiment: Experiment,
    attack: str,
    evaluation: LabelledSet,
    level: float,
    called: str = "",
) -> Validity:
    """Return how well an attack tells members from non-members on the base alone.

    Parameters
    ----------
    scorer
        Knows the base.
    experiment, attack
        The scenario, and the inference model.
    evaluation
        Whom it evaluated.
    level
        Confidence of the bounds.
    called
        What the record calls the attack, where that is not the inference model.
    """
    name = f"{experiment.scenario.name}-{called or attack}"
    scores = scorer.on_base(attack, experiment.calibration, evaluation)
    found = told_apart(scores.members, scores.non_members, level)
    return Validity(base={name: found}, reasons=judge_base(name, found))


def judge_base(name: str, found: BlindBaseline) -> list[str]:
    """Say why nothing can be concluded if the base model tells members from non-members.

    Parameters
    ----------
    name
        The attack, such as ``"attack-I-combined"``.
    found
        Its AUC on the base, which was fine-tuned on neither.
    """
    if found.interval.low <= 0.5:
        return []
    return [
        f"base AUC {found.auc:.3f} (at least {found.interval.low:.3f}) by {name}: the base model, "
        "which was fine-tuned on nobody, tells members from non-members\ntake both from one "
        "source, and decide membership by privaudit.split_by_coin; if the base was trained on the "
        "members, it is no base of this audit"
    ]
