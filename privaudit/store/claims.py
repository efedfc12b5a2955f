"""Who is working on what: two processes never do the same work, and the dead hold nothing."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from privaudit.store.faults import not_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Claims"]


class Claims:
    """Claims on keys, each a file of keys beside a lock that its process holds while it works.

    The operating system frees a dead process's locks, ``kill -9`` included, so a claim whose
    lock is free is nobody's.

    Parameters
    ----------
    folder
        Shared by the processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex_file = folder / "mutex"
        self._mutex = FileLock(self._mutex_file)

    @contextlib.contextmanager
    def take(
        self, wanted: Sequence[str], n: int, absent: Callable[[Sequence[str]], Sequence[str]]
    ) -> Iterator[list[str]]:
        """Claim up to n keys for as long as the context lasts.

        Parameters
        ----------
        wanted
            Keys of the work this process would do, in its order.
        n
            Largest number to claim.
        absent
            Says which of some keys are still to be done; asked while nobody else can claim.

        Yields
        ------
        list of str
            The claimed keys. Empty if others hold, or have done, all of them: the context was
            then entered only after one of the others had finished.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        lock: FileLock | None = None
        with self._alone():
            others = self._held()
            held = {key for keys in others.values() for key in keys}
            taken: list[str] = []
            free = [key for key in wanted if key not in held]
            for start in range(0, len(free), n):
                taken += absent(free[start : start + n])[: n - len(taken)]
                if len(taken) == n:
                    break
            if taken:
                mine = self._folder / f"{uuid.uuid4()}.json"
                lock = FileLock(mine.with_suffix(".lock"))
                lock.acquire()
                mine.write_text(json.dumps(taken), encoding="utf-8")
        if lock is None:
            # The work is done, or someone is at it.
            busy = [name for name, keys in others.items() if set(keys) & set(wanted)]
            if busy:
                with FileLock(busy[0]):
                    pass
            yield []
            return
        try:
            yield taken
        finally:
            with self._alone():
                mine.unlink()
                lock.release()
                _unlink(lock.lock_file)

    def remove(self) -> None:
        """Remove the claims of all processes, and the folder.

        Raises
        ------
        StoreError
            If any of them is left.
        """
        for file in (*self._folder.glob("*.json"), *self._folder.glob("*.lock"), self._mutex_file):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise not_writable(file, error) from error
        with contextlib.suppress(OSError):  # not there, or not only ours
            self._folder.rmdir()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from claiming; what the folder refuses is a typed error."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._mutex:
                yield
        except OSError as error:
            raise not_writable(self._folder, error) from error

    def _held(self) -> dict[str, list[str]]:
        """Return the keys of each living claim, by its lock, and remove those of the dead."""
        living = {}
        for file in self._folder.glob("*.json"):
            lock = FileLock(file.with_suffix(".lock"), timeout=0)
            try:
                with lock:
                    file.unlink()
                _unlink(lock.lock_file)
            except Timeout:
                living[str(lock.lock_file)] = json.loads(file.read_text(encoding="utf-8"))
        return living


def _unlink(file: str) -> None:
    with contextlib.suppress(OSError):  # Windows keeps a file that a waiting process has open
        os.unlink(file)  # noqa: PTH108
