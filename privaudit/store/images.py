"""Images by key, one lossless file each, checked against their own checksum when read."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from privaudit.errors import StoreError
from privaudit.fingerprint import fingerprint_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageFolder", "as_file"]

CHECKSUM = "privaudit-pixels"
"""Name of the PNG text field that holds the hash of the pixels."""


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
        Shared by processes, and, on a shared filesystem, by machines.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Image.Image | None:
        """Return an image, or ``None`` if there is none or it is damaged."""
        path = self._path(key)
        try:
            with Image.open(path) as opened:
                opened.load()
                stated = opened.info.get(CHECKSUM)
                image = opened.copy()
            image.info = {}
            if stated != fingerprint_pixels(image):
                msg = "its pixels do not have the checksum it states"
                raise ValueError(msg)
            os.utime(path)  # what was used last is evicted last
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            path.unlink(missing_ok=True)  # first: the warning may be an error to this session
            warnings.warn(f"{path} is damaged ({error}) and is made again", stacklevel=2)
            return None
        return image

    def has(self, key: str) -> bool:
        """Tell whether there is an image, without reading it."""
        return self._path(key).exists()

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
                draft.unlink(missing_ok=True)
            msg = f"{path} cannot be written ({error}): free space, or name another store"
            raise StoreError(msg) from error

    def files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was last used (seconds), its bytes and its path."""
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process evicts too
                state = path.stat()
                yield state.st_mtime, state.st_size, path

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.png"
