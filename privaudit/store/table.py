"""Many small values by key, in one SQLite file that many processes share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from privaudit.errors import StoreError
from privaudit.store.faults import ELSEWHERE, gone, is_absent, not_readable, not_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from privaudit.store.seals import Seal

__all__ = ["SCHEMA_VERSION", "Table"]

T = TypeVar("T")

AT_ONCE = 500
"""Keys asked for in one statement; SQLite before 3.32 allows 999."""
COMPANIONS = ("-journal", "-wal", "-shm")
"""What SQLite puts beside its file."""
PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""
IMPATIENCE = 1.0
"""Seconds to wait from then on, until the file is free again."""
SCHEMA_VERSION = 2
"""SQLite's ``user_version`` of our files."""
COLUMNS = ("id", "key", "checksum", "content")
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS value "
    "(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, checksum BLOB NOT NULL, "
    "content BLOB NOT NULL)"
)


class _UnusableError(Exception):
    """The file is ours, and nothing in it can be used."""


class Table:
    """Values of any process, whole or absent: every write is one SQLite transaction.

    Reading makes no file and writes to none, so it needs no more than the right to read. All that
    SQLite raises is a :class:`StoreError` that says what to do.

    Parameters
    ----------
    file
        The database; it is made when something is first written.
    seal
        Makes and checks the seal of each row: a row of somebody without the key is no row.
    mode
        Permissions of the file.
    """

    def __init__(self, file: Path, seal: Seal, mode: int = 0o600) -> None:
        self.file = file
        self._seal, self._mode = seal, mode
        self._patient = True
        self._opened: sqlite3.Connection | None = None
        self._process = 0
        self._end: Callable[[], object] = lambda: None

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what there is, by key; a row whose seal does not fit is removed."""
        found: dict[str, bytes] = {}
        damaged = []
        for row, key, seal, content in self._select("id, key, checksum, content", keys):
            typed = isinstance(content, bytes) and isinstance(seal, bytes)
            if typed and self._seal.fits(key, content, seal):
                found[key] = content
            else:
                damaged.append((row,))
        if damaged:  # forgotten first: the warning may be an error to this session
            # Not used in any case; whoever may write removes them.
            with contextlib.suppress(StoreError):
                self._write("DELETE FROM value WHERE id = ?", damaged)
            self._warn(f"entries of {self.file} are damaged or were kept with another key")
        return found

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Keep values, all of them or, if this process dies, none."""
        rows = [(key, self._seal(key, content), content) for key, content in contents.items()]
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
        except _UnusableError:
            pass
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
        """Work on the file, or on a new one in place of one that cannot be used."""
        try:
            try:
                result = work()
            except _UnusableError as error:
                self._begin_anew(error)
                result = work()
            except sqlite3.DatabaseError as error:
                if _code(error) != sqlite3.SQLITE_CORRUPT:
                    raise
                self._begin_anew(error)
                result = work()
        except sqlite3.DatabaseError as error:
            raise self._fault(doing, error) from error
        if not self._patient:
            self._patient = True
            self.close()
        return result

    def _begin_anew(self, why: Exception) -> None:
        try:
            self._unlink()
        except StoreError as error:
            msg = f"{self.file} cannot be used ({why}) and cannot be removed: {error}"
            raise StoreError(msg) from error
        self._warn(f"{self.file} cannot be used ({why})")

    def _fault(self, doing: str, error: sqlite3.DatabaseError) -> StoreError:
        """Say in our words what SQLite could not do, and what the user can."""
        if not self.file.parent.is_dir():
            return gone(self.file.parent)
        waited = PATIENCE if self._patient else IMPATIENCE
        if _code(error) == sqlite3.SQLITE_BUSY:
            self._patient = False
            self.close()
        ways = {
            sqlite3.SQLITE_BUSY: f"another process has held it for {waited:.0f} s: wait for it "
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
        """Tell whether the file is there; what is in its place and no file is removed.

        Raises
        ------
        StoreError
            If it cannot be looked at, or a folder has its name.
        """
        there = False
        for path in (self.file, *(Path(f"{self.file}{end}") for end in COMPANIONS)):
            try:
                mode = path.lstat().st_mode
            except OSError as error:
                if is_absent(error):
                    continue
                raise not_readable(path, error) from error
            if stat.S_ISREG(mode):
                there = there or path == self.file
                continue
            try:  # a link, a FIFO or a device, which SQLite would follow, wait for or write to
                path.unlink()
            except OSError as error:
                raise not_writable(path, error) from error
            self._warn(f"{path} is not a regular file")
        return there

    def _connection(self, mode: str) -> sqlite3.Connection:
        """Return a connection; ``"rw"`` falls back to reading, ``"rwc"`` makes the file."""
        exists = self._exists()
        # A connection must not cross a fork, nor outlive its file: writes would be lost with it.
        if self._opened is None or self._process != os.getpid() or not exists:
            self.close()
            if exists or mode == "rwc":
                self._make_private()
            file = f"{self.file.absolute().as_uri()}?mode={mode}"
            # The garbage collector closes it, in whichever thread it runs.
            self._opened = sqlite3.connect(
                file,
                timeout=PATIENCE if self._patient else IMPATIENCE,
                uri=True,
                check_same_thread=False,
            )
            # A row that is no UTF-8 is somebody else's, and no reason to stop.
            self._opened.text_factory = lambda raw: raw.decode("utf-8", "replace")
            self._process = os.getpid()
            # Python 3.13 warns of a connection that is left to the garbage collector.
            self._end = weakref.finalize(self, _close, self._opened, self._process)
        return self._opened

    def _make_private(self) -> None:
        """Give the file its permissions, which SQLite gives to what it puts beside it.

        A file that cannot be opened or changed here is left to SQLite, which says why.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with contextlib.suppress(OSError):
            os.close(os.open(self.file, flags, self._mode))
            for path in (self.file, *(Path(f"{self.file}{end}") for end in COMPANIONS)):
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(self._mode)

    def _holds_values(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file has our table, or none at all.

        Raises
        ------
        StoreError
            If it is another program's, or of a newer version.
        _UnusableError
            If it is of an older version.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            msg = (
                f"{self.file} was written by a newer privaudit (version {version} of its table, "
                f"this one knows {SCHEMA_VERSION}): update privaudit, or {ELSEWHERE}"
            )
            raise StoreError(msg)
        columns = tuple(row[1] for row in connection.execute("PRAGMA table_info(value)"))
        if columns == COLUMNS and version == SCHEMA_VERSION:
            return True
        if columns == COLUMNS:  # its checksums have no key
            msg = "an older privaudit wrote it"
            raise _UnusableError(msg)
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        if tables:
            msg = (
                f"{self.file} is another program's database (tables "
                f"{', '.join(sorted(map(str, tables)))}): move it away, or {ELSEWHERE}"
            )
            raise StoreError(msg)
        return False


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary code of an error, 0 for one that Python's module raised itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
