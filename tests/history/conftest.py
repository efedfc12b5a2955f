"""A real audit, to be kept."""

from __future__ import annotations

from typing import Any

import pytest

import privaudit
from tests.parts.encoders import PixelEncoder


@pytest.fixture(scope="session")
def record(emoji: dict[str, list[Any]]) -> privaudit.AuditRecord:
    members, non_members = emoji["member"][:12], emoji["non_member"][:12]
    return privaudit.run_audit(
        privaudit.MemorizingTarget(members),
        members,
        non_members,
        image_encoder=PixelEncoder(),
        scenarios="I",
        attacks="threshold",
        queries=1,
        duplicate_limit=2,
        store="none",
    )
