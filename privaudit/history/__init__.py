"""The history of completed audits, in one local file, and where it stepped."""

from __future__ import annotations

from privaudit.history.file import Entry, HistoryFile, Past
from privaudit.history.steps import Release, releases

__all__ = ["Entry", "HistoryFile", "Past", "Release", "releases"]
