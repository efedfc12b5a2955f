"""privaudit: membership-inference audits of fine-tuned text-to-image models, in pytest.

Names are loaded when they are first used, so that pytest can load the plugin without torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "DifferentialPrivacy": "privaudit.dp_sgd",
    "Sample": "privaudit.samples",
    "finetune": "privaudit.finetune",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in (PEP 562)."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    message = f"module 'privaudit' has no attribute {name!r}"
    raise AttributeError(message)
