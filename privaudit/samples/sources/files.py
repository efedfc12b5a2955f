"""Files of pictures: opened when they are looked at, and known by a part of their content."""

from __future__ import annotations

import functools
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash
from PIL import Image

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Content",
    "PictureFile",
    "inside",
    "is_picture",
    "picture_suffixes",
    "read_file",
    "sample_of",
]

READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
READ = 2**16
"""Bytes of a file that its id depends on, beside its size: a hundred thousand photographs are
known in seconds. The pixels have a hash of their own, over all of them."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Opens a file. Pickled, it becomes the file's bytes: a Ray worker may see no file of ours.

    Parameters
    ----------
    path
        The file.
    named_by
        Where it is named, for messages.
    """

    path: str
    named_by: str

    @property
    def where(self) -> str:
        """The file and who named it."""
        return f"{self.path} (named by {self.named_by})"

    def hash(self) -> str:
        """Return eight digits of a hash of size and beginning: files of one name have two.

        Raises
        ------
        SampleError
            If there is no such file, or it cannot be read.
        """
        try:
            size, beginning = read_file(self.path, READ)
            digest = xxhash.xxh3_128(b"%d " % size)
            digest.update(beginning)
            return digest.hexdigest()[:8]
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
            msg = f"{self.where} does not exist: add the file or remove the line"
            raise SampleError(msg) from None
        except OSError as error:
            raise self._unreadable(error) from error

    def __call__(self) -> Image.Image:
        """Open and decode it."""
        with Image.open(self.path) as image:
            image.load()
            return image

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            return Content, (read_file(self.path, sys.maxsize)[1], self.where)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> SampleError:
        return SampleError(f"{self.where} cannot be read ({error}): replace it or remove the line")


@dataclass(frozen=True)
class Content:
    """Opens the bytes of a file.

    Parameters
    ----------
    content
        All of the file.
    where
        Where it came from, for messages.
    """

    content: bytes
    where: str

    def __call__(self) -> Image.Image:
        """Open it; PIL decodes it when it is looked at."""
        return Image.open(io.BytesIO(self.content))


def sample_of(
    root: Path | str,
    name: str,
    caption: str,
    where: str,
    id: str | None = None,  # noqa: A002
) -> Sample:
    """Make the sample of a picture in a folder.

    Parameters
    ----------
    root
        The folder that names are relative to.
    name
        Of the file, relative to ``root``.
    caption
        Its caption.
    where
        Who names the file, for messages.
    id
        The user's own id; by default ``FOLDER/NAME#HASH``, which stays as it is when the data set
        moves, or gains and loses other samples.

    Raises
    ------
    SampleError
        If the file is outside of the folder, missing, or cannot be read.
    """
    file = PictureFile(inside(root, name, where), where)
    if id is None:
        id = f"{_name(root)}/{name}#{file.hash()}"  # noqa: A001
    return Sample(file, caption, id=id)


@functools.lru_cache(maxsize=8)
def _name(root: Path | str) -> str:
    return os.path.basename(os.path.abspath(root))


def inside(root: Path | str, name: str, where: str) -> str:
    """Return the path of a file that must be in a folder.

    Raises
    ------
    SampleError
        If its name leads out of it.
    """
    if os.pardir not in name and not os.path.isabs(name):
        return f"{root}/{name}"
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep, 1)[0] == os.pardir:
        msg = (
            f"{where} names {name!r}, which is outside of its folder: put the picture into the "
            "folder, and name it from there"
        )
        raise SampleError(msg)
    return f"{root}/{name}"


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the ends of the names of pictures, with their dots, in small letters."""
    return frozenset(Image.registered_extensions())


def is_picture(name: str) -> bool:
    """Tell whether a file's name ends as those of pictures do."""
    return os.path.splitext(name)[1].lower() in picture_suffixes()


def read_file(path: str | Path, most: int) -> tuple[int, bytes]:
    """Return a file's size and its beginning, by few calls of the system and none of ``io``.

    Opening a hundred thousand small files by ``open`` takes twice as long.

    Parameters
    ----------
    path
        The file.
    most
        Bytes to read at most.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    descriptor = os.open(path, READING)
    try:
        size = os.fstat(descriptor).st_size
        wanted = min(size, most)  # no more: os.read makes room for all that it is asked for
        content = os.read(descriptor, wanted)
        while len(content) < wanted and (more := os.read(descriptor, wanted - len(content))):
            content += more
        return size, content
    finally:
        os.close(descriptor)
