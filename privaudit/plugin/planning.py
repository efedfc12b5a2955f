"""The plan of a session, made by asking the fixtures of its audits before any test runs.

One item of each scenario of each audit is set up as pytest sets up a test, and its
``membership_attack`` adds to the plan what it would ask, instead of asking. Fixtures of session
scope are then there for the tests; narrower ones are made once more.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from privaudit.plugin.progress import Mailbox, Reading, shown_on
from privaudit.plugin.session import audit_of, audit_variant, first_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from privaudit.audit.estimate import Plan
    from privaudit.plugin.runner import AttackRunner
    from privaudit.settings.resolve import Settings

FOLDER = "privaudit_progress"


class Planning:
    """Makes the plan, shows it, and shows how much of it is done."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._runner: AttackRunner | None = None
        self._plan: Plan | None = None
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._folder: Path | None = None
        self._reading: Reading | None = None
        self._progress: Any = None  # these two only when the terminal's reporter is there
        self._write: Any = None
        self._failed: list[str] = []
        self.planning = False

    # -- what the membership_attack fixture asks for

    @property
    def runner(self) -> AttackRunner:
        """The session's one runner, made when the first audit item asks for it."""
        if self._runner is None:
            from privaudit.errors import PrivauditError
            from privaudit.plugin.runner import AttackRunner

            try:
                self._runner = AttackRunner(self._settings, self._progress)
            except PrivauditError as error:
                pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)
        return self._runner

    def add(self, request: pytest.FixtureRequest) -> None:
        """Add to the plan what an item would ask."""
        from privaudit.audit.estimate import Plan

        runner = self.runner
        if self._plan is None:
            self._plan = Plan(runner.store, runner.engine.speedup)
        runner.plan(request, self._plan)

    # -- the plan

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item) -> bool | None:
        """Set an item up and tear it down without telling anyone, while the plan is made."""
        if not self.planning:
            return None
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        for report in reports:
            if report.failed:
                reason = first_line(report).removeprefix("Failed: ")
                self._failed.append(f"  {item.nodeid} cannot be planned: {reason}")
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Make and show the plan, then run the tests, unless the plan was all that was wanted."""
        self._progress, self._write = self._shown()
        option = session.config.option
        quiet = option.collectonly or option.setupshow or option.usepdb
        if not quiet and (self._worker is None or self._worker["workerid"] == "gw0"):
            self._make(session)
        if self._settings.plan:
            for line in self._failed or ([] if self._plan else ["privaudit: no audit to plan"]):
                self._write(line)
            session.items.clear()
        try:
            outcome = yield
            if self._settings.plan:  # earlier, pytest would call it an error of the collection
                session.testsfailed += len(self._failed)
            return outcome
        finally:
            self._progress.close()
            if self._reading is not None:
                self._reading.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self, session: pytest.Session) -> None:
        chosen: dict[tuple[str, str], pytest.Item] = {}
        for item in session.items:
            audit = audit_of(item)
            if audit is not None:
                chosen.setdefault((audit_variant(item), audit[0]), item)
        items = list(chosen.values())
        if not items:
            return
        self.planning = True
        try:
            # After the last one nothing but the session stays set up.
            for item, following in zip(items, [*items[1:], session], strict=True):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        finally:
            self.planning = False
        if not self._plan:
            return
        lines = list(self._plan.lines())
        if isinstance(self._progress, Mailbox):
            self._progress.plan(lines, self._plan.n_new)
        else:
            self._progress.begin(self._plan.n_new)
            for line in lines:
                self._write(line)

    # -- who shows it

    def _shown(self) -> tuple[Any, Any]:
        if self._worker is not None:
            folder, name = Path(self._worker.get(FOLDER, "")), self._worker["workerid"]
            return Mailbox(folder, name), lambda _: None
        shown, write = shown_on(self._config)
        if self._folder is not None:
            self._reading = Reading(self._folder, shown, write)
            self._reading.start()
        return shown, write

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where to drop its numbers."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="privaudit-"))
        node.workerinput[FOLDER] = str(self._folder)

    def pytest_sessionfinish(self) -> None:
        """Bring the store under its limit, once nothing reads it any more."""
        if self._runner is not None:
            self._runner.store.evict(values_too=True)
