"""One cell of an axis: an audit, or one with another sets, turned into rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.audit.checks.target import judge_answers
from privaudit.audit.verdict import rates
from privaudit.errors import EngineError, InvalidAuditError, PrivauditError, StoreError
from privaudit.statistics import auc_interval
from privaudit.study.table import AT_FPR, CONFIDENCE, Row, Table, make_row, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privaudit.audit import Audit
    from privaudit.audit.sets import Sets

__all__ = ["Cell", "LeftOut", "add_rows"]


class LeftOut(Exception):  # noqa: N818  # no error: an axis, or a cell of it, does not apply
    """Why an axis, or one cell of it, does not apply to what the owner brought.

    Parameters
    ----------
    reason
        In one line.
    cell
        The cell's label, unless it is the whole axis.
    """

    def __init__(self, reason: str, cell: str = "") -> None:
        super().__init__(reason)
        self.reason, self.cell = reason, cell


@dataclass(frozen=True)
class Cell:
    """One point of an axis.

    Attributes
    ----------
    label, x
        What it is called, and its place where it is a number.
    audit
        The audit that differs from the owner's in what the axis is about.
    change
        Another sets on the same models and samples, such as other prompts; ``None`` for
        the audit's own.
    beside
        What else was measured.
    only
        The scenarios that it looks at, where those are not all of the axis.
    """

    label: str
    audit: Audit
    x: float | None = None
    change: Callable[[Sets], Sets] | None = None
    beside: Mapping[str, float | None] = field(default_factory=dict)
    only: tuple[str, ...] | None = None


def add_rows(
    table: Table, cell: Cell | LeftOut, scenarios: Sequence[str], attacks: Sequence[str]
) -> None:
    """Run all results of one cell, and add them, or why they are missing, to a table."""
    if isinstance(cell, LeftOut):
        table.left_out[cell.cell] = cell.reason
        return
    missing: dict[str, list[str]] = {}
    n = len(table.rows)
    for scenario in (s for s in scenarios if cell.only is None or s in cell.only):
        for attack in attacks:
            try:
                table.rows.append(_row(cell, scenario, attack))
            except (EngineError, StoreError):
                raise  # of the machine, not of this cell
            except PrivauditError as error:
                reason = "; ".join(str(error).split("\n")) or type(error).__name__
                missing.setdefault(reason, []).append(f"attack-{scenario}-{attack}")
    whole = len(table.rows) == n and len(missing) == 1
    for reason, results in missing.items():
        what = cell.label if whole else f"{cell.label}, {', '.join(results)}"
        table.left_out[what] = reason


def _row(cell: Cell, scenario: str, attack: str) -> Row:
    audit = cell.audit
    if cell.change is None:
        found = audit.result(scenario, attack)
        named = {"cell": cell.label, "x": cell.x, "beside": cell.beside}
        return row_of(found, queries=audit.settings.queries, **named)  # type: ignore[arg-type]
    reasons = audit.check(scenario, attack).reasons
    if reasons:
        raise InvalidAuditError("\n".join(reasons))
    sets = cell.change(audit.sets(scenario))
    known, asked = sets.calibration, sets.evaluation
    scores = audit.scorer(sets).scores(attack, known, asked)
    reasons = [reason for one in scores.answers for reason in judge_answers("the model", one)]
    if reasons:
        raise InvalidAuditError("\n".join(reasons))
    success, points = rates(scores, len(known.members), CONFIDENCE)
    point = next((one for one in points if one.target_fpr == AT_FPR), None)
    return make_row(
        (cell.label, cell.x, scenario, attack),
        auc_interval(scores.members, scores.non_members, CONFIDENCE),
        success,
        None if point is None else point.tpr,
        None if point is None else point.fpr.value,
        evaluated=(len(asked.members), len(asked.non_members)),
        known=(len(known.members), len(known.non_members)),
        queries=audit.settings.queries,
        beside=cell.beside,
    )
