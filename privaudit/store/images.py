"""Images by key, one lossless file each, with a keyed seal that is checked before it is decoded."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from privaudit.errors import StoreError
from privaudit.files import read_bytes
from privaudit.store import seals
from privaudit.store.faults import is_absent, not_readable, not_writable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageFolder", "as_file"]

LARGEST = 2**29
"""Bytes of the largest file that is taken for an image: over 10,000 × 10,000 pixels of noise."""
OURS = re.compile(r"[0-9a-f]{2}/([0-9a-f]{32}\.png|[^/]+\.draft)")
"""What the folder keeps. A store may be put where a folder ``images`` is somebody's data set."""


def as_file(image: Image.Image) -> bytes:
    """Return an image as :class:`ImageFolder` keeps it: a PNG file.

    Of all that keeping an image takes, this is the work, and needs no folder.
    """
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


class ImageFolder:
    """PNG files, written under a temporary name and renamed: a reader sees a whole one or none.

    Behind the PNG's end each file has a seal of its key and bytes, which viewers do not mind.

    Parameters
    ----------
    folder
        Shared by processes, and, on a shared filesystem, by machines and their users.
    seal
        Makes and checks the seals.
    mode
        Permissions of folders.
    """

    def __init__(self, folder: Path, seal: seals.Seal, mode: int = 0o700) -> None:
        self.folder = folder
        self._seal, self._mode = seal, mode

    def get(self, key: str) -> Image.Image | None:
        """Return an image, or ``None`` if there is none or it is damaged.

        Raises
        ------
        StoreError
            If it is there and cannot be read.
        """
        path = self._path(key)
        try:
            if not stat.S_ISREG(path.lstat().st_mode):  # a link, a FIFO, a folder
                self._drop(path, "not a regular file")
                return None
            file = read_bytes(path, LARGEST, follow=False)[1]
        except OSError as error:
            if is_absent(error):
                return None
            raise not_readable(path, error) from error
        picture = file[: -seals.SIZE]
        if not self._seal.fits(key, picture, file[-seals.SIZE :]):
            self._drop(path, "its seal does not fit: damaged, another entry's, or of another key")
            return None
        with Image.open(io.BytesIO(picture), formats=["PNG"]) as opened:
            image = opened.copy()
        image.info = {}
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
            return stat.S_ISREG(path.lstat().st_mode)
        except OSError as error:
            if is_absent(error):
                return False
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
            for folder in (self.folder, path.parent):
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    folder.chmod(self._mode)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".draft", delete=False) as f:
                draft = Path(f.name)
                f.write(file + self._seal(key, file))
            draft.chmod(self._mode & 0o666)
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
                    state = file.lstat()
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
            # What is not ours keeps its folder, and a link is how somebody set up their disks.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            if is_absent(error):
                return []
            raise not_readable(folder, error) from error

    def _drop(self, path: Path, why: str) -> None:
        """Remove a damaged entry, which is made again in any case."""
        end = "is made again"
        try:  # first: the warning may be an error to this session
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            end = f"cannot be removed ({error}); it {end}"
        # Without the name of the file: of thousands, pytest shows one line.
        warnings.warn(f"an image in {self.folder} is damaged ({why}) and {end}", stacklevel=3)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.png"
