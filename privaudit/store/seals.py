"""Keyed checksums of what is stored: who does not have the key cannot change a verdict."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from typing import TYPE_CHECKING

from privaudit.errors import StoreError
from privaudit.files import open_regular, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["SIZE", "VARIABLE", "Seal", "get_id_names", "load_key"]

VARIABLE = "PRIVAUDIT_STORE_KEY"
SHORTEST = 16
"""Characters of a key from the environment."""
SIZE = 32
"""Bytes of a seal, and of a key that is made here."""
ENCODING = ("utf-8", "surrogatepass")
ANOTHER = f"set {VARIABLE} to {SHORTEST} characters or more, or pass --privaudit-store-shared"


class Seal:
    """Makes and checks the seals of entries: a hash of the entry's key and content.

    Parameters
    ----------
    key
        A secret of the user's own, so that nobody else can make a seal. Empty for a plain
        checksum, which notices damage and not intent.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = hashlib.blake2b(key, digest_size=SIZE).digest() if key else b""

    def __call__(self, name: str, content: bytes) -> bytes:
        """Return the seal of an entry."""
        digest = hashlib.blake2b(key=self._key, digest_size=SIZE)
        encoded = name.encode(*ENCODING)
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(content)
        return digest.digest()

    def of_files(self, name: str, folder: Path) -> bytes:
        """Return the seal of a folder's files, their names among them.

        Raises
        ------
        OSError
            If one cannot be read, or is no regular file.
        """
        contents = hashlib.blake2b(digest_size=SIZE)
        for path in sorted(folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            with open(open_regular(path, follow=False), "rb") as file:  # noqa: PTH123
                digest = hashlib.file_digest(file, "blake2b")
            contents.update(f"{path.relative_to(folder).as_posix()}\0".encode(*ENCODING))
            contents.update(digest.digest())
        return self(name, contents.digest())

    def fits(self, name: str, content: bytes, seal: bytes) -> bool:
        """Check that an entry is the one that was kept under this name, with this key."""
        return hmac.compare_digest(self(name, content), seal)


def get_id_names() -> Callable[[str], str]:
    """Return keyed hashes of sample ids, which without this user's key cannot be looked up.

    Raises
    ------
    StoreError
        As of :func:`load_key`.
    """
    seal = Seal(load_key())
    return lambda one: seal("sample", one.encode(*ENCODING)).hex()[:20]


def load_key(*, shared: bool = False) -> bytes:
    """Return the key of this user's stores: from the environment, or from a file made on first use.

    Parameters
    ----------
    shared
        Whether others share the store: then only the environment's key counts, if there is one.

    Raises
    ------
    StoreError
        If the key is too short, or its file cannot be made, is readable by others or damaged.
    """
    from_environment = os.environ.get(VARIABLE, "")
    if from_environment:
        if len(from_environment) < SHORTEST:
            msg = (
                f"{VARIABLE} has {len(from_environment)} characters, and a guessed key lets "
                f"others change verdicts: take {SHORTEST} or more, such as those of `openssl rand "
                "-hex 16`"
            )
            raise StoreError(msg)
        return from_environment.encode("utf-8", "surrogateescape")
    if shared:
        return b""
    from platformdirs import user_config_path

    file = user_config_path("privaudit", appauthor=False) / "store.key"
    try:
        if not file.exists():
            _make(file)
        key = read_bytes(file, 1024)[1]
        mode = file.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        msg = (
            f"the key of your store cannot be kept in {file} ({error}), and without one others "
            f"could change verdicts\n{ANOTHER}"
        )
        raise StoreError(msg) from error
    if len(key) != SIZE or (hasattr(os, "geteuid") and mode & 0o077):
        what = "readable by others" if len(key) == SIZE else "damaged"
        msg = (
            f"{file}, the key of your store, is {what}\n"
            "remove it: a new one is made, and what is stored is made again"
        )
        raise StoreError(msg)
    return key


def _make(file: Path) -> None:
    """Make the key's file, unless another process is first."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened, draft = tempfile.mkstemp(prefix=".key.", dir=file.parent)  # 0600
    try:
        with os.fdopen(opened, "wb") as written:
            written.write(secrets.token_bytes(SIZE))
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)  # unlike a rename, never over another process's key
    finally:
        os.unlink(draft)  # noqa: PTH108
