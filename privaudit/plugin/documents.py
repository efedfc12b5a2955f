"""What a session writes for people beside its record: the report, and a summary of the job."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from privaudit.record import SessionRecord
    from privaudit.settings import SessionSettings

__all__ = ["annotate", "report_path", "write_documents"]


def report_path(settings: SessionSettings) -> Path | None:
    """Return where the report belongs: where the settings say; under strict, beside the JSON."""
    if settings.report is not None or settings.json is None or not settings.strict:
        return settings.report
    return settings.json.with_suffix(".html") if settings.json.suffix != ".html" else None


def write_documents(settings: SessionSettings, record: SessionRecord) -> tuple[str, list[str]]:
    """Write the report and the job's summary, as far as they are wanted.

    Returns
    -------
    str and list of str
        What to say of the report, and what could not be written that was asked for.
    """
    from privaudit.report.ci import append_step_summary

    said = append_step_summary(record)
    path = report_path(settings)
    if path is None:
        return said, []
    if settings.report is None and find_spec("matplotlib") is None:
        return 'no report: it needs matplotlib, pip install "privaudit[report]"', []
    from privaudit.report.files import write_output
    from privaudit.report.html import render_html

    try:
        write_output(path, render_html(record), private=True)
    except Exception as error:  # the record is written, and a verdict is due
        return said, [f"the report {path} could not be written: {error}"]
    return said, []


def annotate(reds: Mapping[str, str], places: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Yield what has GitHub show each red item on its test's line; nothing elsewhere.

    Parameters
    ----------
    reds
        Why each item is red, by its id.
    places
        File, and line from 1, by the item's id.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from privaudit.report.ci import render_annotation

    for nodeid, why in reds.items():
        if why and nodeid in places:
            yield render_annotation(*places[nodeid], why.partition("\n")[0])
