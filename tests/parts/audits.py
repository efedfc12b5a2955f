"""Single results of audits, without pytest's plugin."""

from __future__ import annotations

from typing import Any

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.record import AttackResult
from privaudit.store import Store


def one_result(
    scenario: str,
    attack: str,
    inputs: AuditInputs,
    settings: AuditSettings,
    store: Store | None = None,
    engine: Any = None,
    progress: Any = lambda _: None,
) -> AttackResult:
    """Make an audit, and compute one of its results."""
    audit = Audit(inputs, settings, store, engine, progress=progress)
    return audit.result(scenario, attack)
