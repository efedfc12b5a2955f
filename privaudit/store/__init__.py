"""What was already generated and computed, under the hash of everything that determined it."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import StoreError
from privaudit.store.claims import Claims
from privaudit.store.faults import ELSEWHERE
from privaudit.store.images import ImageFolder, as_file
from privaudit.store.models import ModelFolder
from privaudit.store.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Store", "as_file", "default_folder"]

CHECK_EVERY = 0.1
"""Share of the limit that a process may write before it looks at the whole folder again."""


def default_folder() -> Path:
    """Return the per-user store, ``privaudit`` in the system's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("privaudit", appauthor=False)


class Store:
    """What this process, and processes before and beside it, need not do again.

    Images may be near-copies of private training images, so the folder is readable by its owner
    only. A reader, another process included, sees a whole entry or none; a damaged one is
    noticed by its checksum, dropped with a warning, and made again.

    Parameters
    ----------
    folder
        Where to keep entries; ``None`` keeps values for the life of this object, and no images.
    limit
        Bytes that the folder may take, ``None`` for no limit. When there are more, images go
        first, the longest unused before others: the values computed from them stay useful. Shadow
        models go when no image is left.

    Attributes
    ----------
    models
        Where shadow models are kept, ``None`` without a folder.

    Raises
    ------
    StoreError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path | None, limit: int | None = None) -> None:
        self.folder = folder
        self.limit = limit
        self._own: dict[str, bytes] = {}
        """Values that mean nothing to another process, or have no folder to go to."""
        self._written = 0
        self.models: ModelFolder | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"store {folder} cannot be made ({error}): {ELSEWHERE}"
            raise StoreError(msg) from error
        self._images = ImageFolder(folder / "images")
        self._table = Table(folder / "values.sqlite")
        self._claims = Claims(folder / "claims")
        self.models = ModelFolder(folder / "models")

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

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Return the keys without a value, in their order."""
        left = [key for key in keys if key not in self._own]
        found = self._table.has(left) if self.folder is not None and left else set()
        return [key for key in left if key not in found]

    def texts(self, keys: Sequence[str]) -> dict[str, str]:
        """Return those texts that are there, by key."""
        return {key: raw.decode() for key, raw in self._get(keys).items()}

    def put_texts(self, texts: Mapping[str, str], *, persistent: bool = True) -> None:
        """Keep texts, for this process or beyond it."""
        self._put({key: text.encode() for key, text in texts.items()}, persistent=persistent)

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
    def claim(
        self, wanted: Sequence[str], n: int, absent: Callable[[Sequence[str]], Sequence[str]]
    ) -> Iterator[list[str]]:
        """Claim up to n of the wanted keys, so that no other process does their work.

        See :meth:`privaudit.store.claims.Claims.take`; without a folder there are no others.
        """
        if self.folder is None:
            yield list(wanted[:n])  # nobody else can have done them
            return
        with self._claims.take(wanted, n, absent) as taken:
            yield taken

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
        self._claims.remove()
        self._own.clear()

    def close(self) -> None:
        """Let go of the file of values; it is opened again when it is needed."""
        if self.folder is not None:
            self._table.close()

    def _grown(self, n_bytes: int) -> None:
        self._written += n_bytes
        if self.limit is not None and self._written > CHECK_EVERY * self.limit:
            self.evict()
