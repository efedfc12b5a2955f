"""The history of completed audits, in one local file or with MLflow, and where it stepped."""

from __future__ import annotations

from privaudit.history.file import Entry, HistoryFile, Past
from privaudit.history.kept import keep
from privaudit.history.steps import Release, releases

__all__ = ["Entry", "HistoryFile", "Past", "Release", "keep", "releases"]
