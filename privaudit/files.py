"""Files that others wrote, read within limits or refused; and files that others must not read.

Nothing here waits: a FIFO, a device or a socket is refused before it is opened. What is no UTF-8,
too large, too deep or no JSON is the caller's own type of error, which names the file.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import re
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.errors import PrivauditError

__all__ = [
    "MAX_DEPTH",
    "MAX_TEXT",
    "check_depth",
    "decode_text",
    "is_regular",
    "open_regular",
    "parse_json",
    "parse_toml",
    "read_bytes",
    "read_json",
    "read_object",
    "read_text",
    "read_toml",
    "write_private",
]

MAX_TEXT = 2**26
"""Bytes of a text, JSON or TOML file that are read at most, unless the caller says otherwise."""
MAX_DEPTH = 64
"""Lists and objects inside one another in JSON and TOML."""
MEMORY = Path("/dev/shm")  # noqa: S108
"""The one place under /dev whose files are files."""
HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""What may be half a character, which no file and no record can hold."""
READING = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO put in the file's place meanwhile: no wait either
)
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: str | Path, *, follow: bool = True) -> int:
    """Open a regular file for reading; nothing else, and without a wait.

    Parameters
    ----------
    path
        The file.
    follow
        Whether it may be a link.

    Returns
    -------
    int
        A descriptor, which the caller closes.

    Raises
    ------
    OSError
        If there is none, it is a folder, a FIFO, a device or a socket, or it cannot be opened. A
        path that no system knows (with a NUL) counts as one that is not there. With
        ``follow=False``, ``errno`` is ``ELOOP`` for a link.
    """
    try:
        # Before it is opened: to open a device may already change something.
        _check_regular(os.stat(path, follow_symlinks=follow).st_mode, path)  # noqa: PTH116  # a path is made in no time
        extra = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, READING | extra)
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), os.fspath(path)) from None
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(mode: int, path: str | Path) -> None:
    """Raise OSError for all but a regular file."""
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    kind = KINDS.get(stat.S_IFMT(mode), "something else")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))


def is_regular(path: str | Path) -> bool:
    """Tell whether there is a regular file, or a link to one, without opening it."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def read_bytes(path: str | Path, most: int, *, follow: bool = True) -> tuple[int, bytes]:
    """Return a regular file's size and its beginning.

    By few calls of the system and none of ``io``: to open a hundred thousand small files by
    ``open`` takes twice as long.

    Parameters
    ----------
    path
        The file.
    most
        Bytes to read at most.
    follow
        Whether it may be a link.

    Returns
    -------
    tuple of int and bytes
        The size in bytes, and what was read: less than the size where that is above ``most``.

    Raises
    ------
    OSError
        As of :func:`open_regular`, or if it cannot be read.
    """
    descriptor = open_regular(path, follow=follow)
    try:
        size = os.fstat(descriptor).st_size
        wanted = min(size, most)  # no more: os.read makes room for all that it is asked for
        content = os.read(descriptor, wanted)
        while len(content) < wanted and (more := os.read(descriptor, wanted - len(content))):
            content += more
        return size, content
    finally:
        os.close(descriptor)


def read_text(
    path: str | Path, error: type[PrivauditError], *, limit: int = MAX_TEXT, what: str = "text"
) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path
        The file.
    error
        What to raise.
    limit
        Bytes that it may have.
    what
        What it should be, for messages.

    Raises
    ------
    PrivauditError
        Of the type ``error``: if the file is missing, no regular file, too large, or no UTF-8.
    """
    try:
        size, content = read_bytes(path, limit)
    except FileNotFoundError:
        msg = f"{path} does not exist: check the path"
        raise error(msg) from None
    except OSError as failure:
        msg = f"{path} cannot be read ({failure.strerror or failure}): check what is there"
        raise error(msg) from failure
    if size > limit:
        msg = (
            f"{path} has {size:,} bytes, and at most {limit:,} are read as {what}: "
            "check that it is the right file, or write less into it"
        )
        raise error(msg)
    return decode_text(content, str(path), error)


def decode_text(content: bytes, where: str, error: type[PrivauditError]) -> str:
    """Decode UTF-8, with or without a byte-order mark; nothing of it is quoted in an error.

    Raises
    ------
    PrivauditError
        Of the type ``error``: if it is UTF-16, holds a NUL, or is no UTF-8.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        msg = f"{where} is UTF-16 or no text, not UTF-8: save it as UTF-8"
        raise error(msg)
    try:
        # Not by the codec utf-8-sig, which is written in Python.
        return content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start)
        byte = failure.start - content.rfind(b"\n", 0, failure.start)
        msg = (
            f"{where} is not UTF-8 at byte {byte} of line {line + 1}: save it as UTF-8 "
            "(it may be Latin-1)"
        )
        raise error(msg) from None  # the cause would quote the text


def read_json(path: str | Path, error: type[PrivauditError], *, limit: int = MAX_TEXT) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path, error, limit
        As of :func:`read_text`.

    Raises
    ------
    PrivauditError
        Of the type ``error``: as of :func:`read_text` and :func:`parse_json`.
    """
    return parse_json(read_text(path, error, limit=limit, what="JSON"), str(path), error)


