"""Which columns of a table, or of a data set, hold the picture, the caption and the id."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from privaudit.errors import SampleError

__all__ = ["CAPTIONS", "Columns", "Keep", "check_caption", "describe", "quote_names", "text_of"]

CAPTIONS = ("text", "caption", "prompt")
"""Names that columns of captions have, the first one that is there is taken."""
NAMES = {*CAPTIONS, "file_name", "image", "id", "tags", "images", "annotations"}
"""Usual names: where one of them is among the names of columns, the others are names too."""
Keep = Callable[[list[Any]], list[Any]]
"""Chooses among rows, and leaves their order."""
PLACEHOLDER = re.compile(
    r"\[(?:trigger|trigger_word|filewords)\]|\{(?:trigger|trigger_word)\}", re.I
)
"""What trainers replace in a caption (ai-toolkit, web UIs): no training saw it as it stands."""
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Columns:
    """Names of columns; ``None`` where the usual one is meant.

    Parameters
    ----------
    image, caption, id
        The user's own names for them.
    """

    image: str | None = None
    caption: str | None = None
    id: str | None = None

    def caption_of(self, where: str, row: Mapping[str, Any]) -> str:
        """Return the name of a row's column of captions.

        Raises
        ------
        SampleError
            If none of the usual names is there.
        """
        if self.caption is not None:
            return self.caption
        there = [name for name in CAPTIONS if name in row]
        if not there:
            msg = (
                f'{where} has no "{CAPTIONS[0]}", only {quote_names(row)}: rename or add it, or '
                "say which column holds captions, load_samples(…, caption=…)"
            )
            raise SampleError(msg)
        return there[0]

    def id_of(self, where: str, row: Mapping[str, Any]) -> str | None:
        """Return the user's own id of a row, if there is a column of ids.

        Raises
        ------
        SampleError
            If the row has none.
        """
        if self.id is None:
            return None
        value = row.get(self.id)
        if value is None or isinstance(value, (dict, list)):
            msg = f"{where} has {describe(value)} as its id, in {self.id!r}: give each row an id"
            raise SampleError(msg)
        return str(value)


def quote_names(row: Mapping[Any, Any]) -> str:
    """Name the columns of a row, unless they may be something else, such as a first caption."""
    names = [str(name) for name in row]
    if not names:
        return "{}"
    if NAMES.isdisjoint(names):
        known = {"name", "path", "title", "label", "file", "filename", "image_path", "pixel_values"}
        if known.isdisjoint(names):
            return f"{len(names)} columns of other names"
    return ", ".join(map(repr, names[:12]))


def describe(value: Any) -> str:
    """Say what a value is, without quoting it: it may be, or hold, a caption."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "an object"
    return f"a {type(value).__name__}"


def text_of(where: str, row: Mapping[str, Any], key: str) -> str:
    """Return a text of a row.

    Raises
    ------
    SampleError
        If there is none.
    """
    if key not in row:
        msg = f'{where} has no "{key}", only {quote_names(row)}: rename or add it'
        raise SampleError(msg)
    value = row[key]
    if isinstance(value, (list, tuple)):
        msg = (
            f'{where} has {describe(value)} for "{key}", and a sample has one: keep the one that '
            'was trained with, such as data.map(lambda row: {"text": row["' + key + '"][0]})'
        )
        raise SampleError(msg)
    if not isinstance(value, str):
        msg = (
            f'{where} has {describe(value)} for "{key}", not a text: write it in quotes, or remove '
            "the line"
        )
        raise SampleError(msg)
    return value


def check_caption(where: str, caption: str) -> str:
    """Return a caption, unless no training saw it as it stands.

    Raises
    ------
    SampleError
        If it holds the placeholder of a trigger word, or half a character.
    """
    placeholder = PLACEHOLDER.search(caption)
    if placeholder:
        msg = (
            f"{where} holds {placeholder[0]}, which the trainer replaced by its trigger word, so "
            "the model never saw it: write the word itself into a copy of the captions"
        )
        raise SampleError(msg)
    half = SURROGATE.search(caption)
    if half:
        msg = f"{where} holds half a character (U+{ord(half[0]):04X}): write it again as UTF-8"
        raise SampleError(msg)
    return caption
