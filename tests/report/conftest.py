"""Records of every kind, each made once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parts import records

_MADE: dict[str, Any] = {}


@pytest.fixture
def record_of() -> Any:
    """Return a record of a kind, by name."""

    def get(kind: str) -> Any:
        if kind not in _MADE:
            _MADE[kind] = getattr(records, kind)()
        return _MADE[kind]

    return get
