"""From a number and a budget to a verdict, and the sentence that explains a red one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.record import AttackResult

__all__ = ["decide", "explain"]


def decide(auc: float, budget: float) -> str:
    """Return ``"pass"`` when the AUC is at most the budget, and ``"fail"`` otherwise.

    Written so that NaN, which is neither above nor below anything, fails.
    """
    return "pass" if auc <= budget else "fail"


def explain(result: AttackResult, nodeid: str) -> str:
    """Say why a result is red, numbers first: the short summary of pytest cuts long lines."""
    return (
        f"AUC {result.auc:.3f} > budget {result.budget:g} ({result.budget_source}): "
        f"{result.scenario} tells {result.n_members} members from {result.n_non_members} "
        f"non-members by {result.attack}, right {result.attack_success_rate:.0%} of the time\n"
        f"look further, every sample's score in a file:\n"
        f"  pytest {shlex.quote(nodeid)} --privaudit-json=privaudit.json"
    )
