"""What kohya's trainer is told its data set by: a TOML file, and a JSON file of metadata.

Both are read as that trainer reads them: only the folder that a subset names, not those below it,
only pictures that it opens, and no subset that is repeated no times.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.files import read_json, read_toml
from privaudit.samples.sources.caption_files import SUFFIXES, Listing, read_caption_files
from privaudit.samples.sources.columns import describe, text_of
from privaudit.samples.sources.files import Folder, is_picture
from privaudit.samples.sources.unrecognised import why_not_metadata

if TYPE_CHECKING:
    from privaudit.samples.sample import Sample
    from privaudit.samples.sources.columns import Columns, Keep

__all__ = ["read_kohya", "read_kohya_metadata"]

PICTURES = frozenset(
    one for low in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif") for one in (low, low.upper())
)
"""Ends of the names of pictures that the trainer takes from a folder, in these spellings."""
CAPTIONS = ("caption", "text", "prompt", "tags")
"""Names of captions in the metadata, the first one that is there is taken."""
TYPES: dict[str, type] = {
    "image_dir": str,
    "metadata_file": str,
    "caption_extension": str,
    "class_tokens": str,
    "caption_prefix": str,
    "caption_suffix": str,
    "is_reg": bool,
    "enable_wildcard": bool,
    "num_repeats": int,
}
"""Of what is used, and of what type it is."""
NOUNS = {str: "a text in quotes", bool: "true or false", int: "a whole number"}


def read_kohya(file: Path, columns: Columns, keep: Keep) -> list[Sample]:
    """Read the samples of all subsets of a data set's TOML file.

    Of each subset these are used: ``image_dir``, ``metadata_file``, ``caption_extension``,
    ``class_tokens`` (the caption of a picture that has no caption file), ``caption_prefix``,
    ``caption_suffix``, ``num_repeats`` and ``is_reg``. What is set for a whole data set, or under
    ``general``, holds for its subsets. Folders are looked for beside the file, then where pytest
    runs. Repeats make no further samples; a subset of 0 repeats, a folder that was named before,
    and pictures for regularisation (``is_reg``) are no members: they are left out.

    Parameters
    ----------
    file
        The TOML file.
    columns, keep
        As for the other sources.

    Raises
    ------
    SampleError
        If the file is not as described, a picture or caption is missing, or ``enable_wildcard``
        is set: then the trainer draws another caption each time.
    """
    content = read_toml(file, SampleError)
    general = _table(file, "general", content.get("general", {}))
    samples: list[Sample] = []
    seen: set[tuple[str, str | None]] = set()
    for i, data_set in enumerate(_tables(file, "datasets", content.get("datasets", []))):
        inner = _tables(file, f"datasets[{i}].subsets", data_set.get("subsets", []))
        for j, subset in enumerate(inner):
            settings = general | data_set | subset
            where = f"{file}, subset {j} of data set {i},"
            _check_types(where, settings)
            if settings.get("is_reg") or int(settings.get("num_repeats", 1)) < 1:
                continue
            samples += _subset(file, where, settings, columns, seen)
    if not samples:
        msg = (
            f"{file} names no pictures to train on: load_samples reads [[datasets]] with "
            "[[datasets.subsets]] and image_dir, as kohya's trainer does"
        )
        raise SampleError(msg)
    chosen: list[Sample] = keep(samples)
    return chosen


def _table(file: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = (
            f"{file} has {describe(value)} as {name}, where kohya's trainer reads a table: check it"
        )
        raise SampleError(msg)
    return value


def _tables(file: Path, name: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        msg = (
            f"{file} has {describe(value)} as {name}, where kohya's trainer reads a list of "
            "tables: write [[datasets]] and [[datasets.subsets]]"
        )
        raise SampleError(msg)
    return [_table(file, f"{name}[{i}]", one) for i, one in enumerate(value)]


def _check_types(where: str, settings: dict[str, Any]) -> None:
    """Raise SampleError if a setting that is used is not of its type."""
    for name, kind in TYPES.items():
        value = settings.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            msg = f"{where} has {describe(value)} as {name}, not {NOUNS[kind]}: write it so"
            raise SampleError(msg)
        if isinstance(value, str) and "\0" in value:
            msg = f"{where} has a NUL in {name}: write it anew"
            raise SampleError(msg)
    if settings.get("enable_wildcard"):
        msg = (
            f"{where} has enable_wildcard, with which the trainer draws another caption each time: "
            "audit with the captions written out, in metadata.jsonl, one for each picture"
        )
        raise SampleError(msg)


def _subset(
    file: Path,
    where: str,
    settings: dict[str, Any],
    columns: Columns,
    seen: set[tuple[str, str | None]],
) -> list[Sample]:
    """Read one subset, unless its folder was read before."""
    named, table = settings.get("image_dir"), settings.get("metadata_file")
    if named is None:
        msg = f"{where} has no image_dir: add it"
        raise SampleError(msg)
    root = _path_of(file, named)
    key = os.path.realpath(root), table and os.path.realpath(_path_of(file, table))
    if key in seen:
        return []
    seen.add(key)
    if not root.is_dir():
        msg = f"{where} names the folder {named!r}, which does not exist: correct image_dir"
        raise SampleError(msg)
    folder = Folder(root)
    if table is not None:
        samples = read_kohya_metadata(_path_of(file, table), columns, list, folder)
    else:
        extension = settings.get("caption_extension")
        suffixes = (f".{extension.lstrip('.')}",) if extension else SUFFIXES[::-1]
        listing = Listing.of(root, suffixes, pictures=PICTURES, deep=False)
        samples = read_caption_files(
            folder, list, listing, suffixes=suffixes, otherwise=settings.get("class_tokens")
        )
        folder.several_lines = 0  # the trainer reads the first line, as is done here
        folder.warn()
    ends = (settings.get("caption_prefix"), settings.get("caption_suffix"))
    if not any(ends):
        return samples
    return [
        s.recaptioned(" ".join(part for part in (ends[0], s.caption, ends[1]) if part))
        for s in samples
    ]


def _path_of(file: Path, named: str) -> Path:
    beside = file.parent / named
    return beside if os.path.lexists(beside) or not os.path.exists(named) else Path(named)


def read_kohya_metadata(
    file: Path, columns: Columns, keep: Keep, folder: Folder | None = None
) -> list[Sample]:
    """Read the samples that a JSON file names: an object from file names to captions.

    Parameters
    ----------
    file
        An object from file names, with or without ending, to captions, or to objects with
        ``caption`` and ``tags``, which the trainer joins by a comma.
    columns
        Names of the columns.
    keep
        Chooses among the rows.
    folder
        Where the pictures are; by default beside the file.

    Raises
    ------
    SampleError
        If the file is not as described, or a picture is missing.
    """
    content = read_json(file, SampleError)
    if not isinstance(content, dict) or not content or {"images", "annotations"} <= set(content):
        raise SampleError(why_not_metadata(file, content))
    folder = Folder(file.parent) if folder is None else folder
    by_stem = _stems(Path(folder.root)) if not all(map(is_picture, content)) else {}
    rows = []
    for number, (name, value) in enumerate(content.items()):
        where = f"{file}, entry {number}"
        row = value if isinstance(value, dict) else {CAPTIONS[0]: value}
        key = columns.caption or next((one for one in CAPTIONS if one in row), CAPTIONS[0])
        text = text_of(where, row, key)
        if columns.caption is None and key == "caption" and row.get("tags"):
            text = f"{text}, {text_of(where, row, 'tags')}"
        # kohya's script may have written absolute paths, of the machine that it ran on.
        inner = os.path.relpath(name, folder.root) if os.path.isabs(name) else name
        rows.append((by_stem.get(inner, inner), text, where, columns.id_of(where, row)))
    samples = [folder.sample_of(*row) for row in keep(rows)]
    folder.warn()
    return samples


def _stems(root: Path) -> dict[str, str]:
    """Return the pictures of a folder, and below, by their path without its ending."""
    pairs = Listing.of(root).pairs
    return {os.path.splitext(picture)[0]: picture for picture, _ in pairs}
