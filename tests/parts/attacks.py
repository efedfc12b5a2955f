"""The inference models, for tests that fit each of them many times."""

from __future__ import annotations

import pytest

from privaudit.attacks import registry

OWN = [n for n in registry.names() if not (registry.needs_pool(n) or registry.needs_clip(n))]
"""Those that compare a sample with its own answers, and maybe with all."""
POOLED = [name for name in registry.names() if registry.needs_pool(name)]
"""Those that compare it with all answers, and with nothing else."""
BY_CLIP = [name for name in registry.names() if registry.needs_clip(name)]
"""Those that read what a CLIP sees, and nothing else."""
MANY_FITS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "classifier" else name for name in OWN
]
"""A network takes a hundred times as long as the closed forms."""
