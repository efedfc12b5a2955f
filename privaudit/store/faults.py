"""What a file that cannot be read or written means to a store, and the way out."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from privaudit.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ELSEWHERE", "gone", "is_absent", "not_readable", "not_writable"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
ELSEWHERE = "name another folder with --privaudit-store"


def is_absent(error: OSError) -> bool:
    """Tell whether an error means that there is nothing of the name."""
    return isinstance(error, (FileNotFoundError, NotADirectoryError))


def gone(folder: Path) -> StoreError:
    """Make the error of a store that was there when the session began."""
    return StoreError(
        f"the store {folder} is gone: it was removed, renamed or unmounted while it was in use\n"
        f"run again, and what it held is made again, or {ELSEWHERE}"
    )


def not_readable(path: Path, error: OSError) -> StoreError:
    """Make the error of a file that is there and cannot be read.

    Such a file is neither damaged nor absent. Were it taken for absent, whoever mistypes a
    ``chmod`` or loses a network share for a minute would generate all images again, after a plan
    that promised none, and write over files that may be somebody else's.
    """
    if error.errno in FORBIDDEN:
        what = "ask its owner for the right to read it"
    else:
        what = "check the disk or the network share, and run again"
    return StoreError(
        f"{path} cannot be read ({error}): nothing was removed; {what}, or {ELSEWHERE}"
    )


def not_writable(path: Path, error: OSError) -> StoreError:
    """Make the error of a file that cannot be written or removed."""
    if isinstance(error, FileNotFoundError):
        absent = [parent for parent in path.parents if not parent.is_dir()]
        if absent:
            return gone(absent[-1])
    if error.errno in FULL:
        what = "free space"
    elif error.errno in FORBIDDEN:
        what = "make its folder writable to you"
    else:
        what = "check what is in the way"
    return StoreError(f"{path} cannot be written ({error}): {what}, or {ELSEWHERE}")
