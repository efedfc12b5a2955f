"""What is kept of audits that are done: no verdict depends on whether it could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.history.file import HistoryFile
from privaudit.history.tracking import log_audits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from privaudit.record import AuditRecord

__all__ = ["keep"]


def keep(
    audits: Sequence[AuditRecord], privaudit: str, *, history: Path | None, mlflow: str | None
) -> list[str]:
    """Add completed audits to a history file, and log them with MLflow.

    Parameters
    ----------
    audits
        Records.
    privaudit
        The version.
    history
        The file; ``None`` for none.
    mlflow
        A tracking server, database or folder; ``None`` for none.

    Returns
    -------
    list of str
        A line for each audit that is only a part of one, and is not kept; and for each of the two
        that could not take them.
    """
    said = [
        f"{audit.name} is not kept: {len(audit.not_asked)} of its results were not asked for, the "
        f"first {audit.not_asked[0]}"
        for audit in audits
        if audit.results and audit.not_asked
    ]
    try:
        if history is not None:
            HistoryFile(history).add(audits, privaudit)
    except PrivauditError as error:
        said.append(str(error))
    try:
        if mlflow is not None:
            log_audits(audits, privaudit, mlflow)
    except PrivauditError as error:
        said.append(str(error))
    return said
