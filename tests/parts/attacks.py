"""The inference models, for tests that fit each of them many times."""

from __future__ import annotations

import pytest

from privaudit.attacks import registry

OWN = [entry.name for entry in registry.REGISTRY if not (entry.needs_pool or entry.needs_clip)]
"""Those that compare a sample with its own answers, and maybe with all."""
POOLED = [entry.name for entry in registry.REGISTRY if entry.needs_pool]
"""Those that compare it with all answers, and with nothing else."""
BY_CLIP = [entry.name for entry in registry.REGISTRY if entry.needs_clip]
"""Those that read what a CLIP sees, and nothing else."""
MANY_FITS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "classifier" else name for name in OWN
]
"""A network takes a hundred times as long as the closed forms."""
