"""Sample ids that only the owner of a key can tell: ``--privaudit-record-ids=hashed``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from privaudit.record.session import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["hash_ids"]

ID_FIELDS = {"exposed": ("id",), "near_duplicates": ("first", "second")}
"""Fields that are a sample's id, by the list that they are in."""
SCORES = ("member_scores", "non_member_scores")
QUOTED = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"")


def hash_ids(record: SessionRecord, name: Callable[[str], str]) -> SessionRecord:
    """Return a record in which every sample id has another name.

    An id stands among the scores, the exposed members and the near-duplicates; and quoted in texts.

    Parameters
    ----------
    record
        The record of a session.
    name
        From an id to its name, such as a keyed hash.

    Examples
    --------
    >>> hash_ids(SessionRecord(privaudit_version="0.1.0"), str.upper).audits
    []
    """
    content = record.to_dict()
    names = {one: name(one) for one in _ids(content)}

    def in_text(match: re.Match[str]) -> str:
        one = match[1] or match[2]
        return match[0].replace(one, names[one]) if one in names else match[0]

    def renamed(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if key in SCORES:
                return {names[one]: score for one, score in value.items()}
            return {
                inner: names[of] if inner in ID_FIELDS.get(key, ()) else renamed(of, inner)
                for inner, of in value.items()
            }
        if isinstance(value, list):
            return [renamed(one, key) for one in value]
        return QUOTED.sub(in_text, value) if isinstance(value, str) else value

    return SessionRecord.model_validate(renamed(content))


def _ids(value: Any, key: str = "") -> Iterator[str]:
    """Yield the sample ids of a record."""
    if isinstance(value, dict):
        for inner, of in value.items():
            if inner in ID_FIELDS.get(key, ()):
                yield of
            elif key in SCORES:
                yield inner
            else:
                yield from _ids(of, inner)
    elif isinstance(value, list):
        for one in value:
            yield from _ids(one, key)
