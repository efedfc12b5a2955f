"""Names of models: what is a path on this machine, what a hub's, and whether the hub answers."""

from __future__ import annotations

import contextlib
import difflib
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["describe_missing", "hub_problem", "is_hub_name", "one_try"]

TIMEOUT = 5.0
"""Seconds that a hub may take to answer, once."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".json")


def is_hub_name(source: Any) -> bool:
    """Tell whether a name can only be a hub's: an owner and a model, and no path that is here.

    Examples
    --------
    >>> is_hub_name("stabilityai/sd-turbo")
    True
    >>> is_hub_name("./runs/stamps"), is_hub_name("runs"), is_hub_name("a/b.safetensors")
    (False, False, False)
    """
    if not isinstance(source, str) or not HUB_NAME.fullmatch(source) or source.endswith(FILES):
        return False
    # Of "runs/stampz" beside a folder "runs" the path is meant.
    return not Path(source).exists() and not Path(source).parent.exists()


def describe_missing(source: Any) -> str:
    """Say that a path does not exist, and what beside it is called nearly so.

    Returns
    -------
    str
        ``"does not exist"``, with the nearest name there is.
    """
    path = Path(source)
    there = next((one for one in path.parents if one.is_dir()), Path())
    first = path.relative_to(there).parts[0]
    try:
        near = difflib.get_close_matches(first, [one.name for one in there.iterdir()], n=1)
    except OSError:
        near = []
    if near:
        return f"does not exist: did you mean {str(there / near[0])!r}?"
    return f"does not exist: in {str(there.absolute())!r} is no {first!r}"


@functools.cache
def hub_problem() -> str:
    """Say why the hub cannot be asked, after one try in this process; nothing if it answers."""
    from huggingface_hub import constants, utils

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        ask: Any = utils.get_session()  # type: ignore[attr-defined]
        ask.head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # each version of the library has another HTTP client
        host = constants.ENDPOINT.partition("://")[2]
        return f"{host} cannot be reached ({type(error).__name__}: {str(error).strip():.80})"
    return ""


@contextlib.contextmanager
def one_try() -> Iterator[str]:
    """Have libraries read what was downloaded before, and ask nothing of a hub that is away.

    Left alone they try again for most of a minute, for each file.

    Yields
    ------
    str
        Why the hub is not asked; nothing if it is.
    """
    from huggingface_hub import constants

    problem = hub_problem()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or bool(problem)
    try:
        yield problem
    finally:
        constants.HF_HUB_OFFLINE = before
