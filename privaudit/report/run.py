"""A training run in words: the last checkpoint within the budget, and AUC against steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.report.forest import Row, forest
from privaudit.report.verdicts import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.record import AuditRecord, RunRecord, RunStep

__all__ = ["audits_to_show", "render_run"]


def render_run(run: RunRecord) -> Iterator[str]:
    """Yield the answer, the plot, and what was not looked at.

    Parameters
    ----------
    run
        Audits of one run's checkpoints.
    """
    steps = run.checkpoints
    audited = [one for one in steps if one.auc is not None]
    budget = "the budget" if run.budget is None else f"the budget of {run.budget:g}"
    where = f"{run.test}: {run.run}"
    if run.last_within is None:
        yield (
            f"{where}: no checkpoint within {budget} was found, {len(audited)} of {len(steps)} "
            "audited"
        )
    else:
        yield (
            f"{where}: the last checkpoint found within {budget} is {run.last_within}, "
            f"{len(audited)} of {len(steps)} audited"
        )
    yield from forest([_row(one, run.unit) for one in steps], run.budget)
    unseen = _unseen_after(run)
    if unseen:
        yield (
            f"{unseen} later ones were not audited: an AUC need not rise with training, so one of "
            "them may be within the budget; what was found within was audited itself"
        )


def audits_to_show(audits: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Leave out the checkpoints that were not audited: the plot of their run has them."""
    return [
        audit
        for audit in audits
        if audit.checkpoint is None
        or audit.results
        or any(item.outcome != "skipped" for item in audit.not_completed)
    ]


def _row(one: RunStep, unit: str) -> Row:
    label = one.name if one.step is None else f"{unit} {one.step}"
    words = written(one.verdict)
    if one.interval is None:
        return Row(label, one.auc, words=words)
    return Row(label, one.auc, one.interval.low, one.interval.high, words)


def _unseen_after(run: RunRecord) -> int:
    """Count the checkpoints after the answer that nobody looked at."""
    names = [one.name for one in run.checkpoints]
    after = 0 if run.last_within is None else names.index(run.last_within) + 1
    return sum(one.verdict == "not audited" for one in run.checkpoints[after:])