def read_object(path: str | Path, error: type[PrivauditError]) -> dict[str, Any]:
    """Read a JSON file that holds an object, such as a library's configuration.

    Parameters
    ----------
    path, error
        As of :func:`read_text`.

    Raises
    ------
    PrivauditError
        Of the type ``error``: as of :func:`read_json`, or if it holds something else.
    """
    value = read_json(path, error)
    if not isinstance(value, dict):
        msg = f"{path} holds a {type(value).__name__}, not an object: check that it is whole"
        raise error(msg)
    return value


def parse_json(
    text: str | bytes, where: str, error: type[PrivauditError], *, way_out: str = "check it"
) -> Any:
    """Parse JSON that somebody else wrote.

    Parameters
    ----------
    text
        The JSON; bytes are decoded as by :func:`decode_text`.
    where
        Where it stands, for messages: they quote nothing of it.
    error
        What to raise.
    way_out
        What to do about JSON that is none, for messages.

    Raises
    ------
    PrivauditError
        Of the type ``error``: if it is no JSON, nested deeper than :data:`MAX_DEPTH`, or has a
        number of thousands of digits or half a character.

    Examples
    --------
    >>> from privaudit.errors import SampleError
    >>> parse_json('{"text": "a cat"}', "line 1", SampleError)
    {'text': 'a cat'}
    >>> parse_json("[" * 10_000, "line 2", SampleError)
    Traceback (most recent call last):
    privaudit.errors.SampleError: line 2 is not JSON (nested too deeply): check it
    """
    if isinstance(text, bytes):
        text = decode_text(text, where, error)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as failure:
        place = f"line {failure.lineno}, column {failure.colno}"
        msg = f"{where} is not JSON ({failure.msg}: {place}): {way_out}"
        raise error(msg) from None
    except RecursionError:
        msg = f"{where} is not JSON (nested too deeply): {way_out}"
        raise error(msg) from None
    except ValueError:  # Python's limit of the digits of a number
        msg = f"{where} is not JSON (a number of thousands of digits): {way_out}"
        raise error(msg) from None
    check_depth(value, where, error)
    if HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            msg = f"{where} is not JSON (it holds half a character): {way_out}"
            raise error(msg) from None
    return value


def read_toml(
    path: str | Path, error: type[PrivauditError], *, limit: int = 2**20
) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path, error, limit
        As of :func:`read_text`.

    Raises
    ------
    PrivauditError
        Of the type ``error``: as of :func:`read_text` and :func:`parse_toml`.
    """
    return parse_toml(read_text(path, error, limit=limit, what="TOML"), str(path), error)


def parse_toml(text: str, where: str, error: type[PrivauditError]) -> dict[str, Any]:
    """Parse TOML that somebody else wrote, as :func:`parse_json` parses JSON.

    Raises
    ------
    PrivauditError
        Of the type ``error``: if it is no TOML, or nested deeper than :data:`MAX_DEPTH`.
    """
    try:
        # tomllib takes time that grows with the square of the dots of one key.
        if max(map(_dots, text.splitlines()), default=0) > MAX_DEPTH:
            raise RecursionError
        value = tomllib.loads(text)
    except RecursionError:
        msg = f"{where} is not TOML (nested too deeply): check it"
        raise error(msg) from None
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as failure:
        # Beside its own error tomllib lets others out, of dates and keys that cannot be.
        reason = str(failure) if isinstance(failure, tomllib.TOMLDecodeError) else "a wrong value"
        msg = f"{where} is not TOML ({reason[:100]}): check it"
        raise error(msg) from None
    check_depth(value, where, error)
    return value


def _dots(line: str) -> int:
    """Count the dots of the keys in a line, as far as they can be told without parsing it."""
    return line.partition("=")[0].count(".")


def check_depth(value: Any, where: str, error: type[PrivauditError]) -> None:
    """Check that lists and objects are not nested deeper than :data:`MAX_DEPTH`.

    Raises
    ------
    PrivauditError
        Of the type ``error``.
    """
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += [v for v in one.values() if isinstance(v, (dict, list))]
            elif isinstance(one, list):
                inner += [v for v in one if isinstance(v, (dict, list))]
        level, depth = inner, depth + 1
        if depth == MAX_DEPTH and level:
            msg = f"{where} is nested deeper than {MAX_DEPTH} levels: check it"
            raise error(msg)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only; missing folders are made.

    A link is followed, and stays a link. The file's mode is 0600, also where a file was there.

    Parameters
    ----------
    path
        The file.
    content
        All of it.

    Raises
    ------
    OSError
        If it cannot be written, or if a device, FIFO, socket or folder has the name: a rename would
        put a file in its place.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "new" / "record.json"
    >>> write_private(file, b"{}")
    >>> oct(file.stat().st_mode & 0o777)
    '0o600'
    """
    folder = Path(os.path.realpath(path.parent))
    inside = [parent for parent in (folder, *folder.parents) if parent != MEMORY]
    devices = MEMORY not in inside and any(str(p) in {"/dev", "/proc"} for p in inside)
    # Where the name leads, so that a link is kept and its target replaced.
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        if devices or not stat.S_ISREG(target.lstat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file: name another one", str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # The temporary file is 0600 from its first byte on.
    file, draft = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
        os.replace(draft, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)  # noqa: PTH108
        raise
