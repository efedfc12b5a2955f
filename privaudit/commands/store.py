"""``privaudit store``: what earlier audits left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("store", help="the folder of generated images and similarities")
    parser.add_argument("action", choices=["show", "clear"], help="its size, or remove all of it")
    parser.add_argument(
        "--store", type=Path, help="the folder that --privaudit-store named; by default your own"
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError
    from privaudit.store import Store, default_folder

    folder = given.store or default_folder()
    try:
        if not folder.exists():
            print(f"{folder} does not exist: nothing is stored")
            return 0
        if not folder.is_dir():
            return failed(f"{folder} is no folder: name the one that --privaudit-store named")
        store = Store(folder, shared=True)  # to look and to clear: nothing in it is believed
        parts = [
            f"{count:,} {what} ({n_bytes / 1e6:,.1f} MB)"
            for what, (count, n_bytes) in store.usage().items()
            if what != "models" or count
        ]
        if given.action == "clear":
            store.clear()
    except (PrivauditError, OSError) as error:
        what = "is not cleared" if given.action == "clear" else "cannot be shown"
        return failed(f"{folder} {what}: {error}")
    shown = " and ".join([", ".join(parts[:-1]), parts[-1]])
    print(f"{folder}: {shown}{' removed' if given.action == 'clear' else ''}")
    return 0
