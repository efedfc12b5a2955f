"""The command line beside pytest, which runs the audits themselves."""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import TYPE_CHECKING

from privaudit.commands import COMMANDS

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
        The exit status: 0 if all was done and nothing speaks against the model.
    """
    given = _parser().parse_args(arguments)
    return int(given.run(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="privaudit", description="Audits themselves are run by pytest: `pytest audits/`."
    )
    version = importlib.metadata.version("privaudit")
    parser.add_argument("--version", action="version", version=f"privaudit {version}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
