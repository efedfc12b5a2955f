"""``privaudit report``: a record, rendered again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]

PATHS = {
    "html": "the report as one HTML file (extra 'report')",
    "markdown": "one screen of Markdown",
    "junit": "JUnit's XML",
    "metrics": "OpenMetrics, as GitLab compares them",
    "badge": "the JSON of a badge",
}


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("report", help="render a record: terminal, HTML, Markdown, JUnit")
    parser.add_argument("record", type=Path, help="the file that --privaudit-json wrote")
    for name, what in PATHS.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            metavar="FILE",
            nargs="?" if name == "markdown" else None,
            const=Path("-") if name == "markdown" else None,
            help=f"write {what}" + (", by default to the terminal" if name == "markdown" else ""),
        )
    parser.add_argument("-v", "--verbose", action="store_true", help="every result, every check")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError
    from privaudit.record import read_json
    from privaudit.report.files import write_output

    wanted = {name: path for name in PATHS if (path := getattr(given, name)) is not None}
    try:
        if "html" in wanted:
            from privaudit.report.html import check_report_extra

            check_report_extra()
        session = read_json(given.record)
        texts = {name: _rendered(name, session) for name in wanted}
        for name, path in wanted.items():
            if path == Path("-"):
                print(texts[name], end="")
            else:
                write_output(path, texts[name], private=name == "html")
                print(f"written: {path}")
    except PrivauditError as error:
        return failed(str(error))
    if not wanted:
        from privaudit.report.terminal import render

        width = shutil.get_terminal_size().columns
        lines = render(session.audits, session.notes, width=width, verbose=given.verbose)
        print(*lines, sep="\n")
    return 0


def _rendered(name: str, session: Any) -> str:
    if name == "html":
        from privaudit.report.html import render_html

        return render_html(session)
    if name == "markdown":
        from privaudit.report.markdown import render_markdown

        return render_markdown(session)
    if name == "junit":
        from privaudit.report.junit import render_junit

        return render_junit(session)
    from privaudit.report.ci import render_badge, render_metrics

    return render_metrics(session) if name == "metrics" else render_badge(session)
