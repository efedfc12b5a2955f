"""Which columns of a table, or of a data set, hold the picture, the caption and the id."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CAPTIONS", "Columns", "Keep", "text_of"]

CAPTIONS = ("text", "caption", "prompt")
"""Names that columns of captions have, the first one that is there is taken."""
Keep = Callable[[list[Any]], list[Any]]
"""Chooses among rows, and leaves their order."""
SHOWN = 80
"""Characters of a wrong value that a message quotes."""


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
            keys = ", ".join(map(repr, row)) or "{}"
            msg = (
                f'{where} has no "{CAPTIONS[0]}", only {keys}: rename or add it, or say which '
                "column holds captions, load_samples(…, caption=…)"
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
            msg = f"{where} has {value!r} as its id, in {self.id!r}: give each row an id"
            raise SampleError(msg)
        return str(value)


def text_of(where: str, row: Mapping[str, Any], key: str) -> str:
    """Return a text of a row.

    Raises
    ------
    SampleError
        If there is none.
    """
    if key not in row:
        keys = ", ".join(map(repr, row)) or "{}"
        msg = f'{where} has no "{key}", only {keys}: rename or add it'
        raise SampleError(msg)
    value = row[key]
    if not isinstance(value, str):
        shown = json.dumps(value, default=repr)[:SHOWN]
        msg = f'{where} has {shown} for "{key}", not a text: write it in quotes, or remove the line'
        raise SampleError(msg)
    return value
