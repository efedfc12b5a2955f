"""Many small values by key, in one SQLite file that many processes share."""

from __future__ import annotations

import os
import sqlite3
import warnings
import weakref
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from privaudit.errors import StoreError
from privaudit.store.faults import ELSEWHERE, not_readable, not_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["SCHEMA_VERSION", "Table"]

T = TypeVar("T")

AT_ONCE = 500
"""Keys asked for in one statement; SQLite before 3.32 allows 999."""
COMPANIONS = ("-journal", "-wal", "-shm")
"""What SQLite puts beside its file."""
PATIENCE = 60.0
"""Seconds to wait for another process's transaction."""
SCHEMA_VERSION = 1
"""SQLite's ``user_version`` of our files; privaudit 0.1.0 left it at 0 and has the same table."""
COLUMNS = ("id", "key", "checksum", "content")
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS value "
    "(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, checksum INTEGER NOT NULL, content BLOB)"
)


class Table:
    """Values of any process, whole or absent: every write is one SQLite transaction.

    Reading makes no file and writes to none, so it needs no more than the right to read. All that
    SQLite raises is a :class:`StoreError` that says what to do.

    Parameters
    ----------
    file
        The database; it is made when something is first written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opened: sqlite3.Connection | None = None
        self._process = 0
        self._end: Callable[[], object] = lambda: None

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what there is, by key; what a checksum finds damaged is not there any more."""
        found: dict[str, bytes] = {}
        damaged = []
        for key, checksum, content in self._select("key, checksum, content", keys):
            if zlib.crc32(content) == checksum:
                found[key] = content
            else:
                damaged.append(key)
        if damaged:  # forgotten first: the warning may be an error to this session
            end = ""
            try:
                self._write("DELETE FROM value WHERE key = ?", [(key,) for key in damaged])
            except StoreError:  # they are not used, and whoever may write removes them
                end = " and stay there"
            self._warn(f"{len(damaged)} of {len(keys)} entries of {self.file} are damaged{end}")
        return found

    def has(self, keys: Sequence[str]) -> set[str]:
        """Tell which keys are there, without reading the values."""
        return {key for (key,) in self._select("key", keys)}

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Keep values, all of them or, if this process dies, none."""
        rows = [(key, zlib.crc32(content), content) for key, content in contents.items()]
        self._write("INSERT OR REPLACE INTO value (key, checksum, content) VALUES (?, ?, ?)", rows)

    def usage(self) -> tuple[int, int]:
        """Return the number of values, and the bytes of their file."""
        rows = self._ask("SELECT count(*) FROM value", ())
        return (rows[0][0], self.file.stat().st_size) if rows else (0, 0)

    def drop_oldest(self, share: float) -> None:
        """Forget the given share of the values, the first written first, and free their space."""
        count = int(self.usage()[0] * share) + 1
        self._write(
            "DELETE FROM value WHERE id IN (SELECT id FROM value ORDER BY id LIMIT ?)", [(count,)]
        )
        self._tried("written", lambda: self._connection("rwc").execute("VACUUM"))

    def remove(self) -> None:
        """Remove the file, and all values with it; a stranger's file stays."""
        try:
            if self._exists():
                self._holds_values(self._connection("rw"))
        except sqlite3.DatabaseError as error:
            if _code(error) != sqlite3.SQLITE_CORRUPT:
                raise self._fault("removed", error) from error
        self._unlink()

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        self._end()
        self._opened = None

    def _unlink(self) -> None:
        self.close()
        for path in (self.file, *(Path(f"{self.file}{end}") for end in COMPANIONS)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise not_writable(path, error) from error

    def _select(self, columns: str, keys: Sequence[str]) -> Iterator[Any]:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            # Nothing but names of columns and question marks is put into the statement.
            marks = ",".join("?" * len(part))
            yield from self._ask(f"SELECT {columns} FROM value WHERE key IN ({marks})", part)  # noqa: S608

    def _ask(self, statement: str, values: Sequence[object]) -> list[Any]:
        """Return the rows of a statement: none where there is no file."""

        def work() -> list[Any]:
            if not self._exists() or not self._holds_values(connection := self._connection("rw")):
                return []
            return connection.execute(statement, values).fetchall()

        return self._tried("read", work)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def work() -> None:
            with self._connection("rwc") as connection:
                connection.execute("BEGIN IMMEDIATE")
                if not self._holds_values(connection):
                    connection.execute(SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.executemany(statement, rows)

        self._tried("written", work)

    def _tried(self, doing: str, work: Callable[[], T]) -> T:
        """Work on the file, or on a new one in place of a damaged one."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if _code(error) != sqlite3.SQLITE_CORRUPT:
                raise self._fault(doing, error) from error
            self._begin_anew(error)
        try:
            return work()
        except sqlite3.DatabaseError as error:
            raise self._fault(doing, error) from error

    def _begin_anew(self, why: sqlite3.DatabaseError) -> None:
        try:
            self._unlink()
        except StoreError as error:
            msg = f"{self.file} is damaged ({why}) and cannot be removed: {error}"
            raise StoreError(msg) from error
        self._warn(f"{self.file} is damaged ({why})")

    def _fault(self, doing: str, error: sqlite3.DatabaseError) -> StoreError:
        """Say in our words what SQLite could not do, and what the user can."""
        ways = {
            sqlite3.SQLITE_BUSY: f"another process has held it for {PATIENCE:.0f} s: wait for it "
            "or end it",
            sqlite3.SQLITE_NOTADB: "it is damaged, or not privaudit's: move it away",
            sqlite3.SQLITE_READONLY: "make it and its folder writable to you",
            sqlite3.SQLITE_CANTOPEN: "ask the owner of the file and its folder for the right",
            sqlite3.SQLITE_FULL: "free space",
        }
        way = ways.get(_code(error), "check the disk or the network share, and run again")
        return StoreError(f"{self.file} cannot be {doing} ({error}): {way}, or {ELSEWHERE}")

    def _warn(self, what: str) -> None:
        warnings.warn(f"{what}, and what it held is made again", stacklevel=2)

    def _exists(self) -> bool:
        try:
            return self.file.exists()
        except OSError as error:
            raise not_readable(self.file, error) from error

    def _connection(self, mode: str) -> sqlite3.Connection:
        """Return a connection; ``"rw"`` falls back to reading, ``"rwc"`` makes the file."""
        # A connection must not cross a fork, nor outlive its file: writes would be lost with it.
        if self._opened is None or self._process != os.getpid() or not self._exists():
            self.close()
            file = f"{self.file.absolute().as_uri()}?mode={mode}"
            # The garbage collector closes it, in whichever thread it runs.
            self._opened = sqlite3.connect(
                file, timeout=PATIENCE, uri=True, check_same_thread=False
            )
            self._process = os.getpid()
            # Python 3.13 warns of a connection that is left to the garbage collector.
            self._end = weakref.finalize(self, _close, self._opened, self._process)
        return self._opened

    def _holds_values(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file has our table, or none at all.

        Raises
        ------
        StoreError
            If it is another program's, or of a newer version.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            msg = (
                f"{self.file} was written by a newer privaudit (version {version} of its table, "
                f"this one knows {SCHEMA_VERSION}): update privaudit, or {ELSEWHERE}"
            )
            raise StoreError(msg)
        columns = tuple(row[1] for row in connection.execute("PRAGMA table_info(value)"))
        if columns == COLUMNS:
            return True
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        if tables:
            msg = (
                f"{self.file} is another program's database (tables {', '.join(sorted(tables))}), "
                f"or another version's: move it away, or {ELSEWHERE}"
            )
            raise StoreError(msg)
        return False


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary code of an error, 0 for one that Python's module raised itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
