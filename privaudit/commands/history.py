"""``privaudit history``: AUC over releases, and where it stepped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("history", help="earlier audits, plotted, and where AUCs stepped")
    parser.add_argument(
        "folder", type=Path, help="the folder of records that --privaudit-history named"
    )
    parser.add_argument("--audit", help="only audits whose name has this in it")
    parser.add_argument(
        "--result", help="such as attack-I-threshold; by default the highest of the last audit"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="also draw AUC over releases into this .svg or .png (extra 'study')",
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import HistoryError, PrivauditError
    from privaudit.history import read_history
    from privaudit.report.history import render_history

    try:
        entries = read_history(given.folder)
    except HistoryError as error:
        return failed(str(error))
    chosen = [entry for entry in entries if given.audit is None or given.audit in entry.name]
    if not chosen:
        names = ", ".join(sorted({entry.name for entry in entries})) or "none"
        return failed(f"{given.folder} has no such audit: it has {names}")
    print(*render_history(chosen, given.result), sep="\n")
    if given.plot is None:
        return 0
    from privaudit.report.history_plot import draw_history

    try:
        draw_history(chosen, given.plot, given.result)
    except PrivauditError as error:
        return failed(str(error))
    print(f"drawn: {given.plot}")
    return 0
