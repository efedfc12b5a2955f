"""Passes that are none: of exchanged sets, and of an attack that its prompts left blind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.attacks.registry import registered

if TYPE_CHECKING:
    from collections.abc import Collection

    from privaudit.record import AttackResult

__all__ = ["judge_exchanged", "judge_pass"]

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


def judge_pass(result: AttackResult, prompts: Collection[str]) -> list[str]:
    """Say why a result is not to be believed, if it would pass.

    Of one caption for all (a subject's, a style's) a model that gives back its members gives any of
    them to anyone, and who compares a sample with its own answers sees nothing.

    Parameters
    ----------
    result
        One that was decided.
    prompts
        What the evaluated samples were asked with, one each.
    """
    reasons = judge_exchanged(result.name, result.auc, result.interval.high, result.budget)
    distinct = len(set(prompts))
    pool = registered(result.attack).reads_pool and result.sequential is None
    # At a budget of 1 nothing can be over it, as its owner knows.
    passes = result.verdict == "pass" and result.budget < 1
    if passes and not pool and distinct < LEAST_DISTINCT * len(prompts):
        reasons.append(
            f"{len(prompts)} evaluated samples are asked with {distinct} different prompts: a "
            f"member that is given back is given to any who shares its prompt, and {result.name} "
            "compares each with its own answers alone\naudit by --privaudit-attacks=combined, and "
            "not in sequence: it compares with all answers"
        )
    return reasons
