"""A verdict in words: why one is red, and the sentence that heads an audit."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.record import AttackResult, AuditRecord

__all__ = ["explanation", "headline", "verdict_words"]


def explanation(result: AttackResult, nodeid: str) -> str:
    """Say why a result is red, numbers first: the short summary of pytest cuts long lines.

    Parameters
    ----------
    result
        A result that did not pass.
    nodeid
        Its test, for the command that looks further.
    """
    return (
        f"{_reason(result)}\nlook further, every sample's score in a file:\n"
        f"  pytest {shlex.quote(nodeid)} --privaudit-json=privaudit.json"
    )


def _reason(result: AttackResult) -> str:
    where = f"budget {result.budget:g} ({result.budget_source})"
    n = result.evaluation
    who = f"{n.members} members from {n.non_members} non-members"
    low, high = result.interval.low, result.interval.high
    if result.claim_exceeded and result.epsilon is not None and result.claim is not None:
        return (
            f"epsilon >= {result.epsilon.epsilon:.2f} > claimed {result.claim.epsilon:g} at delta "
            f"{result.epsilon.delta:g}: {result.scenario} tells {who} by {result.attack}"
        )
    if result.verdict == "inconclusive":
        return (
            f"AUC {result.auc:.3f} [{low:.3f}, {high:.3f}] straddles {where}: {result.scenario} "
            f"by {result.attack} is undecided about {n.members} members and {n.non_members} "
            f"non-members\n{_more(result)}"
        )
    if result.gate == "evidence" or result.sequential is not None:
        return (
            f"AUC {result.auc:.3f}, at least {low:.3f} > {where}: {result.scenario} tells {who} "
            f"by {result.attack}"
        )
    support = (
        ""
        if result.supported
        else f"\nso few samples cannot be sure: the AUC is between {low:.3f} and {high:.3f}"
    )
    return (
        f"AUC {result.auc:.3f} > {where}: {result.scenario} tells {who} by {result.attack}, "
        f"right {result.success_rate.value:.0%} of the time{support}"
    )


def _more(result: AttackResult) -> str:
    needed = result.samples_needed
    if needed is None:
        return "no number of samples is known that would decide, this close to the budget"
    return f"about {needed.members}+{needed.non_members} samples would decide, if the AUC stays"


def verdict_words(result: AttackResult) -> str:
    """Say a verdict as the table does: in capitals when it is red, with a doubt if there is one."""
    verdict = result.verdict if result.verdict == "pass" else result.verdict.upper()
    doubtful = not result.supported and result.verdict != "inconclusive"
    return f"{verdict}, n too small to tell" if doubtful else verdict


def headline(audit: AuditRecord) -> str:
    """Say an audit in one sentence, after its name."""
    if not audit.results:
        return f"{audit.name}: 0 results, so nothing is known of the model"
    n = len(audit.results)
    first = audit.results[0]
    claims = sum(result.claim_exceeded for result in audit.results)
    over = sum(result.verdict == "fail" for result in audit.results) - claims
    parts = [
        f"{over} of {n} result{'s' if n > 1 else ''} over the budget of {first.budget:g} "
        f"({first.budget_source})"
    ]
    if claims:
        parts.append(f"{claims} over the claimed epsilon")
    undecided = sum(result.verdict == "inconclusive" for result in audit.results)
    if undecided:
        parts.append(f"{undecided} inconclusive")
    if audit.not_completed:
        parts.append(f"{len(audit.not_completed)} not completed")
    return f"{audit.name}: {', '.join(parts)}"
