"""What an axis found: rows of numbers, and what was left out; as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.errors import RecordError
from privaudit.files import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from privaudit.record import AttackResult, Rate
    from privaudit.statistics import AucInterval

__all__ = [
    "CONFIDENCE",
    "HALF",
    "Row",
    "Table",
    "earlier_tables",
    "left_out_words",
    "row_of",
    "write_tables",
]

CONFIDENCE = 0.95
"""Of each interval of a study, both sides together, and of each by itself."""
AT_FPR = 0.01
HALF = " ±"
"""Ends the name of what stands beside a row and is half of an interval: of the value so named."""


@dataclass(frozen=True)
class Row:
    """One result of one cell: a scenario with an inference model.

    Attributes
    ----------
    cell, x
        The cell's label, and its place on the axis where it is a number.
    scenario, attack
        ``"I"`` to ``"IV"``, and the inference model.
    auc, auc_low, auc_high
        ROC-AUC with its interval.
    success, success_low, success_high
        Accuracy at a threshold fixed on the calibration set, both classes weighing the same.
    tpr, tpr_low, tpr_high, fpr
        Share of members found at a threshold that let 1 % of the calibration non-members
        through, and the share of the evaluated non-members that it let through; ``None`` with
        fewer than 100 of either.
    members, non_members, known_members, known_non_members
        Sizes of the evaluation and of the calibration set.
    queries
        Images a sample.
    beside
        What else the axis measured, by name; half of its interval by that name and :data:`HALF`.
    """

    cell: str
    x: float | None
    scenario: str
    attack: str
    auc: float
    auc_low: float
    auc_high: float
    success: float
    success_low: float
    success_high: float
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    fpr: float | None
    members: int
    non_members: int
    known_members: int
    known_non_members: int
    queries: int
    beside: Mapping[str, float | None] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Return all values by column, those beside at the end."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        beside = own.pop("beside")
        return {**own, **beside}


@dataclass
class Table:
    """All that one axis found.

    Attributes
    ----------
    axis, question
        Its name, and what it asks.
    x_label
        What the cells differ by, with its unit.
    rows
        In the order of the cells.
    left_out
        Why cells or results are missing, by what is missing.
    notes
        What a reader should know, a sentence each.
    curves
        Further series of numbers by name, such as a power curve: each maps a column to values.
    pictures
        Files beside the plot.
    audit, settings
        Whose study it is of, and its settings where they are not the defaults.
    drawn, seconds
        Images that this run drew for the axis, and how long it took.
    """

    axis: str
    question: str
    x_label: str = ""
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    audit: str = ""
    settings: str = ""
    drawn: int = 0
    seconds: float = 0.0

    @property
    def scenarios(self) -> list[str]:
        """The scenarios of its rows, in order."""
        return list(dict.fromkeys(row.scenario for row in self.rows))

    @property
    def attacks(self) -> list[str]:
        """The inference models of its rows, in order."""
        return list(dict.fromkeys(row.attack for row in self.rows))

    @property
    def cells(self) -> list[str]:
        """The labels of its cells, in order."""
        return list(dict.fromkeys(row.cell for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, without what differs from run to run."""
        return {
            "axis": self.axis,
            "audit": self.audit,
            "settings": self.settings,
            "question": self.question,
            "x_label": self.x_label,
            "confidence": CONFIDENCE,
            "rows": [row.values() for row in self.rows],
            "left_out": self.left_out,
            "notes": self.notes,
            "curves": self.curves,
            "pictures": self.pictures,
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Table:
        """Read what :meth:`to_dict` returned.

        Raises
        ------
        KeyError, TypeError
            If it is something else.
        """
        own = {f.name for f in dataclasses.fields(Row)} - {"beside"}
        rows = [
            Row(
                **{name: value for name, value in row.items() if name in own},
                beside={name: value for name, value in row.items() if name not in own},
            )
            for row in written["rows"]
        ]
        values = {name: value for name, value in written.items() if name != "confidence"}
        return cls(**{**values, "rows": rows})


def row_of(
    result: AttackResult,
    *,
    cell: str,
    x: float | None = None,
    queries: int,
    beside: Mapping[str, float | None] | None = None,
) -> Row:
    """Take the numbers of a row out of an audit's result.

    The interval of the AUC is that of one result by itself: a study describes, and decides
    nothing. An audit's own bounds hold for all its results together, and are wider.

    Parameters
    ----------
    result
        What an audit found.
    cell, x, queries, beside
        As of :class:`Row`.
    """
    from privaudit.statistics import auc_interval

    auc = auc_interval(
        list(result.member_scores.values()), list(result.non_member_scores.values()), CONFIDENCE
    )
    point = result.at_fpr(AT_FPR)
    return make_row(
        (cell, x, result.scenario.removeprefix("attack-"), result.attack),
        auc,
        result.success_rate,
        None if point is None else point.tpr,
        None if point is None else point.fpr.value,
        evaluated=(result.evaluation.members, result.evaluation.non_members),
        known=(result.calibration.members, result.calibration.non_members),
        queries=queries,
        beside=beside,
    )


def make_row(
    who: tuple[str, float | None, str, str],
    auc: AucInterval,
    success: Rate,
    tpr: Rate | None,
    fpr: float | None,
    *,
    evaluated: tuple[int, int],
    known: tuple[int, int],
    queries: int,
    beside: Mapping[str, float | None] | None = None,
) -> Row:
    """Put a row together of what statistics and records say.

    Parameters
    ----------
    who
        Cell, x, scenario and inference model.
    auc, success, tpr, fpr
        The estimates, as of :class:`Row`.
    evaluated, known
        Members and non-members of the evaluation and of the calibration set.
    queries, beside
        As of :class:`Row`.
    """
    cell, x, scenario, attack = who
    return Row(
        cell=cell,
        x=x,
        scenario=scenario,
        attack=attack,
        auc=auc.auc,
        auc_low=auc.low,
        auc_high=auc.high,
        success=success.value,
        success_low=success.interval.low,
        success_high=success.interval.high,
        tpr=None if tpr is None else tpr.value,
        tpr_low=None if tpr is None else tpr.interval.low,
        tpr_high=None if tpr is None else tpr.interval.high,
        fpr=fpr,
        members=evaluated[0],
        non_members=evaluated[1],
        known_members=known[0],
        known_non_members=known[1],
        queries=queries,
        beside=dict(beside or {}),
    )


# ---------------------------------------------------------------------------- files


def write_tables(table: Table, folder: Path) -> None:
    """Write ``AXIS.json``, ``AXIS.csv`` and ``AXIS.md`` into a folder that exists."""
    written = json.dumps(table.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / f"{table.axis}.json").write_text(written + "\n", encoding="utf-8")
    names = list(dict.fromkeys(name for row in table.rows for name in row.values()))
    with (folder / f"{table.axis}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        for row in table.rows:
            writer.writerow({n: "" if v is None else v for n, v in row.values().items()})
    (folder / f"{table.axis}.md").write_text(markdown(table), encoding="utf-8")


def earlier_tables(folder: Path, audit: str, axes: Sequence[str]) -> dict[str, Table]:
    """Read what earlier runs wrote of an audit into a folder.

    Parameters
    ----------
    folder
        Where the tables are.
    audit
        Its name: tables of others, and files that are no tables, are passed over.
    axes
        Names, in order.
    """
    found = {}
    for axis in axes:
        try:
            written = read_object(folder / f"{axis}.json", RecordError)
            table = Table.from_dict(written)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if (table.axis, table.audit) == (axis, audit):
            found[axis] = table
    return found


def markdown(table: Table) -> str:
    """Return a table as a page of Markdown."""
    from tabulate import tabulate

    rows = shown_rows(table)
    lines = [f"# {table.axis}", "", table.question, ""]
    if rows:
        header, *body = rows
        lines += [tabulate(body, header, tablefmt="github", disable_numparse=True), ""]
    lines += [f"- {line}" for line in (*left_out_words(table), *table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def left_out_words(table: Table) -> list[str]:
    """Say what was left out, a line each."""
    return [f"left out: {what}: {why}" for what, why in table.left_out.items()]


def shown_rows(table: Table) -> list[list[str]]:
    """Return header and rows as a reader sees them; nothing without rows."""
    if not table.rows:
        return []
    beside = [n for n in dict.fromkeys(n for r in table.rows for n in r.beside) if HALF not in n]
    header = [
        "cell",
        "scenario",
        "inference model",
        "AUC (95 %)",
        "success rate",
        "TPR at 1 % FPR",
        "evaluated",
        "known",
        "m",
        *beside,
    ]
    return [header, *(_shown(row, beside) for row in table.rows)]


def _shown(row: Row, beside: Sequence[str]) -> list[str]:
    tpr = "n < 100"
    if row.tpr is not None and row.fpr is not None:
        tpr = f"{row.tpr:.3f} (FPR {row.fpr:.3f})"
    return [
        row.cell,
        row.scenario,
        row.attack,
        f"{row.auc:.3f} ({row.auc_low:.3f}–{row.auc_high:.3f})",
        f"{row.success:.3f}",
        tpr,
        f"{row.members}+{row.non_members}",
        f"{row.known_members}+{row.known_non_members}",
        str(row.queries),
        *(_shown_beside(row, name) for name in beside),
    ]


def _shown_beside(row: Row, name: str) -> str:
    value, half = row.beside.get(name), row.beside.get(name + HALF)
    if value is None:
        return "–"
    return f"{value:.4g}" if half is None else f"{value:.4f} ± {half:.4f}"
