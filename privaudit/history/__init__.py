"""The history of completed audits, in a folder of records or with MLflow, and where it stepped."""

from __future__ import annotations

from privaudit.history.folder import Entry, Past, add_to_history, keep, read_history
from privaudit.history.steps import Release, releases

__all__ = ["Entry", "Past", "Release", "add_to_history", "keep", "read_history", "releases"]
