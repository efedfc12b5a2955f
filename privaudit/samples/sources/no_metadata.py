"""Why a folder has no ``metadata.jsonl``: one sentence a cause, and the way out."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

__all__ = ["METADATA", "why_no_metadata"]

METADATA = "metadata.jsonl"
TABLES = {".csv": "read_csv", ".parquet": "read_parquet"}
"""Other formats of metadata by suffix, with the function of pandas that reads them."""
EXAMPLE = json.dumps({"file_name": "0001.png", "text": "its caption"})


def why_no_metadata(folder: Path) -> str:
    """Say why there is no metadata in a folder, and what to do.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    if folder.is_file():
        way_out = (
            f"pass its folder, {folder.parent}" if folder.name == METADATA else "pass a folder"
        )
        return f"{folder} is a file, not a folder that holds {METADATA}: {way_out}"
    if not folder.exists():
        return f"{folder} does not exist, seen from {Path.cwd()}: check the path"
    inside = sorted(folder.iterdir())
    if not inside:
        return (
            f"{folder} is empty: put the pictures there, and {METADATA} with lines like {EXAMPLE}"
        )
    return f"{folder / METADATA} does not exist{_what_there_is(folder, inside)}"


def _what_there_is(folder: Path, inside: list[Path]) -> str:
    """Go on with what the folder holds instead."""
    tables = [path for path in inside if path.suffix.lower() in TABLES]
    if tables:
        table = tables[0]
        return (
            f", and {table.name} is not read: convert it by "
            f"pandas.{TABLES[table.suffix.lower()]}({str(table)!r})"
            f'.to_json({str(folder / METADATA)!r}, orient="records", lines=True), with columns '
            '"file_name" and "text"'
        )
    splits = [path for path in inside if (path / METADATA).is_file()]
    if splits:
        names = ", ".join(path.name for path in splits)
        return (
            f", but {names} below have one: load one split at a time, "
            f"privaudit.load_samples({str(splits[0])!r})"
        )
    known = Image.registered_extensions()
    pictures = [path for path in inside if path.suffix.lower() in known]
    with_text = [path for path in pictures if path.with_suffix(".txt").is_file()]
    if with_text:
        return (
            f", and captions in .txt files, such as "
            f"{with_text[0].with_suffix('.txt').name} beside {with_text[0].name}, are not read: "
            f"write one JSON object a line, {EXAMPLE}, for each of the {len(with_text)} pictures"
        )
    return f" beside {len(pictures)} pictures: write one JSON object a line, {EXAMPLE}"
