"""Pictures with a caption file beside each, as trainers of LoRA read them.

``1.png`` has ``1.txt`` or ``1.caption``. Folders below are read too, so kohya's ``10_name``
folders are: the number says how often a sample is trained on, which makes it no other sample.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.errors import SampleError
from privaudit.samples.pictures import PICTURE_FORMATS, picture_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.samples.sample import Sample
    from privaudit.samples.sources.columns import Keep
    from privaudit.samples.sources.files import Folder

__all__ = ["SUFFIXES", "Listing", "first_line_of", "read_caption_files"]

SUFFIXES = (".txt", ".caption")
"""Of caption files, the one that is taken first."""
UNREAD = frozenset(
    [
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".jpx",
        ".j2k",
        ".psd",
        ".svg",
        ".svgz",
        ".tga",
        ".ppm",
        ".pgm",
        ".pnm",
        ".ico",
        ".eps",
        ".pdf",
        ".pcx",
        ".dds",
        ".raw",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".exr",
        ".hdr",
        ".xcf",
    ]
)
"""Ends of the names of pictures that are not read."""
NAMED = 3
"""Files that a message names."""


@dataclass
class Listing:
    """The pictures and caption files of a folder, and of those below it.

    Attributes
    ----------
    pairs
        Each picture with its caption file, or an empty name, sorted.
    others
        By picture, a second caption file of it.
    lost
        Caption files that belong to no picture, but not of a folder that has no picture at all: it
        may hold notes.
    unread
        Pictures of formats that are not read, by the path without its ending.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        root: Path,
        suffixes: tuple[str, ...] = SUFFIXES,
        *,
        pictures: frozenset[str] | None = None,
        deep: bool = True,
    ) -> Listing:
        """List a folder, in one pass.

        Parameters
        ----------
        root
            The folder.
        suffixes
                Of caption files; in capitals too, where ``pictures`` is not set.
        pictures
            Ends of the names of pictures, in this spelling alone; by default of all that are read,
            in any.
        deep
            Whether folders below belong to it.

        Raises
        ------
        SampleError
            If a folder cannot be listed.
        """
        listing = cls()
        for folder, names in _walk(root, deep=deep):
            listing._add(folder, names, suffixes, pictures)
        listing.pairs.sort()
        listing.lost.sort()
        return listing

    @property
    def has_captions(self) -> bool:
        """Whether any picture has a caption file."""
        return any(caption for _, caption in self.pairs)

    def why_lost(self) -> str:
        """Say what is wrong with the first caption file that has no picture, and the way out.

        Returns
        -------
        str
            Empty if nothing is known of it.
        """
        for name in self.lost:
            stem = name.rpartition(".")[0]
            if stem in self.unread:
                formats = ", ".join(PICTURE_FORMATS)
                return (
                    f"{self.unread[stem]} is of a format that is not read ({formats} are): "
                    "convert it to PNG"
                )
            if any(stem == picture for picture, _ in self.pairs):
                right = os.path.splitext(stem)[0] + os.path.splitext(name)[1]
                return (
                    f"{name} is where no trainer looks for the caption of {stem}: name it {right}"
                )
        return ""

    def _add(
        self,
        folder: str,
        names: list[str],
        suffixes: tuple[str, ...],
        pictures: frozenset[str] | None,
    ) -> None:
        """Add the files of one folder; paths in it begin with ``folder``."""
        endings = picture_suffixes() if pictures is None else pictures
        captions = suffixes if pictures else (*suffixes, *(one.upper() for one in suffixes))
        there, stems = set(names), set()
        texts: list[tuple[str, str]] = []
        unread = False
        for name in names:
            # As os.path.splitext, of a name that does not begin with a dot, in a tenth of the time.
            stem, dot, ending = name.rpartition(".")
            ending = dot + ending
            low = ending.lower()
            if ending in captions:
                texts.append((stem, name))
            elif (ending if pictures else low) in endings:
                stems.add(stem)
                beside = [folder + stem + one for one in captions if stem + one in there]
                self.pairs.append((folder + name, beside[0] if beside else ""))
                if len(beside) > 1:
                    self.others[folder + name] = beside[1]
            elif low in UNREAD or low in picture_suffixes():
                self.unread[folder + stem] = folder + name
                unread = True
        if stems or unread:
            self.lost += [folder + name for stem, name in texts if stem not in stems]


def read_caption_files(
    folder: Folder,
    keep: Keep,
    listing: Listing,
    *,
    suffixes: tuple[str, ...] = SUFFIXES,
    otherwise: str | None = None,
) -> list[Sample]:
    """Read the pictures of a folder that has been listed, sorted by name.

    Parameters
    ----------
    folder
        The folder.
    keep
        Chooses among the pictures.
    listing
        What is in it.
    suffixes
        Of caption files.
    otherwise
        The caption of a picture that has no caption file; ``None`` makes that an error.

    Raises
    ------
    SampleError
        If a picture has no caption file or two that differ, a caption file has no picture, or one
        cannot be read.
    """
    pairs, root = listing.pairs, folder.root
    if not pairs:
        msg = f"{root} holds no picture: {listing.why_lost() or 'check the folder'}"
        raise SampleError(msg)
    alone = [picture for picture, caption in pairs if not caption]
    if listing.lost:
        msg = (
            f"{len(listing.lost)} caption files in {root} have no picture, such as "
            f"{', '.join(listing.lost[:NAMED])}: "
            f"{listing.why_lost() or 'add the picture, or remove the caption'}"
        )
        raise SampleError(msg)
    if alone and otherwise is None:
        msg = (
            f"{len(alone)} of {len(pairs)} pictures in {root} have no caption file "
            f"({', '.join(suffixes)}), such as {', '.join(alone[:NAMED])}: write one beside each, "
            "or take the pictures out"
        )
        raise SampleError(msg)
    samples = []
    for picture, name in keep(pairs):
        where = f"{root}/{name or picture}"
        caption = str(otherwise)
        if name:
            text = folder.text_of(name)
            caption = first_line_of(text)
            folder.several_lines += caption != text
            other = listing.others.get(picture)
            if other is not None and first_line_of(folder.text_of(other)) != caption:
                msg = (
                    f"{name} and {other} in {root} differ, and both are of {picture}: "
                    "remove the one that was not trained with"
                )
                raise SampleError(msg)
        samples.append(folder.sample_of(picture, caption, where))
    return samples


def first_line_of(text: str) -> str:
    """Return a caption as kohya's trainer reads it: the first line, without the space around."""
    return text.strip().partition("\n")[0].partition("\r")[0].strip()


def _walk(root: Path, *, deep: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those below it, each with the names of its files, but for hidden ones.

    A folder is the beginning of the paths in it, relative to the first one, such as ``10_cat/``.
    """

    def fail(error: OSError) -> None:
        msg = f"{error.filename} cannot be read ({error.strerror}): check what is there"
        raise SampleError(msg)

    for folder, below, names in os.walk(root, onerror=fail):
        below[:] = sorted(name for name in below if deep and not name.startswith("."))
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        start = "" if inner == "." else f"{inner}/"
        yield start, [name for name in names if not name.startswith(".")]
