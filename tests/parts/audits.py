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
    """Make an audit of one result, and compute it: what is decided together costs its fits."""
    only = settings.replace(scenarios=(scenario,), attacks=(attack,))
    audit = Audit(inputs, only, store, engine, progress=progress)
    return audit.result(scenario, attack)
