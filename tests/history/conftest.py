"""A real audit, to be kept."""

from __future__ import annotations

from typing import Any

import pytest

import privaudit
from tests.parts.audits import memorised


@pytest.fixture(scope="session")
def record(emoji: dict[str, list[Any]]) -> privaudit.AuditRecord:
    return memorised(emoji)
