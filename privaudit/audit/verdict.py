"""From a number, its bounds and a budget to a verdict, and the sentence that explains a red one."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.record.result import AttackResult

__all__ = ["decide", "explain", "is_supported"]


def decide(auc: float, low: float, high: float, budget: float, gate: str = "point") -> str:
    """Decide on one result.

    Parameters
    ----------
    auc, low, high
        The estimate and its bounds.
    budget
        The largest AUC accepted.
    gate
        ``"point"`` fails when the estimate is over the budget; ``"evidence"`` when the lower
        bound is; ``"certify"`` passes only when the upper bound is at or under it.

    Returns
    -------
    ``"pass"``, ``"fail"`` or ``"inconclusive"``
        Comparisons are written so that NaN, which is neither above nor below anything, fails.
    """
    if not all(math.isfinite(value) for value in (auc, low, high)):
        return "fail"
    if gate == "certify":
        return "pass" if high <= budget else "fail" if low > budget else "inconclusive"
    return "pass" if (auc if gate == "point" else low) <= budget else "fail"


def is_supported(low: float, high: float, budget: float) -> bool:
    """Tell whether the bounds are on one side of the budget: the sample size supports a verdict."""
    return low > budget or high <= budget


def explain(result: AttackResult, nodeid: str) -> str:
    """Say why a result is red, numbers first: the short summary of pytest cuts long lines."""
    where = f"budget {result.budget:g} ({result.budget_source})"
    who = f"{result.n_members} members from {result.n_non_members} non-members"
    bounds = f"[{result.auc_low:.3f}, {result.auc_high:.3f}]"
    if result.claim_exceeded:
        head = (
            f"epsilon >= {result.epsilon:.2f} > claimed {result.claimed_epsilon:g} at delta "
            f"{result.epsilon_delta:g}: {result.scenario} tells {who} by {result.attack}"
        )
    elif result.verdict == "inconclusive":
        head = (
            f"AUC {result.auc:.3f} {bounds} straddles {where}: {who} told apart by "
            f"{result.scenario} with {result.attack} cannot decide"
        )
        head += f"; {_more(result)}"
    elif result.gate == "evidence" or result.sequential is not None:
        head = (
            f"AUC {result.auc:.3f}, at least {result.auc_low:.3f} > {where}: {result.scenario} "
            f"tells {who} by {result.attack}"
        )
    else:
        support = "" if result.supported else f"; too few samples to be sure: {bounds}"
        head = (
            f"AUC {result.auc:.3f} > {where}: {result.scenario} tells {who} by {result.attack}, "
            f"right {result.attack_success_rate:.0%} of the time{support}"
        )
    return (
        f"{head}\nlook further, every sample's score in a file:\n"
        f"  pytest {shlex.quote(nodeid)} --privaudit-json=privaudit.json"
    )


def _more(result: AttackResult) -> str:
    needed = result.samples_needed
    if needed is None:
        return "no number of samples is known that would, this close to the budget"
    return f"about {needed[0]}+{needed[1]} would, if the AUC stays"
