"""Every setting: one list, from which command line, ini file, markers, help and docs are made.

What checks them is imported when it is first used (PEP 562): a project without audits, and without
a setting of ours, needs the list alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from privaudit.settings.options import OPTIONS, Option

if TYPE_CHECKING:
    from privaudit.settings.resolve import (
        AuditSettings,
        SessionSettings,
        resolve_settings,
        split_settings,
    )

__all__ = [
    "OPTIONS",
    "AuditSettings",
    "Option",
    "SessionSettings",
    "resolve_settings",
    "split_settings",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module("privaudit.settings.resolve"), name)
    globals()[name] = value
    return value
