"""Data sets of the ``datasets`` library, and other rows with an image and a caption."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.samples.sample import Sample
from privaudit.samples.sources.columns import Columns, Keep, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_data_set"]


def read_data_set(
    rows: Any, columns: Columns, keep: Keep, *, split: str | None, limit: int | None
) -> list[Sample]:
    """Read the samples of a data set.

    Parameters
    ----------
    rows
        A ``datasets.Dataset``, or anything with a length whose items are mappings: no image is
        decoded before it is looked at. Of a ``datasets.DatasetDict``, ``split`` says which. A
        streaming set is read from its beginning, and its first ``limit`` images are kept.
    columns
        Names of the columns; by default ``image``, and ``text``, ``caption`` or ``prompt``.
    keep
        Chooses among the rows.
    split
        Which of several sets.
    limit
        How many of a streaming set.

    Raises
    ------
    SampleError
        If a column is missing, or it is not said how much of a streaming set is wanted.
    """
    if isinstance(rows, Mapping):
        if split not in rows:
            msg = f"these are {len(rows)} sets: say which, load_samples(…, split=…), of {[*rows]}"
            raise SampleError(msg)
        rows = rows[split]
    kind = type(rows).__name__
    image = columns.image or "image"
    if not hasattr(rows, "__len__"):
        if limit is None:
            msg = f"a {kind} is read as it comes: say how many, load_samples(…, limit=1000)"
            raise SampleError(msg)
        rows, keep = list(itertools.islice(iter(rows), limit)), list
    # A table of captions without its images: to read 100,000 of those would take hours.
    texts = rows.remove_columns([image]) if _holds(rows, image) else rows
    name = getattr(rows, "_fingerprint", None) or fingerprint_values(
        captions=[str({k: v for k, v in row.items() if k != image}) for row in texts]
    )
    samples = []
    for i in keep(list(range(len(rows)))):
        where = f"row {i} of a {kind}"
        row = texts[i]
        if not isinstance(row, Mapping):
            msg = f"{where} is a {type(row).__name__}, not a mapping of columns"
            raise SampleError(msg)
        caption = text_of(where, row, columns.caption_of(where, row))
        own = columns.id_of(where, row)
        identity = f"{name[:8]}/{i}" if own is None else own
        samples.append(Sample(Cell(rows, i, image, where), caption, id=identity))
    if not samples:
        msg = f"a {kind} of no rows: load another set"
        raise SampleError(msg)
    return samples


def _holds(rows: Any, image: str) -> bool:
    names = getattr(rows, "column_names", None)
    if names is None:
        return False
    if image not in names:
        msg = (
            f"the data set has no column {image!r}, only {names}: say which holds the pictures, "
            "load_samples(…, image=…)"
        )
        raise SampleError(msg)
    return len(names) > 1


@dataclass(frozen=True)
class Cell:
    """Opens the picture in one row. Pickled, it becomes the picture.

    Parameters
    ----------
    rows
        The set.
    number
        Of the row, from 0.
    column
        The column of the picture: a PIL image, an array, the name or the bytes of a file, or
        the mapping of both that ``datasets`` makes of an image that it does not decode.
    where
        The row, for messages.
    """

    rows: Sequence[Mapping[str, Any]]
    number: int
    column: str
    where: str

    def __call__(self) -> Image.Image:
        """Open it."""
        row = self.rows[self.number]
        if self.column not in row:
            msg = f"{self.where} has no {self.column!r}, only {[*row]}: say which column it is"
            raise SampleError(msg)
        value = row[self.column]
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, Image.Image):
            return value
        if isinstance(value, (bytes, bytearray)):
            return Image.open(io.BytesIO(value))
        if isinstance(value, (str, Path)):
            return Image.open(value)
        if value is None:
            msg = f"{self.where} has no picture: take the row out"
            raise SampleError(msg)
        return Image.fromarray(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return Picture, (self(), self.where)


@dataclass(frozen=True)
class Picture:
    """Returns a picture.

    Parameters
    ----------
    image
        The picture.
    where
        The row, for messages.
    """

    image: Image.Image
    where: str

    def __call__(self) -> Image.Image:
        """Return it."""
        return self.image
