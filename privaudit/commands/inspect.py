"""``privaudit inspect``: what a file of weights gives away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "inspect", help="what the header of a .safetensors file says of the training data"
    )
    parser.add_argument("file", type=Path, help="an adapter, or any other file of weights")
    parser.add_argument("--clean", type=Path, metavar="NEW", help="write a copy without it")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.diffusion.disclosure import inspect_header, write_clean_copy
    from privaudit.errors import DisclosureError

    try:
        found = inspect_header(given.file)
        if given.clean is not None:
            write_clean_copy(given.file, given.clean)
    except DisclosureError as error:
        return failed(str(error))
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
