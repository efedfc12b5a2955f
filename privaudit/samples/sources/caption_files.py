"""Pictures with a caption file beside each, as trainers of LoRA read them.

``1.png`` has ``1.txt`` or ``1.caption``. Folders below are read too, so kohya's ``10_name``
folders are: the number says how often a sample is trained on, which makes it no other sample.
"""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING, NamedTuple

from privaudit.errors import SampleError
from privaudit.samples.sources.files import picture_suffixes, read_file, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.samples.sample import Sample
    from privaudit.samples.sources.columns import Keep

__all__ = ["SUFFIXES", "Listing", "read_caption_files"]

SUFFIXES = (".txt", ".caption")
"""Of caption files, the one that is taken first."""
LONGEST = 2**24
"""Bytes of a caption file that are read."""
NAMED = 3
"""Files that a message names."""


class Listing(NamedTuple):
    """The pictures and caption files of a folder, and of those below it.

    Attributes
    ----------
    pairs
        Each picture with its caption file, or an empty name, sorted.
    lost
        Caption files that belong to no picture, but not of a folder that has no picture at all: it
        may hold notes.
    """

    pairs: list[tuple[str, str]]
    lost: list[str]

    @classmethod
    def of(cls, root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Listing:
        """List a folder, in one pass.

        Raises
        ------
        SampleError
            If a folder cannot be listed.
        """
        found = cls([], [])
        for folder, names in _walk(root):
            pairs, lost = _paired(folder, names, suffixes)
            found.pairs.extend(pairs)
            found.lost.extend(lost)
        found.pairs.sort()
        found.lost.sort()
        return found

    @property
    def has_captions(self) -> bool:
        """Whether any picture has a caption file."""
        return any(caption for _, caption in self.pairs)


def read_caption_files(
    root: Path,
    keep: Keep,
    *,
    suffixes: tuple[str, ...] = SUFFIXES,
    otherwise: str | None = None,
    listing: Listing | None = None,
) -> list[Sample]:
    """Read the pictures of a folder, and of those below it, sorted by name.

    Parameters
    ----------
    root
        The folder.
    keep
        Chooses among the pictures.
    suffixes
        Of caption files.
    otherwise
        The caption of a picture that has no caption file; ``None`` makes that an error.
    listing
        What is in the folder, of one that has been listed.

    Raises
    ------
    SampleError
        If a picture has no caption file, a caption file has no picture, or one cannot be read.
    """
    pairs, lost = Listing.of(root, suffixes) if listing is None else listing
    if not pairs:
        msg = f"{root} holds no picture: check the folder"
        raise SampleError(msg)
    alone = [picture for picture, caption in pairs if not caption]
    if alone and otherwise is None:
        msg = (
            f"{len(alone)} of {len(pairs)} pictures in {root} have no caption file "
            f"({', '.join(suffixes)}), such as {', '.join(alone[:NAMED])}: write one beside each, "
            "or take the pictures out"
        )
        raise SampleError(msg)
    if lost:
        msg = (
            f"{len(lost)} caption files in {root} have no picture, such as "
            f"{', '.join(lost[:NAMED])}: add the picture, or remove the caption"
        )
        raise SampleError(msg)
    samples, base = [], str(root)
    for picture, caption in keep(pairs):
        where = f"{base}/{caption or picture}"
        text = _text(where) if caption else str(otherwise)
        samples.append(sample_of(base, picture, text, where))
    return samples


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those below it, each with the names of its files, but for hidden ones.

    A folder is the beginning of the paths in it, relative to the first one, such as ``10_cat/``.
    """

    def fail(error: OSError) -> None:
        msg = f"{error.filename} cannot be read ({error}): check its permissions"
        raise SampleError(msg)

    for folder, below, names in os.walk(root, onerror=fail):
        below[:] = sorted(name for name in below if not name.startswith("."))
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        start = "" if inner == "." else f"{inner}/"
        yield start, [name for name in names if not name.startswith(".")]


def _paired(
    folder: str, names: list[str], suffixes: tuple[str, ...]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return pairs and lost caption files of one folder, see :class:`Listing`."""
    there, endings = set(names), picture_suffixes()
    texts: list[tuple[str, str]] = []
    stems: set[str] = set()
    pairs: list[tuple[str, str]] = []
    for name in names:
        # As os.path.splitext, of a name that does not begin with a dot, in a tenth of the time.
        stem, dot, ending = name.rpartition(".")
        if dot + ending in suffixes:
            texts.append((stem, name))
        elif dot and dot + ending.lower() in endings:
            stems.add(stem)
            for suffix in suffixes:
                if stem + suffix in there:
                    pairs.append((folder + name, folder + stem + suffix))
                    break
            else:
                pairs.append((folder + name, ""))
    lost = [folder + name for stem, name in texts if stem not in stems] if pairs else []
    return pairs, lost


def _text(path: str) -> str:
    """Return a caption as kohya's trainer reads it: the first line, without the space around."""
    try:
        content = read_file(path, LONGEST)[1]
        # Not by the codec utf-8-sig, which is written in Python.
        text = content.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 at byte {error.start + 1}: save it as UTF-8"
        raise SampleError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error}): check its permissions"
        raise SampleError(msg) from error
    return text.partition("\n")[0].partition("\r")[0].strip()
