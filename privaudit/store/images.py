"""Images by key, one lossless file each, checked against their own checksum when read."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from privaudit.errors import StoreError
from privaudit.fingerprint import fingerprint_pixels
from privaudit.store.faults import not_readable, not_writable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageFolder", "as_file"]

CHECKSUM = "privaudit-pixels"
"""Name of the PNG text field that holds the hash of the pixels."""
OURS = re.compile(r"[0-9a-f]{2}/([0-9a-f]{32}\.png|[^/]+\.draft)")
"""What the folder keeps. A store may be put where a folder ``images`` is somebody's data set."""


def as_file(image: Image.Image) -> bytes:
    """Return an image as :class:`ImageFolder` keeps it: a PNG that states its own checksum.

    Of all that keeping an image takes, this is the work, and needs no folder.
    """
    info = PngInfo()
    info.add_text(CHECKSUM, fingerprint_pixels(image))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, pnginfo=info)
    return file.getvalue()


class ImageFolder:
    """PNG files, written under a temporary name and renamed: a reader sees a whole one or none.

    Parameters
    ----------
    folder
        Shared by processes, and, on a shared filesystem, by machines and their users.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Image.Image | None:
        """Return an image, or ``None`` if there is none or it is damaged.

        Raises
        ------
        StoreError
            If it is there and cannot be read.
        """
        path = self._path(key)
        try:
            file = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise not_readable(path, error) from error
        try:
            image = _checked(file)
        except (
            MemoryError,
            Warning,
        ):  # what a session turns into an error says nothing of the file
            raise
        except Exception as error:  # Pillow has a dozen types for bytes that are no picture
            self._drop(path, error)
            return None
        # What was used last is evicted last. Who may only read a store need not note it.
        with contextlib.suppress(OSError):
            os.utime(path)
        return image

    def has(self, key: str) -> bool:
        """Tell whether there is an image, without reading it.

        Raises
        ------
        StoreError
            If its folder cannot be read.
        """
        path = self._path(key)
        try:
            return path.exists()
        except OSError as error:
            raise not_readable(path, error) from error

    def put(self, key: str, file: bytes) -> None:
        """Keep what :func:`as_file` made of an image.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        path = self._path(key)
        draft = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".draft", delete=False) as f:
                draft = Path(f.name)
                f.write(file)
            draft.replace(path)
        except OSError as error:
            if draft is not None:
                with contextlib.suppress(OSError):
                    draft.unlink()
            raise not_writable(path, error) from error

    def files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was last used (seconds), its bytes and its path.

        Raises
        ------
        StoreError
            If the folder, or one in it, cannot be listed.
        """
        for path in self._listed(self.folder):
            for file in self._listed(path):
                if not OURS.fullmatch(file.relative_to(self.folder).as_posix()):
                    continue
                with contextlib.suppress(FileNotFoundError):  # another process evicts too
                    state = file.stat()
                    yield state.st_mtime, state.st_size, file

    def remove(self) -> None:
        """Remove the images and the folders that are then empty; where a link leads, there.

        Raises
        ------
        StoreError
            If any of them is left.
        """
        left = {}
        for _, _, file in list(self.files()):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                left[file] = error
        for file, why in left.items():
            msg = f"{len(left)} images are left in {self.folder}: {not_writable(file, why)}"
            raise StoreError(msg) from why
        for folder in (*self._listed(self.folder), self.folder):
            # What is not ours keeps its folder, and a link is how somebody set up his disks.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise not_readable(folder, error) from error

    def _drop(self, path: Path, why: Exception) -> None:
        """Remove a damaged file, which is made again in any case."""
        end = "is made again"
        try:
            path.unlink(missing_ok=True)  # first: the warning may be an error to this session
        except OSError as error:
            end = f"cannot be removed ({error}); it {end}"
        warnings.warn(f"{path} is damaged ({why}) and {end}", stacklevel=3)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.png"


def _checked(file: bytes) -> Image.Image:
    """Decode an image.

    Raises
    ------
    Exception
        If it is not the one that was kept.
    """
    with Image.open(io.BytesIO(file)) as opened:
        opened.load()
        stated = opened.info.get(CHECKSUM)
        image = opened.copy()
    image.info = {}
    if stated != fingerprint_pixels(image):
        msg = "its pixels do not have the checksum it states"
        raise ValueError(msg)
    return image
