"""One SQLite file with a row for each result of each completed audit.

It holds numbers and hashes, and neither images, captions nor scores: it may be handed on.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from privaudit.errors import HistoryError
from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from privaudit.record import AuditRecord

__all__ = ["Entry", "HistoryFile", "Past", "completed"]

APPLICATION = 0x70766864
"""Written into the file, so that another program's is known for what it is."""
VERSION = 1
GATES = (
    "sources",
    "without_effect",
    "budget",
    "max_tpr",
    "at_fpr",
    "gate",
    "batch_size",
    "blind_limit",
    "duplicate_limit",
    "baseline",
    "baseline_samples",
    "max_rise",
)
"""Settings that change no AUC and none of its bounds."""
WAIT = 5.0
"""Seconds to wait for another session that is writing."""
TABLES = """
create table audits (
    id integer primary key,
    name text not null,
    ended text not null,
    privaudit text not null,
    "commit" text,
    target text not null,
    comparable text not null,
    verdict text not null,
    budget real not null
);
create table results (
    audit integer not null references audits(id),
    name text not null,
    auc real not null,
    low real not null,
    high real not null,
    confidence real not null,
    verdict text not null,
    primary key (audit, name)
);
"""


class Past(NamedTuple):
    """One result of one audit, as it was.

    Attributes
    ----------
    auc, low, high
        In [0, 1].
    confidence
        Of the bounds.
    verdict
        ``"pass"``, ``"fail"`` or ``"inconclusive"``.
    """

    auc: float
    low: float
    high: float
    confidence: float
    verdict: str


class Entry(NamedTuple):
    """One completed audit.

    Attributes
    ----------
    name
        The audit's.
    ended
        When, in ISO 8601 and UTC.
    privaudit, commit
        The version, and the commit of the audit file's repository, if it was in one.
    target
        Identity of the model.
    comparable
        Hash of samples, settings and encoder: two audits with the same one differ by the model.
    verdict, budget
        Of the whole audit.
    results
        By name, such as ``"attack-I-threshold"``.
    """

    name: str
    ended: str
    privaudit: str
    commit: str | None
    target: str
    comparable: str
    verdict: str
    budget: float
    results: dict[str, Past]


def completed(audits: Iterable[AuditRecord]) -> list[AuditRecord]:
    """Return the audits that are complete, whole and have a result: what may be kept."""
    done = (one for one in audits if one.complete and one.results and one.provenance is not None)
    return [one for one in done if not one.not_asked]


class HistoryFile:
    """A history.

    Parameters
    ----------
    path
        The file; it is made when something is added.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def add(self, audits: Iterable[AuditRecord], privaudit: str) -> int:
        """Add the audits that are complete and have a result; all of them, or none.

        Parameters
        ----------
        audits
            Records.
        privaudit
            The version.

        Returns
        -------
        int
            How many were added.

        Raises
        ------
        HistoryError
            If the file is no history, a newer version's, damaged, locked or cannot be written;
            it is then as it was.
        """
        wanted = completed(audits)
        if not wanted:
            return 0
        with self._opened(writing=True) as connection:
            for audit in wanted:
                _insert(connection, audit, privaudit)
        return len(wanted)

    def read(self) -> list[Entry]:
        """Return all audits, the oldest first.

        Raises
        ------
        HistoryError
            If there is no such file, or it cannot be read.
        """
        if not self._path.is_file():
            msg = f"{self._path} is no file: name the one that --privaudit-history named"
            raise HistoryError(msg)
        with self._opened(writing=False) as connection:
            results: dict[int, dict[str, Past]] = {}
            columns = "audit, name, auc, low, high, confidence, verdict"
            for audit, name, *past in connection.execute(f"select {columns} from results"):  # noqa: S608
                results.setdefault(audit, {})[name] = Past(*past)
            columns = 'name, ended, privaudit, "commit", target, comparable, verdict, budget'
            rows = connection.execute(f"select id, {columns} from audits order by ended, id")  # noqa: S608
            return [Entry._make((*row, results.get(key, {}))) for key, *row in rows]

    @contextlib.contextmanager
    def _opened(self, *, writing: bool) -> Iterator[sqlite3.Connection]:
        """Open the file as what it must be, and commit what is done with it, whole."""
        try:
            if writing:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if writing else "ro"
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=WAIT)) as connection:
                connection.isolation_level = None
                connection.execute("begin immediate" if writing else "begin")
                self._check(connection, writing=writing)
                yield connection
                connection.execute("commit")
        except (sqlite3.Error, OSError) as error:
            done = "nothing was added" if writing else "it cannot be read"
            msg = (
                f"history {self._path}: {done} ({error}): if no other session is at it, restore "
                "the file from a copy, or name a new one"
            )
            raise HistoryError(msg) from error

    def _check(self, connection: sqlite3.Connection, *, writing: bool) -> None:
        def ask(what: str) -> object:
            return connection.execute(f"pragma {what}").fetchone()[0]

        if ask("quick_check") != "ok":
            msg = "the file is damaged"
            raise sqlite3.DatabaseError(msg)
        empty = not connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if empty and writing:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"pragma application_id = {APPLICATION}")
            connection.execute(f"pragma user_version = {VERSION}")
            return
        if ask("application_id") != APPLICATION:
            msg = f"{self._path} is another program's file: name a new one for the history"
            raise HistoryError(msg)
        version = ask("user_version")
        if version != VERSION:
            msg = (
                f"history {self._path} has version {version}, and this privaudit knows {VERSION}: "
                "update privaudit, or name a new file"
            )
            raise HistoryError(msg)


def _insert(connection: sqlite3.Connection, audit: AuditRecord, privaudit: str) -> None:
    known = audit.provenance
    if known is None:
        return
    settings = {name: value for name, value in audit.settings.items() if name not in GATES}
    comparable = fingerprint_values(
        settings=settings,
        samples={name: one.digest for name, one in known.samples.items()},
        encoder=str(known.models.get("image_encoder", {}).get("identity")),
    )
    target = str(known.models.get("target_model", {}).get("identity"))
    row = connection.execute(
        'insert into audits (name, ended, privaudit, "commit", target, comparable, verdict, budget)'
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            audit.name,
            known.ended.isoformat(),
            privaudit,
            known.commit,
            target,
            comparable,
            audit.verdict,
            audit.results[0].budget,
        ),
    )
    connection.executemany(
        "insert into results values (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row.lastrowid,
                result.name,
                result.auc,
                result.interval.low,
                result.interval.high,
                result.interval.confidence,
                result.verdict,
            )
            for result in audit.results
        ],
    )
