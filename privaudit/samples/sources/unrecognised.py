"""Why nothing can be read from a path: one sentence a cause, and the way out."""

from __future__ import annotations

import json
from pathlib import Path

from privaudit.samples.sources.files import is_picture
from privaudit.samples.sources.metadata import METADATA

__all__ = ["why_not_recognised"]

EXAMPLE = json.dumps({"file_name": "0001.png", "text": "its caption"})


def why_not_recognised(path: Path) -> str:
    """Say why nothing can be read from a path, and what to do.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    if path.is_file():
        way_out = f"pass its folder, {path.parent}"
        return f"{path} is a file, and of no kind that load_samples reads: {way_out}"
    if not path.exists():
        return f"{path} does not exist, seen from {Path.cwd()}: check the path"
    inside = sorted(path.iterdir())
    table = METADATA[0]
    if not inside:
        return f"{path} is empty: put the pictures there, and {table} with lines like {EXAMPLE}"
    splits = [one for one in inside if any((one / name).is_file() for name in METADATA)]
    if splits:
        names = ", ".join(one.name for one in splits)
        return (
            f"{path} has no {table}, but {names} below have one: load one split at a time, "
            f"privaudit.load_samples({str(path)!r}, split={splits[0].name!r})"
        )
    lists = [one.name for one in inside if one.suffix in (".json", ".toml")]
    if lists:
        return (
            f"{path} has no {table}, but {', '.join(lists)}: if captions are there, name the "
            f"file, privaudit.load_samples({str(path / lists[0])!r})"
        )
    n = sum(is_picture(one.name) for one in inside)
    return (
        f"{path} has {n} pictures and no captions: write {table} with a line for each, {EXAMPLE}, "
        "or a .txt file beside each"
    )
