"""Many small values by key, in one SQLite file that many processes share."""

from __future__ import annotations

import os
import sqlite3
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import StoreError
from privaudit.store.faults import not_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Table"]

AT_ONCE = 500
"""Keys asked for in one statement; SQLite before 3.32 allows 999."""
COMPANIONS = ("-journal", "-wal", "-shm")
"""What SQLite puts beside its file."""
PATIENCE = 60.0
"""Seconds to wait for another process's transaction."""
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS value "
    "(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, checksum INTEGER NOT NULL, content BLOB)"
)


class Table:
    """Values of any process, whole or absent: every write is one SQLite transaction.

    Parameters
    ----------
    file
        The database; it is made when it is first used.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opened: sqlite3.Connection | None = None
        self._process = 0

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
            self._write("DELETE FROM value WHERE key = ?", [(key,) for key in damaged])
            self._warn(f"{len(damaged)} of {len(keys)} entries of {self.file} are damaged")
        return found

    def has(self, keys: Sequence[str]) -> set[str]:
        """Tell which keys are there, without reading the values."""
        return {key for (key,) in self._select("key", keys)}

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Keep values, all of them or, if this process dies, none.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        rows = [(key, zlib.crc32(content), content) for key, content in contents.items()]
        statement = "INSERT OR REPLACE INTO value (key, checksum, content) VALUES (?, ?, ?)"
        try:
            self._write(statement, rows)
        except sqlite3.OperationalError as error:
            msg = f"{self.file} cannot be written ({error}): free space, or name another store"
            raise StoreError(msg) from error

    def usage(self) -> tuple[int, int]:
        """Return the number of values, and the bytes of their file."""
        if not self.file.exists():
            return 0, 0
        count = self._ask("SELECT count(*) FROM value", ())[0][0]
        return count, self.file.stat().st_size

    def drop_oldest(self, share: float) -> None:
        """Forget the given share of the values, the first written first, and free their space."""
        count = int(self.usage()[0] * share) + 1
        self._write(
            "DELETE FROM value WHERE id IN (SELECT id FROM value ORDER BY id LIMIT ?)", [(count,)]
        )
        self._connection().execute("VACUUM")

    def remove(self) -> None:
        """Remove the file, and all values with it."""
        self._opened = None
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
        try:
            return self._connection().execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._restart(error)
            return self._connection().execute(statement, values).fetchall()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            with self._connection() as connection:
                connection.executemany(statement, rows)
        except sqlite3.DatabaseError as error:
            self._restart(error)
            with self._connection() as connection:
                connection.executemany(statement, rows)

    def _restart(self, error: sqlite3.DatabaseError) -> None:
        """Begin with an empty file in place of a damaged one."""
        if type(error) is not sqlite3.DatabaseError:  # locked, full, read-only: no damage
            raise error
        self.remove()
        self._warn(f"{self.file} is damaged ({error})")

    def _warn(self, what: str) -> None:
        warnings.warn(f"{what}, and what it held is made again", stacklevel=2)

    def _connection(self) -> sqlite3.Connection:
        # A connection must not cross a fork.
        if self._opened is None or self._process != os.getpid():
            self._opened = sqlite3.connect(self.file, timeout=PATIENCE)
            self._process = os.getpid()
            self._opened.execute(SCHEMA)
        return self._opened
