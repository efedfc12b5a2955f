"""``privaudit check``: whether a record clears a release, for pipelines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from privaudit.record import SessionRecord

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "check", help="exit with 0 only if a record is complete and every audit passed"
    )
    parser.add_argument("record", type=Path, help="the file that --privaudit-json wrote")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError
    from privaudit.record import read_json
    from privaudit.report.summary import printable

    try:
        session = read_json(given.record)
    except PrivauditError as error:
        return failed(str(error))
    why = next(_objections(session), "")
    if why:
        return failed(f"{given.record}: {printable(why, 600)}")
    print(f"{given.record}: {_said(session)}")
    return 0


def _said(session: SessionRecord) -> str:
    """Say what a record that clears a release has."""
    from privaudit.report.summary import summarise

    headings = Counter(summarise(audit).heading for audit in session.audits)
    n = sum(len(audit.all_results) for audit in session.audits)
    verdicts = ", ".join(f"{many} {heading}" for heading, many in headings.items())
    return f"complete, {n} results, audits: {verdicts}"


def _objections(session: SessionRecord) -> Iterator[str]:
    """Say why a record does not clear a release, a line each; nothing if it does."""
    from privaudit.report.summary import summarise

    if not session.audits:
        yield "it has 0 audits: nothing is known of any model"
    if not session.complete:
        yield "it is not complete: the session ended before its audits did"
    for audit in session.audits:
        one = summarise(audit)
        if not audit.complete:
            yield f"{one.name} is not complete: {one.sentence}"
        if not audit.all_results:
            yield f"{one.name} has 0 results: {one.sentence}"
        if audit.verdict != "pass" and (audit.unexpected or not audit.expected):
            yield f"{one.name}: {one.heading}: {one.sentence}"
    yield from session.notes
    if session.exit_status:
        yield f"the session ended with status {session.exit_status}: another of its tests failed"
