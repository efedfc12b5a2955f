"""One JSON file of captions: COCO's, kohya's metadata, or an object from file names to captions.

CelebA-Dialog's file of captions is of the last kind.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.samples.sources.columns import Columns, Keep, text_of
from privaudit.samples.sources.files import is_picture, sample_of

if TYPE_CHECKING:
    from privaudit.samples.sample import Sample

__all__ = ["read_captions_json"]

CAPTIONS = ("caption", "text", "overall_caption", "prompt", "tags")
"""Names of captions in an object, the first one that is there is taken."""
NAMED = 3
"""Pictures that a message names."""
Row = tuple[str, str, str, str | None]
"""Where it is, file name, caption, the user's id."""


def read_captions_json(
    file: Path, columns: Columns, keep: Keep, folder: Path | None = None
) -> list[Sample]:
    """Read the samples that a JSON file names.

    Parameters
    ----------
    file
        COCO's captions (``images`` and ``annotations``; of several captions of a picture the one
        with the least id is taken), or an object from file names, with or without suffix, to
        captions or to objects with ``caption`` and ``tags`` (kohya) or ``overall_caption``
        (CelebA-Dialog).
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
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{file} cannot be read as JSON ({error}): check the file"
        raise SampleError(msg) from error
    root = file.parent if folder is None else folder
    if not isinstance(content, dict) or not content:
        msg = f"{file} is no object from file names to captions, nor COCO's captions"
        raise SampleError(msg)
    coco = {"images", "annotations"} <= set(content)
    rows = _coco(file, content, columns) if coco else _by_name(file, content, columns, root)
    return [sample_of(root, name, text, where, own) for where, name, text, own in keep(rows)]


def _coco(file: Path, content: dict[str, Any], columns: Columns) -> list[Row]:
    texts: dict[Any, tuple[Any, str]] = {}
    try:
        for number, one in enumerate(content["annotations"]):
            where = f"{file}, annotation {one.get('id', number)}"
            text = text_of(where, one, columns.caption or "caption")
            rank = one.get("id", number)
            if one["image_id"] not in texts or rank < texts[one["image_id"]][0]:
                texts[one["image_id"]] = (rank, text)
        rows, without = [], []
        for one in content["images"]:
            where = f"{file}, image {one['id']}"
            name = text_of(where, one, columns.image or "file_name")
            if one["id"] in texts:
                rows.append((where, name, texts[one["id"]][1], columns.id_of(where, one)))
            else:
                without.append(name)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{file} is not as COCO's captions are: {error} is missing"
        raise SampleError(msg) from error
    if without:
        msg = (
            f"{len(without)} of {len(content['images'])} images of {file} have no annotation, such "
            f"as {', '.join(without[:NAMED])}: annotate them, or take them out"
        )
        raise SampleError(msg)
    return rows


def _by_name(file: Path, content: dict[str, Any], columns: Columns, root: Path) -> list[Row]:
    rows: list[Row] = []
    by_stem = _stems(root) if not all(map(is_picture, content)) else {}
    for name, value in content.items():
        where = f"{file}, {name!r}"
        row = value if isinstance(value, dict) else {CAPTIONS[0]: value}
        key = columns.caption or next((one for one in CAPTIONS if one in row), CAPTIONS[0])
        text = text_of(where, row, key)
        if columns.caption is None and key == "caption" and row.get("tags"):
            text = f"{text}, {text_of(where, row, 'tags')}"  # as kohya's trainer joins them
        # kohya's script may have written absolute paths, of the machine that it ran on.
        inner = os.path.relpath(name, root) if Path(name).is_absolute() else name
        rows.append((where, by_stem.get(inner, inner), text, columns.id_of(where, row)))
    return rows


def _stems(root: Path) -> dict[str, str]:
    """Return the pictures of a folder, and below, by their path without its suffix."""
    paths = (path.relative_to(root) for path in root.rglob("*") if is_picture(path.name))
    return {path.with_suffix("").as_posix(): path.as_posix() for path in paths}
