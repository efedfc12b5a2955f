"""What was already generated and computed, under the hash of everything that determined it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import StoreError
from privaudit.fingerprint import fingerprint_text
from privaudit.store.faults import ELSEWHERE
from privaudit.store.images import ImageFolder, as_file
from privaudit.store.locks import Locks
from privaudit.store.models import ModelFolder
from privaudit.store.seals import Seal, load_key
from privaudit.store.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.settings import SessionSettings

__all__ = ["Store", "as_file", "default_folder", "make_store"]

CHECK_EVERY = 0.1
"""Share of the limit that a process may write before it looks at the whole folder again."""


def default_folder() -> Path:
    """Return the per-user store, ``privaudit`` in the system's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("privaudit", appauthor=False)


def make_store(settings: SessionSettings) -> Store:
    """Make the store that the settings name: by default the user's own, ``none`` for memory alone.

    Raises
    ------
    StoreError
        As of :class:`Store`.
    """
    folder = settings.store or default_folder()
    memory = str(folder) == "none"
    return Store(None if memory else folder, settings.store_limit, shared=settings.store_shared)


class Store:
    """What this process, and processes before and beside it, need not do again.

    Images may be near-copies of private training images, and stored scores decide verdicts. So
    the folder is its owner's alone, and every entry has a seal, a hash with a key of the user's
    own: an entry that is damaged, somebody else's or of another name is dropped and made again. A
    reader, another process included, sees a whole entry or none.

    Parameters
    ----------
    folder
        Where to keep entries; ``None`` keeps values for the life of this object, and no images.
    limit
        Bytes that the folder may take, ``None`` for no limit. When there are more, images go
        first, the longest unused before others: the values computed from them stay useful. Shadow
        models go when no image is left.
    shared
        Whether others may own the folder or write to it. Seals then have no key, unless all who
        share it set ``PRIVAUDIT_STORE_KEY``, and whoever may write there decides verdicts. New
        files get the permissions of the folder.

    Attributes
    ----------
    models
        Where shadow models are kept, ``None`` without a folder.
    say
        Called with a line of text while another process is waited for.

    Raises
    ------
    StoreError
        If the folder cannot be made, or others may write to it and it is not shared.
    """

    def __init__(
        self, folder: Path | None, limit: int | None = None, *, shared: bool = False
    ) -> None:
        # Absolute from the start: a model may change the working folder.
        self.folder = None if folder is None else folder.absolute()
        self.limit = limit
        self.say: Callable[[str], None] = _to_stderr
        self._own: dict[str, bytes] = {}
        """Values that mean nothing to another process, or have no folder to go to."""
        self._written = 0
        self.models: ModelFolder | None = None
        if self.folder is None:
            return
        mode = _prepare(self.folder, shared=shared)
        seal = Seal(load_key(shared=shared))
        self._images = ImageFolder(self.folder / "images", seal, mode)
        self._table = Table(self.folder / "values.sqlite", seal, mode & 0o666)
        self._locks = Locks(self.folder / "locks", mode)
        self.models = ModelFolder(self.folder / "models", seal)

    # -- images

    def image(self, key: str) -> Image.Image | None:
        """Return a stored image, or ``None`` if there is none or it is damaged."""
        return None if self.folder is None else self._images.get(key)

    def has_image(self, key: str) -> bool:
        """Tell whether an image is stored, without reading it."""
        return self.folder is not None and self._images.has(key)

    def put_image(self, key: str, file: bytes) -> None:
        """Keep an image, losslessly, as :func:`privaudit.store.images.as_file` made it."""
        if self.folder is not None:
            self._images.put(key, file)
            self._grown(len(file))

    # -- values

    def arrays(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return those float32 vectors that are there, by key."""
        return {key: np.frombuffer(raw, np.float32) for key, raw in self._get(keys).items()}

    def put_arrays(
        self, arrays: Mapping[str, NDArray[np.float32]], *, persistent: bool = True
    ) -> None:
        """Keep float32 vectors, for this process or beyond it."""
        self._put({key: value.tobytes() for key, value in arrays.items()}, persistent=persistent)

    def complete_arrays(
        self,
        keys: Sequence[str],
        make: Callable[[list[str]], Iterable[Mapping[str, NDArray[np.float32]]]],
        *,
        persistent: bool = True,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the float32 vectors of all keys, and make and keep those that are not there.

        Parameters
        ----------
        keys
            Their names.
        make
            Called with the keys that are absent, if any; yields their vectors, in parts that are
            kept as they come.
        persistent
            Whether they mean the same to another process.
        """
        vectors = self.arrays(keys)
        absent = [key for key in dict.fromkeys(keys) if key not in vectors]
        for part in make(absent) if absent else ():
            self.put_arrays(part, persistent=persistent)
            vectors |= part
        return vectors

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Return the keys without a whole value, in their order."""
        there = self._get(keys)
        return [key for key in keys if key not in there]

    def texts(self, keys: Sequence[str]) -> dict[str, str]:
        """Return those texts that are there, by key."""
        return {key: raw.decode("utf-8", "surrogatepass") for key, raw in self._get(keys).items()}

    def put_texts(self, texts: Mapping[str, str], *, persistent: bool = True) -> None:
        """Keep texts, for this process or beyond it."""
        raw = {key: text.encode("utf-8", "surrogatepass") for key, text in texts.items()}
        self._put(raw, persistent=persistent)

    def complete_texts(
        self,
        keys: Sequence[str],
        make: Callable[[list[str]], Iterable[Mapping[str, str]]],
        *,
        persistent: bool = True,
    ) -> dict[str, str]:
        """Return the texts of all keys as :meth:`complete_arrays` returns vectors."""
        texts = self.texts(keys)
        absent = [key for key in dict.fromkeys(keys) if key not in texts]
        for part in make(absent) if absent else ():
            self.put_texts(part, persistent=persistent)
            texts |= part
        return texts

    def remembered(self, key: str, make: Callable[[], Any], *, persistent: bool = True) -> Any:
        """Return a plain JSON value, made now if it is not stored."""
        found = self.texts([key])
        if key in found:
            return json.loads(found[key])
        value = make()
        self.put_texts({key: json.dumps(value)}, persistent=persistent)
        return value

    def _get(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {key: self._own[key] for key in keys if key in self._own}
        left = [key for key in keys if key not in found]
        if self.folder is not None and left:
            found |= self._table.get(left)
        return found

    def _put(self, contents: dict[str, bytes], *, persistent: bool) -> None:
        if self.folder is None or not persistent:
            self._own |= contents
        elif contents:
            self._table.put(contents)
            self._grown(sum(map(len, contents.values())))

    # -- many processes

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keep other processes from asking the same target meanwhile.

        While another one does, :attr:`say` is called each half minute.

        Parameters
        ----------
        name
            The target's fingerprint, or another name of the work.
        """
        if self.folder is None:
            yield  # there are no others
            return
        with self._locks.hold(fingerprint_text(name), self.say):
            yield

    # -- size

    def usage(self) -> dict[str, tuple[int, int]]:
        """Return number and bytes of the stored images, values and models."""
        if self.models is None:
            return dict.fromkeys(("images", "values", "models"), (0, 0))
        images, models = (
            [size for _, size, _ in kept] for kept in (self._images.files(), self.models.entries())
        )
        return {
            "images": (len(images), sum(images)),
            "values": self._table.usage(),
            "models": (len(models), sum(models)),
        }

    def evict(self, *, values_too: bool = False) -> int:
        """Bring the folder under its limit, and return the number of images and models removed.

        Parameters
        ----------
        values_too
            Whether values may go as well, should they alone be over the limit, and models; not
            while anything still reads them.
        """
        if self.models is None or self.limit is None:
            return 0
        self._written = 0
        values = self._table.usage()[1]
        if values_too and values > self.limit:
            self._table.drop_oldest(1 - 0.9 * self.limit / values)
            values = self._table.usage()[1]
        models = sorted(self.models.entries())
        files = [*sorted(self._images.files()), *(models if values_too else [])]
        total = values + sum(size for _, size, _ in {*files, *models})
        removed = 0
        # A tenth below, so that the next image does not evict again.
        goal = 0.9 * self.limit if total > self.limit else total
        left = None
        for _, size, path in files:
            if total <= goal:
                break
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:  # a colleague's: the next may be ours
                left = left or error
            else:
                total -= size
                removed += 1
        if left is not None and total > self.limit:
            warnings.warn(
                f"{self.folder} holds {total / 1e6:,.1f} MB, over its limit of "
                f"{self.limit / 1e6:,.1f} MB, and files cannot be removed ({left}): make it "
                f"writable to you, or {ELSEWHERE}",
                stacklevel=2,
            )
        return removed

    def clear(self) -> None:
        """Remove everything that a store keeps, and nothing else that is in its folder.

        Raises
        ------
        StoreError
            If anything of it is left.
        """
        if self.models is None:
            return
        self._images.remove()
        self.models.remove()
        self._table.remove()
        self._locks.remove()
        self._own.clear()

    def close(self) -> None:
        """Let go of the file of values; it is opened again when it is needed."""
        if self.folder is not None:
            self._table.close()

    def _grown(self, n_bytes: int) -> None:
        self._written += n_bytes
        if self.limit is not None and self._written > CHECK_EVERY * self.limit:
            self.evict()


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


FOLDERS = ("images", "locks", "models")
OURS = {
    *(*FOLDERS, "claims"),
    *("values.sqlite", "values.sqlite-journal", "values.sqlite-wal", "values.sqlite-shm"),
}
"""What a store has in its folder; ``claims`` is of an older privaudit."""


def _prepare(folder: Path, *, shared: bool) -> int:
    """Make a store's folder its owner's alone, and return the permissions of folders in it.

    Raises
    ------
    StoreError
        If it cannot be made, or is not the user's alone.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
        if shared:
            return stat.S_IMODE(state.st_mode)
        if not hasattr(os, "geteuid"):  # Windows: a user's folders are the user's
            return 0o700
        if state.st_uid != os.geteuid():
            what = f"belongs to another user (number {state.st_uid})"
            raise _not_alone(folder, what)
        if {path.name for path in folder.iterdir()} <= OURS:  # else others may need the rest
            for path in (folder, *(folder / name for name in FOLDERS)):
                if path.is_dir() and path.stat().st_mode & 0o077:
                    path.chmod(0o700)
            state = folder.stat()
        if state.st_mode & 0o022:
            raise _not_alone(
                folder, f"can be written to by others (mode {state.st_mode & 0o777:o})"
            )
    except OSError as error:
        msg = f"store {folder} cannot be made ({error}): {ELSEWHERE}"
        raise StoreError(msg) from error
    return 0o700


def _not_alone(folder: Path, what: str) -> StoreError:
    return StoreError(
        f"the store {folder} {what}, and who can write to it decides verdicts\n"
        f"{ELSEWHERE}, or, if all of them are trusted, pass --privaudit-store-shared"
    )
