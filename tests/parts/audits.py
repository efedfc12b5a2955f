"""Small audits, without pytest's plugin."""

from __future__ import annotations

from typing import Any

import privaudit
from privaudit import Audit, AuditInputs, AuditRecord, AuditSettings
from privaudit.record import AttackResult
from privaudit.store import Store
from tests.parts.encoders import PixelEncoder


def memorised(emoji: dict[str, list[Any]], **settings: Any) -> AuditRecord:
    """Audit a target that hands out its twelve members: one result, an AUC of 1."""
    members, non_members = emoji["member"][:12], emoji["non_member"][:12]
    return privaudit.run_audit(
        privaudit.testing.MemorizingTarget(members),
        members,
        non_members,
        image_encoder=PixelEncoder(),
        scenarios="I",
        attacks="threshold",
        queries=1,
        duplicate_limit=2,
        store="none",
        **settings,
    )


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
