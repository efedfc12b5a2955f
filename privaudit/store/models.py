"""Models by key, one folder each, whose seal is checked when they are asked for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
import warnings
from typing import TYPE_CHECKING

from filelock import FileLock

from privaudit.errors import StoreError
from privaudit.files import read_bytes
from privaudit.store.faults import ELSEWHERE, not_readable, not_writable
from privaudit.store.seals import Seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ModelFolder"]

SEAL = "privaudit-model.seal"
"""Holds, beside a model's files, their seal."""
FILES = "files"
OURS = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{32}\.draft)?")
"""Folders of models, and of those that were never finished."""


class ModelFolder:
    """Folders of files, written under a temporary name and renamed: a reader sees all or none.

    What a model was fine-tuned on can be drawn from it, so the folders are their owner's alone.
    Nothing in them is a pickle: who can write there cannot run code here.

    Parameters
    ----------
    folder
        Shared by processes.
    seal
        Makes and checks the seals of models; by default a checksum without a key.
    """

    def __init__(self, folder: Path, seal: Seal | None = None) -> None:
        self.folder = folder
        self._seal = Seal() if seal is None else seal

    def get(self, key: str) -> Path | None:
        """Return the folder of a model's files, or ``None`` if there is none or it is damaged.

        A damaged one is removed with a warning, since it is made again in any case.

        Raises
        ------
        StoreError
            If it cannot be read, or somebody else put it there.
        """
        place = self.folder / key
        if not place.is_dir():
            return None
        try:
            written = read_bytes(place / SEAL, 1000)[1].decode("ascii", "replace")
            fits = written == self._seal.of_files(key, place / FILES).hex()
        except PermissionError as error:
            raise not_readable(place, error) from error
        except OSError as error:
            if not (place / FILES).is_dir():
                msg = f"{place} is no model that privaudit kept: remove it, or {ELSEWHERE}"
                raise StoreError(msg) from error
            fits = False
        if not fits:
            self.drop(key, "is damaged or was kept with another key")
            return None
        with contextlib.suppress(OSError):  # what was used last is evicted last
            os.utime(place)
        return place / FILES

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        """Keep a model, and return the folder of its files.

        Parameters
        ----------
        key
            Its name: 32 hexadecimal digits.
        write
            Writes its files into a folder that is there and empty; what it raises is passed on.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        place = self.folder / key
        draft = place.with_name(f"{key}.{uuid.uuid4().hex}.draft")
        try:
            (draft / FILES).mkdir(parents=True, mode=0o700)
            draft.chmod(0o700)
            write(draft / FILES)
            seal = self._seal.of_files(key, draft / FILES)
            (draft / SEAL).write_text(seal.hex(), encoding="ascii")
            draft.rename(place)
        except OSError as error:
            raise not_writable(place, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return place / FILES

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Keep other processes from making the same model meanwhile.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.folder / f"{key}.lock")
            lock.acquire()
        except OSError as error:
            raise not_writable(self.folder, error) from error
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each model was last used (seconds), its bytes and its folder.

        Raises
        ------
        StoreError
            If the folder cannot be listed.
        """
        try:
            places = sorted(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise not_readable(self.folder, error) from error
        for place in places:
            if not OURS.fullmatch(place.name) or not place.is_dir():
                continue
            with contextlib.suppress(FileNotFoundError):  # another process evicts too
                size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
                yield place.stat().st_mtime, size, place

    def remove(self) -> None:
        """Remove the models, their locks, and the folder if it is then empty.

        Raises
        ------
        StoreError
            If any of it is left.
        """
        for place in [place for _, _, place in self.entries()]:
            try:
                shutil.rmtree(place)
            except OSError as error:
                raise not_writable(place, error) from error
        for lock in self.folder.glob("*.lock"):
            if OURS.fullmatch(lock.stem):
                with contextlib.suppress(OSError):
                    lock.unlink()
        with contextlib.suppress(OSError):  # not there, or not only ours
            self.folder.rmdir()

    def drop(self, key: str, why: str) -> None:
        """Remove a model with a warning, since it is made again in any case.

        Raises
        ------
        StoreError
            If it cannot be removed.
        """
        place = self.folder / key
        try:
            shutil.rmtree(place)  # first: the warning may be an error to this session
        except OSError as error:
            raise not_writable(place, error) from error
        warnings.warn(f"the model in {place} {why} and is made again", stacklevel=3)
