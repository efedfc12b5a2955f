"""The command line beside pytest: what earlier audits left behind, and what a file gives away."""

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
        The exit status: 0 if all was done, 1 if the store could not be read or cleared, the
        file gives something away, or a list of queries could not be written.
    """
    given = _parser().parse_args(arguments)
    commands = {"inspect": _inspect, "queries": _queries, "store": _store}
    return commands[given.command](given)


def _queries(given: argparse.Namespace) -> int:
    import pytest

    from privaudit.audit.lists import QueryLists
    from privaudit.errors import PrivauditError

    lists = QueryLists()
    options = ["--privaudit-plan", "--no-header", "--no-summary", "-q"]
    code = pytest.main([*given.arguments, *options], plugins=[lists])
    if code:
        return _failed("the audits cannot be planned, so nothing was written")
    if not lists:
        return _failed(
            "no audit there asks a privaudit.PictureFolder: return one from target_model, "
            "shadow_model or base_model"
        )
    try:
        print(*lists.write(), sep="\n")
    except PrivauditError as error:
        return _failed(str(error))
    return 0


def _inspect(given: argparse.Namespace) -> int:
    from privaudit.diffusion.disclosure import inspect_header, write_clean_copy
    from privaudit.errors import DisclosureError

    try:
        found = inspect_header(given.file)
        if given.clean is not None:
            write_clean_copy(given.file, given.clean)
    except DisclosureError as error:
        return _failed(str(error))
    if not found:
        print(f"{given.file}: its header says nothing of the training data")
    else:
        print(f"{given.file} tells whoever downloads it:", *found, sep="\n  ")
    if given.clean is not None:
        print(f"{given.clean} has the same weights, and says nothing")
        return 0
    if found:
        print(f"A copy that says nothing: privaudit inspect {given.file} --clean NEW.safetensors")
    return int(bool(found))


def _store(given: argparse.Namespace) -> int:
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
    inspect = commands.add_parser(
        "inspect", help="what the header of a .safetensors file says of the training data"
    )
    inspect.add_argument("file", type=Path, help="an adapter, or any other file of weights")
    inspect.add_argument("--clean", type=Path, metavar="NEW", help="write a copy without it")
    queries = commands.add_parser(
        "queries", help="write the list of pictures that audits of a folder of pictures need"
    )
    queries.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        help="audit files or folders, and settings, as pytest has them",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
