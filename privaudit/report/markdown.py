"""One screen of Markdown: a job's summary, a comment on a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privaudit.report.html import model_name
from privaudit.report.summary import printable, summarise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.record import AuditRecord, SessionRecord

__all__ = ["LIMIT", "render_markdown"]

LIMIT = 32_000
"""Bytes: GitHub drops a summary of more than a mebibyte, all of it, and says nothing."""
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@:-])")


def render_markdown(session: SessionRecord, limit: int = LIMIT) -> str:
    r"""Render all audits of a session as Markdown.

    Parameters
    ----------
    session
        The record.
    limit
        Bytes at most; audits that have no room are counted.

    Examples
    --------
    >>> from privaudit.record import AuditRecord, SessionRecord
    >>> session = SessionRecord(privaudit_version="1", audits=[AuditRecord(name="faces")])
    >>> print(render_markdown(session).splitlines()[0])
    ### UNKNOWN: The model of faces is not cleared for release\: the audit gives no answer
    """
    parts = [_one(audit) for audit in session.audits]
    parts += ["\n".join(f"- {_escape(printable(note, 1000))}" for note in session.notes)]
    kept: list[str] = []
    size = 200
    for place, part in enumerate(filter(None, parts)):
        size += len(part.encode()) + 2
        if size > limit:
            kept.append(f"{len(parts) - place} more are in the record: no room here.")
            break
        kept.append(part)
    return "\n\n".join(kept) + "\n"


def _one(audit: AuditRecord) -> str:
    return "\n".join(_lines(audit))


def _lines(audit: AuditRecord) -> Iterator[str]:
    one = summarise(audit)
    yield f"### {one.heading}: {_escape(model_name(audit))} {_escape(one.release)}"
    yield ""
    yield _escape(printable(one.sentence, 2000))
    rows = [
        (
            each.label,
            each.result.name,
            f"{each.result.auc:.3f}",
            f"{each.result.interval.low:.3f} to {each.result.interval.high:.3f}",
            f"{each.result.budget:g}",
            each.words,
        )
        for each in one.evidence
        if each.result is not None
    ]
    if rows:
        yield ""
        yield from _table(("access", "strongest", "AUC", "bounds", "budget", "verdict"), rows)
    missing = [each.label for each in one.evidence if each.result is None]
    if missing and rows:
        yield ""
        yield f"Not run: {', '.join(missing)}."
    yield ""
    for doubt in one.doubts:
        yield f"- but: {_escape(printable(doubt, 1000))}"
    for line in one.advice:
        yield f"- now: {_escape(printable(line, 1000))}"
    yield ""
    yield f"<sub>{_escape(one.name)}</sub>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(['---'] * len(columns))}|"
    for row in rows:
        yield f"| {' | '.join(map(_escape, row))} |"


def _escape(text: str) -> str:
    """Write a text so that Markdown shows it as it is: no markup, no mention, no link."""
    return SPECIAL.sub(r"\\\1", text).replace("\\-", "-").replace("\\(", "(").replace("\\)", ")")
