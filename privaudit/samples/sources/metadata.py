"""Tables of metadata beside pictures, as the ``datasets`` library reads them."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.files import parse_json, read_text
from privaudit.samples.sources.columns import Columns, Keep, describe, quote_names, text_of
from privaudit.samples.sources.files import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.samples.sample import Sample

__all__ = ["METADATA", "read_metadata"]

METADATA = ("metadata.jsonl", "metadata.csv")
"""Names of such tables, the one that is taken first."""
MAX_TABLE = 2**27
"""Bytes that a table may have."""
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_metadata(
    table: Path,
    columns: Columns,
    keep: Keep,
    *,
    folder: Folder | None = None,
    below: str | None = None,
) -> list[tuple[str, Sample]]:
    """Read the samples that a table names, in the order of its rows.

    Parameters
    ----------
    table
        ``*.jsonl`` or ``*.csv`` in UTF-8. File names are relative to its folder, and inside it.
    columns
        Names of the columns; by default ``file_name`` and ``text``.
    keep
        Chooses among the rows.
    folder
        The table's folder.
    below
        Only rows whose pictures are in this folder below.

    Returns
    -------
    list of tuple of str and Sample
        The file name and the sample of each row.

    Raises
    ------
    SampleError
        If the table or a file is missing, or a row is not as described; the message names the
        row or file.
    """
    folder = Folder(table.parent) if folder is None else folder
    readers = {".jsonl": _json_lines, ".csv": _csv}
    rows = []
    for where, row in readers[table.suffix.lower()](table):
        name = text_of(where, row, columns.image or "file_name")
        if below is not None and not os.path.normpath(name).startswith(f"{below}{os.sep}"):
            continue
        caption = text_of(where, row, columns.caption_of(where, row))
        rows.append((where, name, caption, columns.id_of(where, row)))
    if not rows:
        one = "a line" if below is None else f"a line whose picture is in {below}"
        msg = f"{table} has no lines: write {one} for each picture, or load another folder"
        raise SampleError(msg)
    return [
        (name, folder.sample_of(name, caption, where, own))
        for where, name, caption, own in keep(rows)
    ]


def _json_lines(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # JSON may hold U+2028, U+0085 and other ends of lines of str.splitlines as they are.
    text = read_text(table, SampleError, limit=MAX_TABLE, what="a table")
    start = number = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line, start, number = text[start:end], end + 1, number + 1
        if not line.strip():
            continue
        where = f"{table}:{number}"
        row = parse_json(line, where, SampleError, way_out="write one object a line")
        if not isinstance(row, dict):
            msg = (
                f'{where} is {describe(row)}, not an object with "file_name" and "text": write one '
                "object a line"
            )
            raise SampleError(msg)
        yield where, row


def _csv(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = read_text(table, SampleError, limit=MAX_TABLE, what="a table")
    reader = csv.DictReader((line[0] for line in LINE.finditer(text)), strict=True)
    try:
        header = reader.fieldnames or []
        _check_header(table, header)
        for row in reader:
            where = f"{table}:{reader.line_num}"
            surplus, absent = None in row, [n for n, v in row.items() if v is None]
            if surplus or absent:
                what = "more" if surplus else "fewer"
                msg = (
                    f"{where} has {what} fields than the header has columns: put a caption that "
                    "holds a comma or the end of a line in quotes"
                )
                raise SampleError(msg)
            yield where, dict(row)
    except csv.Error as error:
        msg = f"{table} is not CSV after line {reader.line_num} ({error}): quote texts"
        raise SampleError(msg) from error


def _check_header(table: Path, header: Any) -> None:
    """Raise SampleError if two columns have one name, or they are not separated by commas."""
    twice = [name for name, times in Counter(header).items() if times > 1 and name]
    if twice:
        names = quote_names(dict.fromkeys(header))
        msg = f"{table}:1 has two columns of one name, of {names}: rename or remove one"
        raise SampleError(msg)
    for mark, name in SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            msg = f"{table}:1 separates its columns by {name}: save it with commas"
            raise SampleError(msg)
