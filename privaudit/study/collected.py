"""An audit file's fixtures, gathered by pytest, and the study that is run while they live."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.audit.inputs import RECIPE, REQUIRED
from privaudit.errors import PrivauditError, SettingError
from privaudit.study.owner import Owner
from privaudit.study.run import run_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from privaudit.audit import Audit
    from privaudit.runs import Checkpoint
    from privaudit.study.axes.base import Axis

__all__ = ["StudyOfAudit"]


class StudyOfAudit:
    """A plugin object for ``pytest.main``, which plans audits and hands each to :meth:`take`.

    The study runs before pytest tears its session down: a fixture may serve a model.

    Parameters
    ----------
    axes, output
        What is asked, and where it is written.
    encoders, models, shadows, checkpoints, trigger
        As of :class:`privaudit.study.owner.Owner`.
    changes
        Settings of the audit in place of those that its file says.
    """

    __name__ = "privaudit-study"
    """What pytest registers it as."""
    n_new = 0
    """Images in the plan that pytest shows: there is none."""

    def __init__(
        self,
        axes: Sequence[Axis],
        output: Path,
        *,
        encoders: Sequence[str] = (),
        models: Mapping[str, Any] | None = None,
        shadows: Mapping[str, Any] | None = None,
        checkpoints: Sequence[Checkpoint] = (),
        trigger: str = "sks",
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self._axes, self._output = axes, output
        self._more: dict[str, Any] = {
            "encoders": tuple(encoders),
            "checkpoints": tuple(checkpoints),
            "trigger": trigger,
        }
        self._changes = dict(changes or {})
        self._given = {"models": dict(models or {}), "shadows": dict(shadows or {})}
        self._audits: dict[str, Audit] = {}
        self._of_fixture: dict[str, Mapping[str, Any] | None] = dict.fromkeys(self._given)
        self.failure: str | None = None
        """Why there is no study, or ``None``."""

    def __bool__(self) -> bool:
        """Tell whether an audit was taken."""
        return bool(self._audits)

    def lines(self) -> list[str]:
        """Return the lines of a plan: none."""
        return []

    def take(self, audit: Audit, value: Callable[[str], Any]) -> None:
        """Hear of an audit, once for each of its scenarios."""
        known = self._audits.setdefault(audit.name, audit)
        if known is not audit:  # fixtures of a test's own are made anew: the first ones count
            mine, its = known.models.inputs, audit.models.inputs
            names = [field.name for field in dataclasses.fields(mine)]
            absent = [name for name in names if getattr(mine, name) is None]
            known.models.inputs = dataclasses.replace(
                mine, **{name: getattr(its, name) for name in absent}
            )
        inputs = known.models.inputs
        if inputs.fine_tune is None:  # whatever the audit asked for, for the paper's protocol
            given = {name: value(name) for name in RECIPE}
            known.models.inputs = dataclasses.replace(inputs, **given)
        for what, found in self._of_fixture.items():
            if found is None:
                self._of_fixture[what] = value(f"study_{what}")

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Run the study once all fixtures were asked."""
        outcome = yield
        try:
            self._run()
        except (PrivauditError, ValueError) as error:
            self.failure = str(error)
        return outcome

    def _named(self, what: str) -> dict[str, Any]:
        """Put together what the fixture and the command line name: the latter counts."""
        return {**(self._of_fixture[what] or {}), **self._given[what]}

    def _run(self) -> None:
        if len(self._audits) != 1:
            names = ", ".join(sorted(self._audits))
            self.failure = (
                f"{len(self._audits)} audits are there, and a study is of one: name it, as in "
                f"FILE.py::TEST ({names})"
                if self._audits
                else "no audit is there whose fixtures can be asked: what pytest says is above"
            )
            return
        [audit] = self._audits.values()
        lacking = [name for name in REQUIRED if getattr(audit.models.inputs, name) is None]
        if lacking:
            msg = f"the audit lacks fixtures: {', '.join(lacking)}"
            raise SettingError(msg)
        owner = Owner(
            audit.models.inputs,
            audit.settings.replace(**self._changes),
            audit.store,
            audit.engine,
            name=audit.name,
            models=self._named("models"),
            shadows=self._named("shadows"),
            **self._more,
        )
        study = run_axes(owner, self._axes, self._output, say=_say)
        _say(str(study.folder / "index.html"))


def _say(line: str) -> None:
    print(line, flush=True)
