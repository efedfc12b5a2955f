"""From what a user wrote to a checked value: each raises a ValueError that says what it must be."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "batch_size",
    "calibration",
    "choice",
    "engine",
    "file",
    "flag",
    "folder_or_none",
    "nearest",
    "number",
    "path",
    "place",
    "several",
    "share_at",
    "size",
    "text",
    "whole",
]


ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
"""Why a path may not be there yet, and be a path all the same."""


def number(
    low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> Callable[[Any], float]:
    """Return a parser of finite numbers within bounds."""

    def parse(given: Any) -> float:
        value = float(given)
        inside = (value > low if open_low else value >= low) and (
            value < high if open_high else value <= high
        )
        if isinstance(given, bool) or not math.isfinite(value) or not inside:
            bounds = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
            msg = f"must be a number in {bounds}"
            raise ValueError(msg)
        return value

    return parse


def whole(low: int) -> Callable[[Any], int]:
    """Return a parser of whole numbers from a least one on."""

    def parse(given: Any) -> int:
        value = int(str(given))
        if value < low:
            msg = f"must be a whole number from {low}"
            raise ValueError(msg)
        return value

    return parse


def choice(*choices: str) -> Callable[[Any], str]:
    """Return a parser that knows these words."""

    def parse(given: Any) -> str:
        if given not in choices:
            msg = f"must be one of {', '.join(choices)}{nearest(given, choices)}"
            raise ValueError(msg)
        return str(given)

    return parse


def several(
    *choices: str, prefix: str = "", none: bool = False
) -> Callable[[Any], tuple[str, ...]]:
    """Return a parser of a comma-separated list, which comes out in the order of the choices.

    With ``none``, the word ``none`` and an empty list are nothing.
    """

    def parse(given: Any) -> tuple[str, ...]:
        if none and given in ("none", (), []):
            return ()
        parts = given.split(",") if isinstance(given, str) else list(given)
        names = {str(part).strip().removeprefix(prefix) for part in parts}
        if not names or not names <= set(choices):
            unknown = next(iter(sorted(names - set(choices))), "")
            near = nearest(unknown, choices)
            msg = f"must be a comma-separated list of {', '.join(choices)}{near}"
            raise ValueError(msg)
        return tuple(choice for choice in choices if choice in names)

    return parse


def nearest(word: object, words: Iterable[str]) -> str:
    """Ask whether the nearest of some words was meant; nothing if none is near."""
    import difflib

    close = difflib.get_close_matches(str(word), list(words), n=1)
    return f": did you mean {close[0]}?" if close else ""


def share_at(given: Any) -> float:
    """Read a share; the false positive rate behind an @ is read by ``at_fpr``."""
    return number(0, 1)(given)


def engine(given: Any) -> str:
    """Read the name of an engine, of Ray with an address and a number of workers."""
    name, _, query = str(given).partition("?")
    key, _, n = query.partition("=")
    on_ray = name == "ray" or (name.startswith("ray://") and name != "ray://")
    workers = on_ray and key == "workers" and n.isdigit() and n != "0"
    if not (name == "local" or on_ray) or (query and not workers):
        msg = "must be local, ray, ray?workers=4 or ray://HOST:PORT?workers=4"
        raise ValueError(msg)
    return str(given)


def batch_size(given: Any) -> int | None:
    """Read a whole number from 1, or ``auto``."""
    return None if given == "auto" else whole(1)(given)


def size(given: Any) -> int | None:
    """Read bytes, with a decimal unit or none."""
    text = str(given).strip().upper().removesuffix("B")
    if text == "NONE":
        return None
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    factor = units.get(text[-1:], 1)
    value = float(text[:-1] if factor > 1 else text) * factor
    if not math.isfinite(value) or value < 1:
        msg = "must be a size from 1 byte, such as 20GB, or none"
        raise ValueError(msg)
    return int(value)


def calibration(given: Any) -> float:
    """Read a share below 1, or a whole number of members."""
    value = float(given)
    if not math.isfinite(value) or value <= 0 or (value >= 1 and value != int(value)):
        msg = "must be a share in (0, 1), or a whole number of members from 1"
        raise ValueError(msg)
    return value


def text(given: Any) -> str:
    """Read a text that is not blank."""
    if not isinstance(given, str) or not given.strip():
        msg = "must not be empty"
        raise ValueError(msg)
    return given


def text_or_none(given: Any) -> str | None:
    """Read a text that is not blank; the word ``none`` is nothing."""
    return None if given == "none" else text(given)


def _expanded(given: Any) -> Path:
    """Read a path that the system can name, whose ~ is the home folder."""
    path = Path(text(str(given)))
    try:
        path = path.expanduser()
        os.lstat(path)
    except RuntimeError as error:
        msg = f"must be a path: {error}"
        raise ValueError(msg) from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in ABSENT:
            return path
        msg = f"must be a path that can be used: {getattr(error, 'strerror', None) or error}"
        raise ValueError(msg) from error
    return path


def path(given: Any) -> Path:
    """Read a path once: where a test later moves to another folder, it stays where it was."""
    return _expanded(given).absolute()


def file(given: Any) -> Path:
    """Read the path of a file that will be written."""
    place = path(given)
    if place.is_dir():
        msg = "must be a file, and is a folder"
        raise ValueError(msg)
    return place


def folder_or_none(given: Any) -> Path:
    """Read a path; the word ``none`` stays as it is."""
    return Path("none") if str(given) == "none" else path(given)


def place(given: Any) -> str:
    """Read a path as text, so that a record can hold it."""
    return str(_expanded(given))


def flag(given: Any) -> bool:
    """Read yes or no in any of the usual spellings."""
    known = {"true": True, "1": True, "yes": True, "on": True}
    known |= {"false": False, "0": False, "no": False, "off": False}
    if str(given).lower() not in known:
        msg = "must be true or false"
        raise ValueError(msg)
    return known[str(given).lower()]
