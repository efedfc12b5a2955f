"""A training run whose checkpoints were audited: which is the last one within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from privaudit.record.values import Share, ShareInterval, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privaudit.record.audit import AuditRecord

__all__ = ["CheckpointName", "RunRecord", "RunStep", "runs_of"]


class CheckpointName(Value):
    """Which checkpoint of which run an audit is of.

    Attributes
    ----------
    run
        The run's folder, as the audit file has it.
    name
        The checkpoint's folder or file.
    step
        Steps, or epochs, trained; ``None`` of final weights without a number.
    unit
        What ``step`` counts.
    place
        Among the checkpoints of the run, from 0.
    """

    run: str
    name: str
    step: int | None
    unit: Literal["step", "epoch"]
    place: int


class RunStep(Value):
    """What is known of one checkpoint.

    Attributes
    ----------
    name, step
        As of :class:`CheckpointName`.
    verdict
        Of its audit; ``"not audited"`` where the search did not need it.
    auc, interval
        The highest of the audit's results, with its bounds; ``None`` if there is none.
    """

    name: str
    step: int | None
    verdict: str
    auc: Share | None = None
    interval: ShareInterval | None = None


class RunRecord(Value):
    """The audits of one test over the checkpoints of a training run.

    Attributes
    ----------
    test
        The test.
    run
        The run's folder.
    unit
        What the steps count: ``"step"`` or ``"epoch"``.
    budget
        The largest AUC accepted; ``None`` if no checkpoint has a result.
    last_within
        The last checkpoint whose own audit passed, whole; ``None`` if there is none.
    checkpoints
        In the order of training.
    """

    test: str
    run: str
    unit: str
    budget: float | None
    last_within: str | None
    checkpoints: list[RunStep]


def runs_of(audits: Iterable[AuditRecord]) -> list[RunRecord]:
    """Put the audits of each run together.

    Parameters
    ----------
    audits
        Of one session; those of no checkpoint are passed over.
    """
    runs: dict[tuple[str, ...], list[tuple[CheckpointName, AuditRecord]]] = {}
    for audit in audits:
        one = audit.checkpoint
        if one is not None:
            # Other parameters of the test are other runs.
            others = sorted(f"{n}={v}" for n, v in audit.parameters.items() if v != one.name)
            key = (audit.name.partition("[")[0], one.run, *others)
            runs.setdefault(key, []).append((one, audit))
    return [_run(key, sorted(those, key=lambda pair: pair[0].place)) for key, those in runs.items()]


def _run(key: tuple[str, ...], those: list[tuple[CheckpointName, AuditRecord]]) -> RunRecord:
    test, run, *others = key
    results = [result for _, audit in those for result in audit.results]
    within = [one for one, audit in those if audit.verdict == "pass" and audit.complete]
    return RunRecord(
        test=f"{test}[{', '.join(others)}]" if others else test,
        run=run,
        unit=those[0][0].unit,
        budget=results[0].budget if results else None,
        last_within=within[-1].name if within else None,
        checkpoints=[_step(one, audit) for one, audit in those],
    )


def _step(one: CheckpointName, audit: AuditRecord) -> RunStep:
    worst = max(audit.results, key=lambda result: result.auc, default=None)
    skipped = all(item.outcome == "skipped" for item in audit.not_completed)
    return RunStep(
        name=one.name,
        step=one.step,
        verdict="not audited" if worst is None and skipped else audit.verdict,
        auc=None if worst is None else worst.auc,
        interval=None if worst is None else worst.interval,
    )
