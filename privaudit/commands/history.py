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
    parser.add_argument("file", type=Path, help="the file that --privaudit-history named")
    parser.add_argument("--audit", help="only audits whose name has this in it")
    parser.add_argument(
        "--result", help="such as attack-I-threshold; by default the highest of the last audit"
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import HistoryError
    from privaudit.history import HistoryFile
    from privaudit.report.history import render_history

    try:
        entries = HistoryFile(given.file).read()
    except HistoryError as error:
        return failed(str(error))
    chosen = [entry for entry in entries if given.audit is None or given.audit in entry.name]
    if not chosen:
        names = ", ".join(sorted({entry.name for entry in entries})) or "none"
        return failed(f"{given.file} has no such audit: it has {names}")
    print(*render_history(chosen, given.result), sep="\n")
    return 0
