"""The inference models, for tests that fit each of them many times."""

from __future__ import annotations

import pytest

from privaudit.attacks import registry

MANY_FITS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "classifier" else name
    for name in registry.names()
]
"""A network takes a hundred times as long as the closed forms."""
