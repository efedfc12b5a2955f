"""Files that are written for people."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from privaudit.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_output"]


def write_output(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path
        The file; it must not be a folder or a device.
    text
        All of it.
    private
        Whether it is for its owner's eyes only.

    Raises
    ------
    RecordError
        If it cannot be written.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():
        msg = f"{path} is no file: name one that may be written"
        raise RecordError(msg)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if private else 0o666
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        msg = f"{path} cannot be written ({error.strerror}): name a file in a folder that may be"
        raise RecordError(msg) from error
