"""JUnit properties of one result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.record import AttackResult

__all__ = ["properties"]


def properties(audit: str, result: AttackResult) -> list[tuple[str, object]]:
    """Return (name, value) pairs for ``user_properties``; what was not measured is left out.

    Parameters
    ----------
    audit
        The audit's name.
    result
        One of its results.
    """
    change = result.comparison
    at_1_percent = result.at_fpr(0.01)
    values: dict[str, object] = {
        "audit": audit,
        "scenario": result.scenario,
        "attack": result.attack,
        "auc": result.auc,
        "auc_low": result.interval.low,
        "auc_high": result.interval.high,
        "gate": result.gate,
        "budget": result.budget,
        "budget_source": result.budget_source,
        "verdict": result.verdict,
        "n_members": result.evaluation.members,
        "n_non_members": result.evaluation.non_members,
        "attack_success_rate": result.success_rate.value,
        "tpr_at_1_percent_fpr": at_1_percent and at_1_percent.tpr.value,
        "epsilon": result.epsilon and result.epsilon.epsilon,
    }
    if change is not None:
        copies = change.near_copies
        values |= {
            "baseline_auc": change.auc,
            "change": change.change,
            "change_low": change.bounds.low,
            "change_high": change.bounds.high,
            "change_p_value": change.p_value,
            "change_verdict": change.verdict,
            "baseline_tpr_at_1_percent_fpr": change.tpr and change.tpr.tpr.value,
            "baseline_near_copies": copies and copies.members,
        }
        values["near_copies"] = result.near_copies and result.near_copies.members
    return [(f"privaudit.{name}", value) for name, value in values.items() if value is not None]
