"""Every setting: one list, from which command line, ini file, markers, help and docs are made."""

from __future__ import annotations

from privaudit.settings.options import OPTIONS, Option
from privaudit.settings.resolve import AuditSettings, SessionSettings, resolve_settings

__all__ = ["OPTIONS", "AuditSettings", "Option", "SessionSettings", "resolve_settings"]
