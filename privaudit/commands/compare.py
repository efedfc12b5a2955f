"""``privaudit compare``: two records beside each other, the same samples paired."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

    from privaudit.record import AuditRecord

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("compare", help="two records: what the second gives away more")
    parser.add_argument("before", type=Path, help="the record of the release before")
    parser.add_argument("after", type=Path, help="the record of the release that is to be judged")
    parser.add_argument(
        "--max-rise",
        type=float,
        default=0.0,
        metavar="X",
        help="rise of an AUC that is accepted; by default any rise that is shown is not",
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    import privaudit
    from privaudit.errors import PrivauditError
    from privaudit.record import read_json
    from privaudit.report.comparison import change_lines

    try:
        before, after = read_json(given.before), read_json(given.after)
        pairs = _pairs(before.audits, after.audits)
        if not pairs:
            names = ", ".join(audit.name for audit in before.audits) or "none"
            return failed(f"{given.after} has no audit of {given.before}, which has {names}")
        risen = 0
        for old, new in pairs:
            both = privaudit.compare(old, new)
            width = shutil.get_terminal_size().columns
            print(f"{new.name}: {old.verdict} before, {new.verdict} now")
            print(*change_lines(both, width), "", sep="\n")
            changes = [one.comparison for one in both.all_results if one.comparison is not None]
            risen += sum(not one.bounds.low <= given.max_rise for one in changes)
    except PrivauditError as error:
        return failed(str(error))
    if risen:
        return failed(f"{risen} results rose by more than {given.max_rise:g}, and it is shown")
    return 0


def _pairs(
    before: list[AuditRecord], after: list[AuditRecord]
) -> list[tuple[AuditRecord, AuditRecord]]:
    """Put audits of one name together; one audit each is a pair whatever its name."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    named = {audit.name: audit for audit in before}
    return [(named[audit.name], audit) for audit in after if audit.name in named]
