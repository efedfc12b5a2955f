"""One lock a target: two processes never ask a model the same, and the dead hold nothing."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from privaudit.files import read_bytes
from privaudit.store.faults import not_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Locks"]

EVERY = 30.0
"""Seconds between two lines of a process that waits."""


class Locks:
    """Locks by name, each a file that its process holds while it works.

    The operating system frees a dead process's locks, ``kill -9`` included.

    Parameters
    ----------
    folder
        Shared by the processes.
    mode
        Permissions of the folder.
    """

    def __init__(self, folder: Path, mode: int = 0o700) -> None:
        self.folder = folder
        self._mode = mode
        self._locks: dict[str, FileLock] = {}

    @contextlib.contextmanager
    def hold(self, name: str, say: Callable[[str], None]) -> Iterator[None]:
        """Hold a lock for as long as the context lasts; a process may hold one twice.

        Parameters
        ----------
        name
            Hexadecimal digits.
        say
            Called with one line each half minute that another process holds it.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        holder = self.folder / f"{name}.json"
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(exist_ok=True)
                self.folder.chmod(self._mode)
            lock = self._locks.setdefault(
                name, FileLock(self.folder / f"{name}.lock", mode=self._mode & 0o666)
            )
            _wait(lock, holder, self._mode & 0o666, say)
        except OSError as error:
            raise not_writable(self.folder, error) from error
        try:
            yield
        finally:
            if lock.lock_counter == 1:
                # The lock's own file stays: who waits has it open, and would hold one that is gone.
                with contextlib.suppress(OSError):
                    holder.unlink()
            lock.release()

    def remove(self) -> None:
        """Remove the locks of all processes, and the folder.

        Raises
        ------
        StoreError
            If any of them is left.
        """
        for file in (*self.folder.glob("*.json"), *self.folder.glob("*.lock")):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise not_writable(file, error) from error
        with contextlib.suppress(OSError):  # not there, or not only ours
            self.folder.rmdir()


def _wait(lock: FileLock, holder: Path, mode: int, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=EVERY)
        except Timeout:  # an OSError, too
            waited = time.monotonic() - started
            say(
                f"privaudit: waiting for {_name(holder)}, {waited:.0f} s so far: it asks the same "
                "model, and what it gets is not asked again here; end it to go on without it"
            )
        else:
            break
    with contextlib.suppress(OSError):
        holder.unlink(missing_ok=True)  # a dead process's, or what was put in its place
        who = {"process": os.getpid(), "machine": platform.node()}
        holder.touch(mode=mode)
        holder.write_text(json.dumps(who), encoding="utf-8")


def _name(holder: Path) -> str:
    """Name the process that holds a lock, as well as can be."""
    try:
        who = json.loads(read_bytes(holder, 1000, follow=False)[1])
        return f"process {int(who['process'])} on {str(who['machine'])[:80]!r}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "another process"
