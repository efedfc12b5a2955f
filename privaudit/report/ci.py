"""What continuous integration shows beside a log: summary, annotations, metrics, a badge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.report.markdown import LIMIT, render_markdown
from privaudit.report.summary import printable, summarise

if TYPE_CHECKING:
    from collections.abc import Callable

    from privaudit.record import AttackResult, SessionRecord

__all__ = ["append_step_summary", "render_annotation", "render_badge", "render_metrics"]

SUMMARY = "GITHUB_STEP_SUMMARY"
COLOURS = {"pass": "brightgreen", "fail": "red"}
MEASURES: dict[str, tuple[str, Callable[[AttackResult], float]]] = {
    "auc": ("ROC-AUC of membership inference", lambda one: one.auc),
    "auc_low": ("lower bound of the AUC", lambda one: one.interval.low),
    "auc_high": ("upper bound of the AUC", lambda one: one.interval.high),
    "budget": ("largest AUC accepted", lambda one: one.budget),
}


def append_step_summary(session: SessionRecord) -> str:
    """Append one screen to the summary of a job of GitHub Actions, where there is one.

    Parameters
    ----------
    session
        The record.

    Returns
    -------
    str
        What kept it from being written; empty if it was, or if this is no such job.
    """
    where = os.environ.get(SUMMARY)
    if not where or not session.audits:
        return ""
    try:
        path = Path(where)
        room = LIMIT - (path.stat().st_size if path.exists() else 0)
        if room < 1000:
            return f"${SUMMARY} has no room: the audits are not in the job's summary"
        with path.open("a", encoding="utf-8") as file:
            file.write(render_markdown(session, room))
    except OSError as error:
        return f"${SUMMARY} cannot be written ({error}): the audits are not in the job's summary"
    return ""


def render_annotation(path: str, line: int, message: str) -> str:
    """Return the command that has GitHub show a message on a test's line.

    Parameters
    ----------
    path
        The test's file, from the root of the repository.
    line
        From 1.
    message
        One sentence.

    Examples
    --------
    >>> render_annotation("audits/test_a.py", 7, "AUC 0.9 > budget 0.6: 100%")
    '::error file=audits/test_a.py,line=7,title=privaudit::AUC 0.9 > budget 0.6: 100%25'
    """
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = path.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::error file={place},line={line},title=privaudit::{text}"


def render_metrics(session: SessionRecord) -> str:
    r"""Render the results in OpenMetrics, which GitLab compares on a merge request.

    Parameters
    ----------
    session
        The record.

    Examples
    --------
    >>> from privaudit.record import SessionRecord
    >>> render_metrics(SessionRecord(privaudit_version="1"))
    '# EOF\n'
    """
    lines: list[str] = []
    results = [(audit, one) for audit in session.audits for one in audit.all_results]
    for name, (meaning, measure) in MEASURES.items() if results else ():
        lines.append(f"# HELP privaudit_{name} {meaning}")
        lines.append(f"# TYPE privaudit_{name} gauge")
        lines += [
            f'privaudit_{name}{{audit="{_label(audit.name)}",result="{_label(one.name)}"}} '
            f"{measure(one):.6g}"
            for audit, one in results
        ]
    if session.audits:
        lines.append("# HELP privaudit_pass whether an audit passed")
        lines.append("# TYPE privaudit_pass gauge")
        lines += [
            f'privaudit_pass{{audit="{_label(audit.name)}"}} '
            f"{int(audit.verdict == 'pass' and audit.complete)}"
            for audit in session.audits
        ]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _label(text: str) -> str:
    return printable(text, 500).replace("\\", "\\\\").replace('"', '\\"')


def render_badge(session: SessionRecord) -> str:
    """Render the JSON of a badge, as shields.io's endpoint reads it: the worst audit's verdict.

    Parameters
    ----------
    session
        The record.

    Examples
    --------
    >>> from privaudit.record import SessionRecord
    >>> import json
    >>> json.loads(render_badge(SessionRecord(privaudit_version="1")))["message"]
    'no audit'
    """
    order = ("fail", "invalid", "unknown", "inconclusive", "pass")
    worst = min(session.audits, key=lambda audit: order.index(audit.verdict), default=None)
    message, colour = "no audit", "lightgrey"
    if worst is not None:
        one = summarise(worst)
        colour = COLOURS.get(one.verdict, "yellow") if one.heading.isupper() else "yellow"
        message = one.heading.lower()
        best = max(worst.all_results, key=lambda each: each.auc, default=None)
        if best is not None:
            message += f", AUC {best.auc:.2f} of {best.budget:g}"
        if not session.complete:
            message, colour = "incomplete", "yellow"
    badge = {"schemaVersion": 1, "label": "privacy audit", "message": message, "color": colour}
    return json.dumps(badge) + "\n"
