"""Data sets of the ``datasets`` library, and other rows with an image and a caption."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from privaudit.errors import SampleError, first_line
from privaudit.files import read_bytes
from privaudit.samples.pictures import open_picture
from privaudit.samples.sample import Sample
from privaudit.samples.sources.columns import (
    CAPTIONS,
    Columns,
    Keep,
    check_caption,
    describe,
    quote_names,
    text_of,
)
from privaudit.samples.sources.files import READ

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
    image = columns.image or "image"
    rows = _one_set(rows, columns, image, split)
    kind, fingerprint = type(rows).__name__, getattr(rows, "_fingerprint", None)
    rows = _undecoded(rows, image)
    if not hasattr(rows, "__len__"):
        if limit is None:
            msg = f"a {kind} is read as it comes: say how many, load_samples(…, limit=1000)"
            raise SampleError(msg)
        try:
            rows, keep = list(itertools.islice(iter(rows), limit)), list
        except SampleError:
            raise
        except Exception as error:
            msg = f"a {kind} cannot be read as rows ({type(error).__name__}): {WAY_OUT}"
            raise SampleError(msg) from error
    # A table of captions without its images: to read 100,000 of those would take hours.
    texts = rows.remove_columns([image]) if _has_more(rows, image) else rows
    samples = []
    seen: dict[str, int] = {}
    for i in keep(list(range(len(rows)))):
        where = f"row {i} of a {kind}"
        row = _row(texts, i, where)
        caption = check_caption(where, text_of(where, row, columns.caption_of(where, row)))
        identity = columns.id_of(where, row)
        cell = Cell(rows, i, image, where)
        if identity is None and isinstance(fingerprint, str):
            identity = f"{fingerprint[:8]}/{i}"  # of all that the library knows of the set
        elif identity is None:
            identity = _hash(row.get(image), caption)
            seen[identity] = seen.get(identity, 0) + 1
            if seen[identity] > 1:
                identity = f"{identity}/{seen[identity]}"
        samples.append(Sample(cell, caption, id=identity))
    if not samples:
        msg = f"a {kind} of no rows: load another set"
        raise SampleError(msg)
    return samples


WAY_OUT = 'pass rows, load_samples([{"image": image, "text": caption}, …])'


def _one_set(rows: Any, columns: Columns, image: str, split: str | None) -> Any:
    """Return the set that is meant.

    Raises
    ------
    SampleError
        If these are several, columns in place of rows, or nothing of this kind.
    """
    if isinstance(rows, Mapping):
        if split is not None and split in rows:
            return rows[split]
        captions = (columns.caption,) if columns.caption else CAPTIONS
        if image in rows and any(one in rows for one in captions):
            msg = (
                "these are columns, not rows: "
                "load_samples([dict(zip(columns, row)) for row in zip(*columns.values())])"
            )
            raise SampleError(msg)
        names = ", ".join(map(repr, [*rows][:12]))
        msg = f"these are {len(rows)} sets: say which, load_samples(…, split=…), of [{names}]"
        raise SampleError(msg)
    if hasattr(rows, "to_dict") and hasattr(rows, "iloc"):
        msg = 'a table of pandas is no rows: load_samples(table.to_dict("records"))'
        raise SampleError(msg)
    if isinstance(rows, (bytes, bytearray)) or not (
        hasattr(rows, "__len__") or hasattr(rows, "__iter__")
    ):
        msg = f"{describe(rows)} is no folder, file or data set: {WAY_OUT}"
        raise SampleError(msg)
    if isinstance(rows, (set, frozenset)):
        msg = f"a {type(rows).__name__} has no order: pass a list"
        raise SampleError(msg)
    return rows


def _undecoded(rows: Any, image: str) -> Any:
    """Have a set of the ``datasets`` library hand out files as they are: they are opened here."""
    features: Any = getattr(rows, "features", None)
    feature: Any = features.get(image) if isinstance(features, Mapping) else None
    if type(feature).__name__ != "Image" or not getattr(feature, "decode", False):
        return rows
    # A mode, or a format that the user set, is the library's to apply, and so is a stream.
    if not hasattr(rows, "__len__") or feature.mode or rows.format.get("type") is not None:
        return rows
    return rows.cast_column(image, type(feature)(decode=False))


def _row(rows: Any, number: int, where: str) -> Mapping[str, Any]:
    try:
        row = rows[number]
    except SampleError:
        raise
    except Exception as error:
        msg = f"{where} cannot be read ({type(error).__name__}): {WAY_OUT}"
        raise SampleError(msg) from error
    if isinstance(row, Mapping):
        return row
    if isinstance(row, (tuple, list)) and len(row) == 2:
        way_out = 'load_samples([{"image": image, "text": caption} for image, caption in data])'
        msg = f"{where} is a {type(row).__name__}, not a mapping of columns: {way_out}"
    else:
        msg = f"{where} is {describe(row)}, not a mapping of columns: {WAY_OUT}"
    raise SampleError(msg)


def _has_more(rows: Any, image: str) -> bool:
    """Tell whether a set of the library has other columns beside its pictures."""
    names = getattr(rows, "column_names", None)
    if not isinstance(names, list) or not hasattr(rows, "remove_columns"):
        return False
    if image not in names:
        msg = (
            f"the data set has no column {image!r}, only {quote_names(dict.fromkeys(names))}: say "
            "which holds the pictures, load_samples(…, image=…)"
        )
        raise SampleError(msg)
    return len(names) > 1


def _hash(value: Any, caption: str) -> str:
    """Return a hash of a row's picture, as far as it is at hand, and of its caption."""
    digest = hashlib.sha256(caption.encode() + b"\0")
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    try:
        if isinstance(value, (str, Path)):
            size, beginning = read_bytes(value, READ)
            digest.update(b"%d " % size + beginning)
        elif isinstance(value, (bytes, bytearray)):
            digest.update(value)
        elif isinstance(value, Image.Image):
            digest.update(f"{value.mode} {value.size}".encode() + value.tobytes())
        elif value is not None:
            array = np.asarray(value)
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    except Exception as error:  # it is named when the picture is looked at
        digest.update(type(error).__name__.encode())
    return digest.hexdigest()[:16]


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
            msg = f"{self.where} has no {self.column!r}, only {quote_names(row)}: say which it is"
            raise SampleError(msg)
        value = row[self.column]
        if isinstance(value, Mapping):
            value = value.get("bytes") or self._path_in(value)
        if isinstance(value, Image.Image):
            return value
        if isinstance(value, (bytes, bytearray, str, Path)):
            return open_picture(bytes(value) if isinstance(value, bytearray) else value)
        if value is None:
            msg = f"{self.where} has no picture: take the row out"
            raise SampleError(msg)
        try:
            return Image.fromarray(np.asarray(value))
        except (TypeError, ValueError, KeyError) as error:
            msg = (
                f"{self.where} has {describe(value)} as its picture ({first_line(error)}): pass a "
                "PIL image, an array of 8-bit pixels, or the name or bytes of a file"
            )
            raise SampleError(msg) from error

    def _path_in(self, value: Mapping[str, Any]) -> Any:
        """Return the file of a picture, or the picture itself of a file that is elsewhere."""
        path = value.get("path")
        if isinstance(path, str) and not os.path.exists(path):
            features = getattr(self.rows, "features", None)
            if features is not None:  # inside an archive or on a server: the library opens it
                return type(features[self.column])().decode_example(dict(value))
        return path

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
