"""Pictures with a caption file beside each, as trainers of LoRA read them.

``1.png`` has ``1.txt`` or ``1.caption``. Folders below are read too, so kohya's ``10_name``
folders are: the number says how often a sample is trained on, which makes it no other sample.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from privaudit.errors import SampleError
from privaudit.samples.sources.files import picture_suffixes, read_file, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.samples.sample import Sample
    from privaudit.samples.sources.columns import Keep

__all__ = ["SUFFIXES", "has_caption_files", "read_caption_files"]

SUFFIXES = (".txt", ".caption")
"""Of caption files, the one that is taken first."""
END_OF_LINE = re.compile("[\r\n]")
LONGEST = 2**24
"""Bytes of a caption file that are read."""
NAMED = 3
"""Files that a message names."""


def has_caption_files(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Tell whether any picture in a folder, or below it, has a caption file."""
    return any(caption for _, names in _walk(root) for _, caption in _pairs(names, suffixes))


def read_caption_files(
    root: Path,
    keep: Keep,
    *,
    suffixes: tuple[str, ...] = SUFFIXES,
    otherwise: str | None = None,
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

    Raises
    ------
    SampleError
        If a picture has no caption file, a caption file has no picture, or one cannot be read.
    """
    files = dict(_walk(root))
    pairs = sorted(
        (folder + picture, caption and folder + caption)
        for folder, names in files.items()
        for picture, caption in _pairs(names, suffixes)
    )
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
    lost = _captions_without_a_picture(files, suffixes)
    if lost:
        msg = (
            f"{len(lost)} caption files in {root} have no picture, such as "
            f"{', '.join(lost[:NAMED])}: add the picture, or remove the caption"
        )
        raise SampleError(msg)
    return [
        sample_of(
            root,
            picture,
            _text(f"{root}/{caption}") if caption else str(otherwise),
            f"{root}/{caption or picture}",
        )
        for picture, caption in keep(pairs)
    ]


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


def _pairs(names: list[str], suffixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield each picture of a folder with its caption file, or with an empty name."""
    there, endings = set(names), picture_suffixes()
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() in endings:
            texts = (stem + suffix for suffix in suffixes if stem + suffix in there)
            yield name, next(texts, "")


def _captions_without_a_picture(
    files: dict[str, list[str]], suffixes: tuple[str, ...]
) -> list[str]:
    """Name them, but not in a folder that has no picture at all: it may hold notes."""
    lost, endings = [], picture_suffixes()
    for folder, names in files.items():
        split = [os.path.splitext(name) for name in names]
        stems = {stem for stem, ending in split if ending.lower() in endings}
        if stems:
            lost += [
                folder + stem + ending
                for stem, ending in split
                if ending in suffixes and stem not in stems
            ]
    return sorted(lost)


def _text(path: str) -> str:
    """Return a caption as kohya's trainer reads it: the first line, without the space around."""
    try:
        text = read_file(path, LONGEST)[1].decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 at byte {error.start + 1}: save it as UTF-8"
        raise SampleError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error}): check its permissions"
        raise SampleError(msg) from error
    return END_OF_LINE.split(text, maxsplit=1)[0].strip()
