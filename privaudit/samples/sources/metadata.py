"""Tables of metadata beside pictures, as the ``datasets`` library reads them."""

from __future__ import annotations

import codecs
import csv
import io
import json
from typing import TYPE_CHECKING, Any

from privaudit.errors import MissingExtraError, SampleError
from privaudit.samples.sources.columns import Columns, Keep, text_of
from privaudit.samples.sources.files import sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.samples.sample import Sample

__all__ = ["METADATA", "read_metadata"]

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Names of such tables, the one that is taken first."""
SHOWN = 80
"""Characters of a wrong line that a message quotes."""


def read_metadata(table: Path, columns: Columns, keep: Keep) -> list[Sample]:
    """Read the samples that a table names, in the order of its rows.

    Parameters
    ----------
    table
        ``*.jsonl`` or ``*.csv`` in UTF-8, or ``*.parquet``. File names are relative to its
        folder, and inside it.
    columns
        Names of the columns; by default ``file_name`` and ``text``.
    keep
        Chooses among the rows.

    Raises
    ------
    SampleError
        If the table or a file is missing, or a row is not as described; the message names the
        row or file.
    MissingExtraError
        If a Parquet file is read without pyarrow.
    """
    readers = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
    rows = readers[table.suffix.lower()](table)
    named = []
    for where, row in rows:
        name = text_of(where, row, columns.image or "file_name")
        caption = text_of(where, row, columns.caption_of(where, row))
        named.append((where, name, caption, columns.id_of(where, row)))
    if not named:
        msg = f"{table} has no lines: write one for each picture, or load another folder"
        raise SampleError(msg)
    return [
        sample_of(table.parent, name, caption, where, own)
        for where, name, caption, own in keep(named)
    ]


def _json_lines(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # JSON may hold U+2028, U+0085 and other ends of lines of str.splitlines as they are.
    for number, raw in enumerate(_content(table).split(b"\n"), start=1):
        where = f"{table}:{number}"
        line = _decoded(raw, where)
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            msg = f"{where} is not JSON ({error}): {line[:SHOWN]!r}; write one object a line"
            raise SampleError(msg) from error
        if not isinstance(row, dict):
            msg = f'{where} is not an object with "file_name" and "text": {line[:SHOWN]!r}'
            raise SampleError(msg)
        yield where, row


def _csv(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    content = _content(table)
    text = "".join(
        _decoded(raw, f"{table}:{number}")
        for number, raw in enumerate(content.splitlines(keepends=True), start=1)
    )
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
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


def _parquet(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError(f"reading {table}", "pyarrow", "data") from error
    try:
        with parquet.ParquetFile(table) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield f"{table}, row {number}", row
                    number += 1
    except (ArrowException, OSError) as error:
        msg = f"{table} cannot be read as Parquet ({error}): write it again"
        raise SampleError(msg) from error


def _content(table: Path) -> bytes:
    try:
        content = table.read_bytes()
    except OSError as error:
        msg = f"{table} cannot be read ({error}): check the path and its permissions"
        raise SampleError(msg) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        msg = f"{table} is UTF-16 or no text, not UTF-8: save it as UTF-8"
        raise SampleError(msg)
    return content.removeprefix(codecs.BOM_UTF8)


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        msg = (
            f"{where} is not UTF-8 at byte {error.start + 1}, {raw[:SHOWN]!r}: save the file "
            "as UTF-8 (it may be Latin-1)"
        )
        raise SampleError(msg) from error
