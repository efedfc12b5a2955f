"""``privaudit store show`` and ``privaudit store clear``: what earlier audits left behind."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="privaudit", description="Audits themselves are run by pytest: `pytest audits/`."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    store = commands.add_parser("store", help="the folder of generated images and similarities")
    store.add_argument("action", choices=["show", "clear"], help="its size, or remove all of it")
    store.add_argument(
        "--store", type=Path, help="the folder that --privaudit-store named; by default your own"
    )
    given = parser.parse_args(arguments)

    from privaudit.errors import PrivauditError
    from privaudit.store import Store, default_folder

    folder = given.store or default_folder()
    if not folder.is_dir():
        print(f"{folder} does not exist: nothing is stored")
        return 0
    try:
        opened = Store(folder)
        parts = [
            f"{count:,} {what} ({n_bytes / 1e6:,.1f} MB)"
            for what, (count, n_bytes) in opened.usage().items()
        ]
        if given.action == "clear":
            opened.clear()
    except (PrivauditError, OSError) as error:
        print(f"{folder}: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {' and '.join(parts)}{' removed' if given.action == 'clear' else ''}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
