"""``privaudit queries``: what has to be drawn for a folder of pictures."""

from __future__ import annotations

import argparse
from typing import Any

from privaudit.commands.planned import plan
from privaudit.commands.said import failed

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "queries", help="write the list of pictures that audits of a folder of pictures need"
    )
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        help="audit files or folders, and settings, as pytest has them",
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.audit.plan import QueryLists
    from privaudit.errors import PrivauditError

    lists = QueryLists()
    if plan(given.arguments, lists):
        return failed("the audits cannot be planned, so nothing was written")
    if not lists:
        return failed(
            "no audit there asks a privaudit.PictureFolder: return one from target_model, "
            "shadow_model or base_model"
        )
    try:
        print(*lists.write(), sep="\n")
    except PrivauditError as error:
        return failed(str(error))
    return 0
