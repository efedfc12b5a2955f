"""Checks of a pass: exchanged sets, shared prompts, near-copies, a stronger attack, the base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks.registry import registered, strongest, with_strongest
from privaudit.audit.checks.samples import told_apart
from privaudit.audit.verdict import decide
from privaudit.errors import ScoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from privaudit.audit.scoring import Scorer
    from privaudit.audit.sets import LabelledSet, Sets
    from privaudit.record import AttackResult, BlindBaseline
    from privaudit.samples import Sample

__all__ = [
    "judge_base",
    "judge_copies",
    "judge_exchanged",
    "judge_shared_prompts",
    "judge_strongest",
    "score_base",
    "score_strongest",
]


LEAST_DISTINCT = 0.5
"""Share of different prompts below which a sample's own answers are anybody's."""


def judge_exchanged(result: AttackResult) -> list[str]:
    """Say why nothing can be concluded from sets of which a model knows the non-members better.

    A model that leaks nothing has an AUC of 0.5. One that is as far below as the budget is above
    may be one that leaks, asked with its two sets exchanged. So an AUC and its bounds are judged
    as their mirror image is.

    Parameters
    ----------
    result
        One that was decided.
    """
    auc, low, high = result.auc, result.interval.low, result.interval.high
    mirrored = decide(1 - auc, 1 - high, 1 - low, result.budget, result.gate)
    # A result that is red anyway needs this reason only where it is the better one.
    if mirrored == "pass" or (mirrored == "inconclusive" and result.verdict != "pass"):
        return []
    return [
        f"AUC {auc:.3f} ({low:.3f} to {high:.3f}) by {result.name}: non-members are known better "
        f"than members, and the other way round that would be over the budget of "
        f"{result.budget:g}\n"
        "are the fixtures members and non_members exchanged? If not, the sets differ in more than "
        "membership, or are too small: take both from one source, and add samples"
    ]


def judge_shared_prompts(
    result: AttackResult, prompts: Collection[str], attacks: Collection[str] = ()
) -> list[str]:
    """Say why a pass is not to be believed where many samples share a prompt.

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
    distinct = len(set(prompts))
    compared = {result.attack, *attacks}
    pool = result.sequential is None and any(registered(name).reads_pool for name in compared)
    # At a budget of 1 nothing can be over it, as its owner knows.
    passes = result.verdict == "pass" and result.budget < 1
    if not passes or pool or distinct >= LEAST_DISTINCT * len(prompts):
        return []
    return [
        f"{len(prompts)} evaluated samples are asked with {distinct} different prompts: a "
        f"member that is given back is given to any who shares its prompt, and {result.name} "
        f"compares each with its own answers alone\nadd {strongest()}, which compares with all "
        f"answers: {with_strongest([result.attack])}, and not in sequence"
    ]


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
    bounds = auc_interval(members, non_members, confidence)
    value = bounds.low if result.gate == "evidence" else bounds.auc
    if value <= result.budget:
        return []
    return [
        f"{copies.members} of {n.members} members were redrawn nearly exactly "
        f"({copies.non_members} of {n.non_members} non-members): that alone is an AUC of "
        f"{bounds.auc:.3f}, over the budget of {result.budget:g}, and {result.name} saw "
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


MOST_KNOWN, MOST_EVALUATED = 250, 1_000
"""Samples of each class that are fitted on, and looked at: a fit takes the cube of its samples."""


def score_strongest(scorer: Scorer, sets: Sets, evaluation: LabelledSet) -> BlindBaseline | None:
    """Score the pictures that were drawn anyway with the registry's strongest attack.

    It reads the answers that were given and measured: each sample's own, and with them
    everybody's by the small picture that is kept of each, whichever shows more. So nothing is
    generated. The lower bound is one at the audit's confidence, a scenario at a time. A model
    that leaks nothing is hardly ever that far over a budget (0.70 with 40 + 40 evaluated and a
    budget of 0.6).

    Parameters
    ----------
    scorer
        Of the threat model.
    sets
        What the attack calibrates on.
    evaluation
        Whom it evaluates.

    Returns
    -------
    BlindBaseline or None
        ``None`` where it cannot be fitted.
    """
    attack = strongest()
    known, some = _some(sets.calibration, MOST_KNOWN), _some(evaluation, MOST_EVALUATED)
    # Of both bounds; of the lower by itself it is the audit's.
    level = round(2 * scorer.settings.confidence - 1, 12)
    try:
        # What everybody was answered helps where it is telling, and is in the way where it is not.
        both = [scorer.scores(attack, known, some, by_cells=cells) for cells in (False, True)]
    except ScoreError:  # too few samples to fit it, or answers that differ by rounding
        return None
    looks = [told_apart(one.members, one.non_members, level) for one in both]
    return max(looks, key=lambda one: one.interval.low)


def judge_strongest(
    result: AttackResult, strong: BlindBaseline, attacks: Sequence[str]
) -> list[str]:
    """Say why a pass is not to be believed: a stronger attack shows a leak in its pictures.

    Parameters
    ----------
    result
        One that passed.
    strong
        What the strongest attack sees in the same pictures.
    attacks
        Inference models of the audit.
    """
    low, attack = strong.interval.low, strongest()
    if low <= result.budget:
        return []
    return [
        f"AUC {result.auc:.3f} by {result.attack}, in pictures in which {attack} sees "
        f"{strong.auc:.3f}, at least {low:.3f}: over the budget of {result.budget:g}, so "
        f"{result.attack} is too weak a ruler here\n"
        f"let {attack} decide: {with_strongest(attacks)}"
    ]


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


def score_base(
    scorer: Scorer, sets: Sets, attack: str, evaluation: LabelledSet, confidence: float
) -> BlindBaseline:
    """Score the sets on the base model, which was fine-tuned on nobody.

    Parameters
    ----------
    scorer
        Knows the base.
    sets
        What the attack calibrates on.
    attack
        The inference model.
    evaluation
        Whom it evaluates.
    confidence
        Of both bounds together.
    """
    scores = scorer.on_base(attack, sets.calibration, evaluation)
    return told_apart(scores.members, scores.non_members, confidence)


def judge_base(name: str, base: BlindBaseline) -> list[str]:
    """Say why nothing can be concluded if the base model tells members from non-members.

    Parameters
    ----------
    name
        The attack, such as ``"attack-I-combined"``.
    base
        Its AUC on the base, which was fine-tuned on neither.
    """
    if base.interval.low <= 0.5:
        return []
    return [
        f"base AUC {base.auc:.3f} (at least {base.interval.low:.3f}) by {name}: the base model, "
        "which was fine-tuned on nobody, tells members from non-members\ntake both from one "
        "source, and decide membership by privaudit.split_by_coin; if the base was trained on the "
        "members, it is no base of this audit"
    ]
