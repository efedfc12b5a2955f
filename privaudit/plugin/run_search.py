"""An audit over the checkpoints of a training run: which of them are audited, and what it found.

Whichever item comes first looks for the last checkpoint within the budget, for all of them. The
items of a checkpoint that was looked at then have its results, and the others are skipped. Under
xdist each worker searches: the looks are the same, and no image is generated twice.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from privaudit.errors import FingerprintError, GeneratorError, InvalidAuditError
from privaudit.plugin import FIXTURE
from privaudit.plugin.failures import AuditInvalid
from privaudit.plugin.pytest_internals import item_parameters
from privaudit.runs import Checkpoint, last_within, most_looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pytest

    from privaudit.audit import Audit
    from privaudit.audit.inputs import AuditInputs
    from privaudit.record import AttackResult, AuditRecord

__all__ = [
    "NotAudited",
    "RunSearch",
    "checkpoint_of",
    "items_of_run",
    "none_within",
    "of_checkpoint",
]

Pair = tuple[str, str]
"""Scenario and inference model."""
Found: TypeAlias = "tuple[AttackResult, AuditRecord] | BaseException"
"""A result with its part of the record, or why there is none."""


class NotAudited(NamedTuple):
    """Why a result is missing: another one had decided."""

    reason: str


def checkpoint_of(item: pytest.Item) -> Checkpoint | None:
    """Return the checkpoint that an item was parametrized with, or ``None``."""
    given = item_parameters(item).values()
    return next((value for value in given if isinstance(value, Checkpoint)), None)


def items_of_run(item: pytest.Item, items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """List the items of the same test, parametrized likewise but for the checkpoint."""

    def rest(other: Any) -> tuple[Any, ...]:
        parameters = item_parameters(other)
        others = sorted(
            (name, id(value))
            for name, value in parameters.items()
            if not isinstance(value, Checkpoint) and name != FIXTURE
        )
        return other.parent, getattr(other, "originalname", other.name), others

    mine, own = checkpoint_of(item), rest(item)
    return [
        other
        for other in items
        if (its := checkpoint_of(other)) and mine and its.run == mine.run and rest(other) == own
    ]


def of_checkpoint(part: AuditRecord, item: pytest.Item) -> AuditRecord:
    """Write into an item's part of the record which checkpoint it is of, if it is of one."""
    from privaudit.record import CheckpointName

    one = checkpoint_of(item)
    if one is None:
        return part
    name = CheckpointName(run=one.run, name=one.name, step=one.step, unit=one.unit, place=one.place)
    return part.model_copy(update={"checkpoint": name})


def none_within(audits: Sequence[AuditRecord]) -> list[str]:
    """Say of which runs no checkpoint is known to be within the budget: no green without one."""
    from privaudit.record import runs_of

    return [
        f"no checkpoint of {run.run} was found to be within the budget"
        for run in runs_of(audits)
        if run.last_within is None
    ]


class RunSearch:
    """The search of one test, in one process.

    Parameters
    ----------
    items
        The selected items of the test, for each checkpoint the results to compute.
    make
        From an item of a checkpoint, its inputs and the number of checkpoints to its audit.
    """

    def __init__(
        self, items: Sequence[pytest.Item], make: Callable[[pytest.Item, AuditInputs, int], Audit]
    ) -> None:
        self._make = make
        self._items: dict[str, pytest.Item] = {}
        self._wanted: dict[str, list[Pair]] = {}
        candidates: dict[str, Checkpoint] = {}
        for item in items:
            checkpoint = checkpoint_of(item)
            if checkpoint is not None:
                candidates[checkpoint.name] = checkpoint
                self._items.setdefault(checkpoint.name, item)
                self._wanted.setdefault(checkpoint.name, []).append(item_parameters(item)[FIXTURE])
        self._candidates = sorted(candidates.values(), key=lambda one: one.place)
        self._found: dict[str, dict[Pair, Found]] = {}
        self._answer: Checkpoint | None = None
        self._searched = False

    @property
    def scenarios(self) -> set[str]:
        """The scenarios of the results to compute."""
        return {scenario for pairs in self._wanted.values() for scenario, _ in pairs}

    @property
    def plan(self) -> str:
        """Say how many checkpoints are audited at most."""
        n = len(self._candidates)
        return f"of {n} checkpoints {most_looks(n)} are audited at most: the others are not needed"

    def is_planned(self, item: pytest.Item) -> bool:
        """Tell whether an item's checkpoint stands, in the plan, for one that is looked at."""
        names = [one.name for one in self._candidates]
        checkpoint = checkpoint_of(item)
        return checkpoint is not None and checkpoint.name in names[: most_looks(len(names))]

    def find(self, inputs: Mapping[str, AuditInputs]) -> None:
        """Look, until the last checkpoint within the budget is found.

        Parameters
        ----------
        inputs
            What the fixtures gave, by scenario; results of other scenarios are not computed.

        Raises
        ------
        PrivauditError
            If anything but a checkpoint is unusable.
        """
        if self._searched:
            return

        def look(checkpoint: Checkpoint) -> bool | None:
            return self._look(checkpoint, inputs)

        self._answer = last_within(self._candidates, look)
        self._searched = True

    def _look(self, checkpoint: Checkpoint, inputs: Mapping[str, AuditInputs]) -> bool | None:
        """Audit one checkpoint, keep what was found, and let its model go."""
        found = self._found.setdefault(checkpoint.name, {})
        wanted = [pair for pair in self._wanted[checkpoint.name] if pair[0] in inputs]
        try:
            target, audit = checkpoint.load(), None
            for pair in wanted:
                given = dataclasses.replace(inputs[pair[0]], target_model=target)
                if audit is None or not audit.models.supply(given):
                    audit = self._make(self._items[checkpoint.name], given, len(self._candidates))
                try:
                    result = audit.result(*pair)
                except InvalidAuditError as error:
                    found[pair] = AuditInvalid(str(error), audit.record(only=()))
                    continue
                found[pair] = result, audit.record(only=pair)
                if result.sequential is not None and result.verdict == "fail":
                    return False
        except (GeneratorError, FingerprintError) as error:
            found.update({pair: error for pair in wanted if pair not in found})
        verdicts = {
            "unusable" if isinstance(one, BaseException) else one[0].verdict
            for one in found.values()
        }
        if verdicts <= {"pass", "unusable"}:
            return None if "unusable" in verdicts or not verdicts else True
        return False

    def outcome(self, item: pytest.Item) -> Found | NotAudited:
        """Return what became of an item.

        Returns
        -------
        tuple, BaseException or NotAudited
            The result with its part of the record; why there is none; or why none was needed.
        """
        checkpoint, pair = checkpoint_of(item), item_parameters(item)[FIXTURE]
        if checkpoint is None:
            msg = f"{item.nodeid} audits no checkpoint"
            raise RuntimeError(msg)
        found = self._found.get(checkpoint.name)
        if found is None:
            return NotAudited(self._why_not_needed()) if not checkpoint.problem else why(checkpoint)
        return found.get(pair) or NotAudited(
            f"not audited: {checkpoint.name} is over the budget by another result"
        )

    def _why_not_needed(self) -> str:
        answer = "none was found" if self._answer is None else f"{self._answer.name} was found"
        return (
            f"not audited: of {len(self._candidates)} checkpoints the last one within the budget "
            f"was looked for by bisection, and {answer}"
        )


def why(checkpoint: Checkpoint) -> BaseException:
    """Return the error that loading a checkpoint raises."""
    try:
        checkpoint.load()
    except GeneratorError as error:
        return error
    return GeneratorError(f"{checkpoint.name} of {checkpoint.run} does not load")
