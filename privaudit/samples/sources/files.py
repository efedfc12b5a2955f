"""Files of a data set: pictures, opened when they are looked at, and texts.

A folder's own files are read, and links inside it. A link that leads out of it is refused for a
text, which may be sent to a service, and named for a picture.
"""

from __future__ import annotations

import errno
import os
import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from privaudit.errors import SampleError
from privaudit.files import decode_text, read_bytes
from privaudit.samples.pictures import MAX_PICTURE_BYTES, open_picture, picture_suffixes
from privaudit.samples.sample import Sample
from privaudit.samples.sources.columns import check_caption

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Content", "Folder", "PictureFile", "hash_content", "inside", "is_picture"]

READ = 2**16
"""Bytes of a file that its id depends on, beside its size: a hundred thousand photographs are
known in seconds. The pixels have a hash of their own, over all of them."""
MAX_CAPTION = 2**20
"""Bytes that a caption file may have."""


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

    def __call__(self) -> Image.Image:
        """Open and decode it."""
        return open_picture(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            return Content, (read_bytes(self.path, MAX_PICTURE_BYTES)[1], self.where)
        except OSError as error:
            msg = f"{self.where} cannot be read ({error}): replace it or remove the line"
            raise SampleError(msg) from error


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
        """Open and decode it."""
        return open_picture(self.content)


def hash_content(size: int, beginning: bytes) -> str:
    """Return eight digits of a hash of a file's size and beginning."""
    digest = xxhash.xxh3_128(b"%d " % size)
    digest.update(beginning)
    return digest.hexdigest()[:8]


class Folder:
    """A folder of a data set, and what was noticed while its files were read.

    Parameters
    ----------
    root
        The folder that names are relative to.

    Attributes
    ----------
    links
        Pictures that are links out of the folder, each with where it leads.
    several_lines
        How many caption files have more lines than the one that is the caption.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = str(root)
        self.links: list[tuple[str, str]] = []
        self.several_lines = 0
        self._name = os.path.basename(os.path.abspath(root))
        real = os.path.realpath(root)
        self._bounds = [real]
        # The hub's cache is made of links, from a snapshot to the blobs of the same repository.
        before, snapshots, _ = real.partition(f"{os.sep}snapshots{os.sep}")
        if snapshots and os.path.isdir(f"{before}{os.sep}blobs"):
            self._bounds.append(f"{before}{os.sep}blobs")
        self._checked: dict[str, bool] = {"": True}
        self._names: dict[str, dict[str, str]] = {}

    def sample_of(self, name: str, caption: str, where: str, id: str | None = None) -> Sample:  # noqa: A002
        """Make the sample of a picture in this folder.

        Parameters
        ----------
        name
            Of the file, relative to this folder.
        caption
            Its caption.
        where
            Who names the file, for messages.
        id
            The user's own id; by default ``FOLDER/NAME#HASH``, which stays as it is when the data
            set moves, or gains and loses other samples.

        Raises
        ------
        SampleError
            If the file is outside of the folder, missing, or cannot be read, or no training saw
            the caption as it stands.
        """
        check_caption(where, caption)
        path = inside(self.root, name, where)
        if "\0" in name:  # os.path.realpath knows no such name
            raise self._unreadable(path, where, FileNotFoundError())
        try:
            try:
                size, beginning = self._read(name, READ)
            except FileNotFoundError:
                name = self._same_name(name)
                path = f"{self.root}/{name}"
                size, beginning = self._read(name, READ)
        except LinkError as link:
            self.links.append((name, link.target))
            where = f"{where}, a link to {link.target}"
            try:
                size, beginning = read_bytes(path, READ)
            except OSError as error:
                raise self._unreadable(path, where, error) from error
        except OSError as error:
            raise self._unreadable(path, where, error) from error
        if id is None:
            stable = unicodedata.normalize("NFC", name)
            id = f"{self._name}/{stable}#{hash_content(size, beginning)}"  # noqa: A001
        return Sample(PictureFile(path, where), caption, id=id)

    def text_of(self, name: str) -> str:
        """Return a caption file's text, without the space around it.

        Raises
        ------
        SampleError
            If it is missing, no UTF-8, no caption's size, or a link that leads out of the folder.
        """
        path = f"{self.root}/{name}"
        try:
            size, content = self._read(name, MAX_CAPTION)
        except LinkError as link:
            msg = (
                f"{path} is a link to {link.target}, which is outside of the data set, and a "
                "caption may be sent to a service: put the text itself there"
            )
            raise SampleError(msg) from None
        except OSError as error:
            msg = f"{path} cannot be read ({error.strerror or error}): check what is there"
            raise SampleError(msg) from error
        if size > MAX_CAPTION:
            msg = (
                f"{path} has {size:,} bytes, and a caption file at most {MAX_CAPTION:,}: is it a "
                "caption? Take it out"
            )
            raise SampleError(msg)
        return decode_text(content, path, SampleError).strip()

    def check_table(self, name: str) -> Path:
        """Return the path of a table of this folder, unless it is a link that leads out of it.

        Raises
        ------
        SampleError
            If it is.
        """
        try:
            self._read(name, 0)
        except LinkError as link:
            msg = (
                f"{self.root}/{name} is a link to {link.target}, which is outside of the data set: "
                f"put the table itself there, or name it, load_samples({link.target!r})"
            )
            raise SampleError(msg) from None
        except OSError as error:
            msg = f"{self.root}/{name} cannot be read ({error.strerror or error}): check it"
            raise SampleError(msg) from error
        return Path(self.root, name)

    def warn(self) -> None:
        """Warn of what was noticed."""
        if self.several_lines:
            warnings.warn(
                f"{self.several_lines} caption files in {self.root} have several lines, and the "
                "first one is the caption, as kohya's trainer reads them. If yours read all of "
                "them, write them into metadata.jsonl",
                stacklevel=2,
            )
        if self.links:
            name, target = self.links[0]
            warnings.warn(
                f"{len(self.links)} pictures in {self.root} are links that lead out of it, such as "
                f"{name} to {target}: check that these are the pictures that are meant",
                stacklevel=2,
            )

    def _read(self, name: str, most: int) -> tuple[int, bytes]:
        """Read a file; raise LinkError, an OSError, if it is a link that leads out."""
        path = f"{self.root}/{name}"
        folder = name.rpartition("/")[0]
        if folder not in self._checked:
            real = os.path.realpath(f"{self.root}/{folder}")
            self._checked[folder] = self._holds(real)
        try:
            content = read_bytes(path, most, follow=False)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            real = os.path.realpath(path)
            if not self._holds(real):
                raise LinkError(real) from None
            content = read_bytes(path, most)
        if not self._checked[folder]:
            raise LinkError(os.path.realpath(path))
        return content

    def _holds(self, real: str) -> bool:
        return any(real == one or real.startswith(one + os.sep) for one in self._bounds)

    def _same_name(self, name: str) -> str:
        """Return the file whose name is the same but for how its accents are encoded.

        macOS takes accents apart (NFD), other systems and tables mostly do not (NFC).
        """
        folder, _, last = name.rpartition("/")
        if name.isascii():
            return name
        if folder not in self._names:
            try:
                there = os.listdir(f"{self.root}/{folder}")
            except (OSError, ValueError):
                there = []
            self._names[folder] = {unicodedata.normalize("NFC", one): one for one in there}
        same = self._names[folder].get(unicodedata.normalize("NFC", last), last)
        return f"{folder}/{same}" if folder else same

    @staticmethod
    def _unreadable(path: str, where: str, error: OSError) -> SampleError:
        if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            msg = f"{path} (named by {where}) does not exist: add the file or remove the line"
        else:
            msg = (
                f"{path} (named by {where}) cannot be read ({error.strerror or error}): "
                "replace it or remove the line"
            )
        return SampleError(msg)


class LinkError(OSError):
    """A file is a link that leads out of its data set."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


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


def is_picture(name: str) -> bool:
    """Tell whether a file's name ends as those of pictures that are read."""
    return os.path.splitext(name)[1].lower() in picture_suffixes()
