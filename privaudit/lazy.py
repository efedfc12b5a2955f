"""Names of a room that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["imported_when_used"]


def imported_when_used(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package some of whose modules take long to import.

    Parameters
    ----------
    package
        Its name, for the message of an unknown one.
    homes
        The module that each name is in.

    Examples
    --------
    >>> get = imported_when_used("privaudit", {"Sample": "privaudit.samples"})
    >>> get("Sample").__name__
    'Sample'
    """

    def get(name: str) -> Any:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(importlib.import_module(homes[name]), name)

    return get
