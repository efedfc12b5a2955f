"""Generated images and their similarities, kept between runs under the hash of their causes."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["Store", "default_folder"]


def default_folder() -> Path:
    """Return the per-user store, ``privaudit`` in the system's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("privaudit", appauthor=False)


class Store:
    """What was already generated, on disk and in this process.

    Images may be near-copies of private training images, so the folder is readable by its owner
    only. Entries are written to a temporary file and renamed: a reader, another process
    included, sees a whole entry or none.

    Parameters
    ----------
    folder
        Where to keep entries; ``None`` keeps similarities for this process only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._similarities: dict[str, NDArray[np.float32]] = {}
        self.captions: dict[tuple[int, str], str] = {}
        """Captions written in this process, by ``id`` of the captioner and digest of the image."""
        self.memo: dict[str, Any] = {}
        """What this process computed from stored values, by the hash of its causes."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def image(self, key: str) -> Image.Image | None:
        """Return a stored image, or ``None`` if there is none or it is damaged."""
        image: Image.Image | None = self._read("images", key, ".png", _read_png)
        return image

    def put_image(self, key: str, image: Image.Image) -> None:
        """Keep an image, losslessly."""
        self._write("images", key, ".png", lambda file: image.save(file, "PNG", compress_level=1))

    def similarity(self, key: str, *, persistent: bool) -> NDArray[np.float32] | None:
        """Return stored similarities, or ``None``."""
        if key not in self._similarities and persistent:
            found = self._read("similarities", key, ".npy", _read_npy)
            if found is not None:
                self._similarities[key] = found
        return self._similarities.get(key)

    def put_similarity(self, key: str, values: NDArray[np.float32], *, persistent: bool) -> None:
        """Keep similarities, for this process or beyond it."""
        self._similarities[key] = values
        if persistent:
            self._write("similarities", key, ".npy", lambda file: np.save(file, values))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep other processes from generating for the same model at the same time."""
        if self._folder is None:
            yield
            return
        locks = self._folder / "locks"
        locks.mkdir(exist_ok=True, mode=0o700)
        with FileLock(locks / f"{name}.lock"):
            yield

    def _path(self, kind: str, key: str, suffix: str) -> Path | None:
        return self._folder and self._folder / kind / key[:2] / f"{key}{suffix}"

    def _read(self, kind: str, key: str, suffix: str, read: Callable[[Path], Any]) -> Any:
        path = self._path(kind, key, suffix)
        if path is None:
            return None
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            path.unlink(missing_ok=True)  # first: the warning may be an error to this session
            warnings.warn(f"{path} is damaged ({error}) and is made again", stacklevel=2)
            return None

    def _write(self, kind: str, key: str, suffix: str, write: Callable[[Any], object]) -> None:
        path = self._path(kind, key, suffix)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            write(file)
        Path(file.name).replace(path)


def _read_png(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def _read_npy(path: Path) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return values
