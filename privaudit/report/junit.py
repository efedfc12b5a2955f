"""JUnit properties of one result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.record.result import AttackResult

__all__ = ["properties"]

FIELDS = (
    "scenario",
    "attack",
    "auc",
    "auc_low",
    "auc_high",
    "gate",
    "budget",
    "budget_source",
    "verdict",
    "n_members",
    "n_non_members",
    "attack_success_rate",
    "tpr_at_1_percent_fpr",
    "epsilon",
)


def properties(result: AttackResult) -> list[tuple[str, object]]:
    """Return (name, value) pairs for ``user_properties``; what was not measured is left out."""
    pairs = [(f"privaudit.{name}", getattr(result, name)) for name in FIELDS]
    return [(name, value) for name, value in pairs if value is not None]
