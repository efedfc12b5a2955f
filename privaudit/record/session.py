"""The records of all audits of a session: what ``--privaudit-json`` writes, and reads again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from privaudit.errors import RecordError
from privaudit.files import read_text, write_private
from privaudit.record.audit import AuditRecord
from privaudit.record.run import RunRecord
from privaudit.record.values import Value

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCHEMA_VERSION", "SessionRecord", "read_json", "write_json"]

SCHEMA_VERSION = 2
"""Version of the JSON that records become; raised when a reader could misunderstand it."""

LARGEST = 2**30
"""Bytes of a file that is read as a record: an audit of a million samples has a tenth."""


class SessionRecord(Value):
    """Every audit of one session.

    Attributes
    ----------
    schema_version
        Of this JSON; its schema is ``privaudit/record/schema.json``.
    privaudit_version
        What wrote it.
    exit_status
        Of pytest, or ``None`` without it.
    complete
        Whether every audit was; false after an interruption.
    notes
        Why the session is red beyond its results, one sentence each.
    audits
        In the order of their names.
    runs
        Of training runs whose checkpoints were audited, the last one within the budget.

    Examples
    --------
    >>> record = SessionRecord(privaudit_version="0.1.0", audits=[AuditRecord(name="faces")])
    >>> SessionRecord.from_json(record.to_json()) == record
    True
    """

    schema_version: Literal[2] = 2
    privaudit_version: str
    exit_status: int | None = None
    complete: bool = True
    notes: list[str] = []
    audits: list[AuditRecord] = []
    runs: list[RunRecord] = []


def write_json(path: Path, record: Value) -> None:
    """Write a record whole or not at all, for its owner's eyes; missing folders are made.

    Raises
    ------
    OSError
        If it cannot be written, or a device, FIFO or folder has the name.
    """
    write_private(path, f"{record.to_json()}\n".encode())


def read_json(path: Path) -> SessionRecord:
    """Read the file that ``--privaudit-json`` wrote.

    Raises
    ------
    RecordError
        If it cannot be read, or is something else.
    """
    text = read_text(path, RecordError, limit=LARGEST, what="a record")
    return SessionRecord.from_json(text, str(path))
