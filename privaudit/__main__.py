"""``privaudit store show`` and ``privaudit store clear``: what earlier audits left behind."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0 if all was done, 1 if the store could not be read or cleared.
    """
    given = _parser().parse_args(arguments)

    from privaudit.errors import PrivauditError
    from privaudit.store import Store, default_folder

    folder = given.store or default_folder()
    try:
        if not folder.exists():
            print(f"{folder} does not exist: nothing is stored")
            return 0
        if not folder.is_dir():
            return _failed(f"{folder} is no folder: name the one that --privaudit-store named")
        store = Store(folder)
        parts = [
            f"{count:,} {what} ({n_bytes / 1e6:,.1f} MB)"
            for what, (count, n_bytes) in store.usage().items()
            if what != "models" or count
        ]
        if given.action == "clear":
            store.clear()
    except (PrivauditError, OSError) as error:
        what = "is not cleared" if given.action == "clear" else "cannot be shown"
        return _failed(f"{folder} {what}: {error}")
    shown = " and ".join([", ".join(parts[:-1]), parts[-1]])
    print(f"{folder}: {shown}{' removed' if given.action == 'clear' else ''}")
    return 0


def _failed(message: str) -> int:
    print(f"privaudit: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="privaudit", description="Audits themselves are run by pytest: `pytest audits/`."
    )
    version = importlib.metadata.version("privaudit")
    parser.add_argument("--version", action="version", version=f"privaudit {version}")
    commands = parser.add_subparsers(dest="command", required=True)
    store = commands.add_parser("store", help="the folder of generated images and similarities")
    store.add_argument("action", choices=["show", "clear"], help="its size, or remove all of it")
    store.add_argument(
        "--store", type=Path, help="the folder that --privaudit-store named; by default your own"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
