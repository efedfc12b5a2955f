"""The inference models, for tests that fit each of them many times."""

from __future__ import annotations

import pytest

from privaudit.attacks import registry

OWN = [name for name in registry.names() if not registry.reads_pool(name)]
"""Those that compare a sample with its own answers."""
POOLED = [name for name in registry.names() if registry.reads_pool(name)]
"""Those that compare it with all answers."""
MANY_FITS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "classifier" else name for name in OWN
]
"""A network takes a hundred times as long as the closed forms."""
