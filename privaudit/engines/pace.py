"""How fast a model was on this machine: where the next run begins, and what its plan says."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, NamedTuple

from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from privaudit.store import Store

__all__ = ["Pace"]


class Pace(NamedTuple):
    """What one run found out."""

    batch_size: int | None
    """Queries in one call, if a search for them came to its end."""
    seconds: float
    """Seconds an image takes this process, or would if the work were its own."""

    @classmethod
    def read(cls, store: Store, fingerprint: str) -> Pace | None:
        """Return what is known of the model of that fingerprint."""
        for text in store.texts([_key(fingerprint)]).values():
            return cls(*json.loads(text))
        return None

    def write(self, store: Store, fingerprint: str) -> None:
        """Keep it for the next run."""
        store.put_texts({_key(fingerprint): json.dumps(self)})


def _key(fingerprint: str) -> str:
    return fingerprint_values(speed=fingerprint, machine=platform.node())
