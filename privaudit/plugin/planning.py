"""The plan of a session, made by asking the fixtures of its audits before any test runs.

One item of each scenario of each audit is set up as pytest sets up a test, and what answers its
``membership_attack`` adds to the plan what it would ask, instead of asking. Fixtures of session
scope are then there for the tests; narrower ones are made once more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.plugin.gate import RESULT
from privaudit.plugin.items import address_of
from privaudit.plugin.pytest_internals import (
    option_is_set,
    quiet_reports,
    reason_of,
    turn_red,
    worker_input,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from privaudit.audit import Estimate
    from privaudit.plugin.progress import Mailbox, Reading
    from privaudit.plugin.runner import Runner
    from privaudit.record import AttackResult
    from privaudit.settings import AuditSettings, SessionSettings

__all__ = ["Planning"]

FOLDER = "privaudit_progress"


class Planning:
    """Makes the plan, shows it, and shows how much of it is done.

    Attributes
    ----------
    answer
        What the ``membership_attack`` fixture calls with its request: the attack, or while the
        plan is made, the estimate.
    """

    def __init__(
        self, config: pytest.Config, audit: AuditSettings, session: SessionSettings
    ) -> None:
        self._config, self._settings, self._session = config, audit, session
        self._runner: Runner | None = None
        self._estimate: Estimate | None = None
        self._worker = worker_input(config)
        self._folder: Path | None = None
        self._reading: Reading | None = None
        self._progress: Any = None  # these two only when the terminal's reporter is there
        self._write: Any = None
        self._failed: list[str] = []
        self._made: list[pytest.Item] | None = None
        self.answer: Callable[[pytest.FixtureRequest], AttackResult] = self._attack

    # -- what the membership_attack fixture asks for

    def _attack(self, request: pytest.FixtureRequest) -> AttackResult:
        result, record = self._running(request).attack(request)
        request.node.stash[RESULT] = (result, record)
        from privaudit.report.junit import properties

        # Plain values alone: xdist ends a worker whose report has others.
        plain = json.loads(json.dumps(properties(record.name, result)))
        request.node.user_properties.extend(map(tuple, plain))
        return result

    def _plan(self, request: pytest.FixtureRequest) -> Any:
        from privaudit.audit import Estimate

        runner = self._running(request)
        study = self._config.pluginmanager.get_plugin("privaudit-study")
        if study is not None:  # the command `privaudit study` takes the audits themselves
            self._estimate = study
            study.take(runner.audit(request), request)
            pytest.skip("taken")
        if self._estimate is None:
            # The command `privaudit queries` asks for lists in place of the plan.
            lists = self._config.pluginmanager.get_plugin("privaudit-query-lists")
            plan = Estimate(runner.store, runner.engine.speedup) if lists is None else lists
            self._estimate = plan
        runner.estimate(request, self._estimate)
        pytest.skip("planned")

    def _running(self, request: pytest.FixtureRequest) -> Runner:
        """Return the process's one runner, made when the first audit item asks for it."""
        if self._runner is None:
            from privaudit.errors import PrivauditError
            from privaudit.plugin.runner import Runner

            # Of xdist's workers each has a folder of its own, in one that they share.
            folder = request.getfixturevalue("tmp_path_factory").getbasetemp().parent
            try:
                self._runner = Runner(self._settings, self._session, folder, self._progress)
            except PrivauditError as error:
                pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)
        return self._runner

    # -- the plan

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item) -> bool | None:
        """Set an item up and tear it down without telling anyone, while the plan is made."""
        if self._made is None:
            return None
        for report in quiet_reports(item, nextitem):
            if report.failed:
                reason = reason_of(report).removeprefix("Failed: ").partition("\n")[0]
                self._failed.append(f"  {item.nodeid} cannot be planned: {reason}")
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Make and show the plan, then run the tests, unless the plan was all that was wanted."""
        if option_is_set(self._config, "collectonly") or not self._concerned(session):
            return (yield)
        self._progress, self._write = self._shown()
        if self._makes_plan:
            self._make(session)
        if self._session.plan:
            for line in self._failed or ([] if self._estimate else ["privaudit: no audit to plan"]):
                self._write(line)
            session.items.clear()
        try:
            outcome = yield
            if self._session.plan:  # earlier, pytest would call it an error of the collection
                turn_red(session, len(self._failed))
            return outcome
        finally:
            self._close()

    @property
    def _makes_plan(self) -> bool:
        """Whether this process makes the plan before the tests run."""
        if self._worker is not None and self._worker["workerid"] != "gw0":
            return False
        # Nobody wants to see each fixture twice, or stop in it, unless the plan is all there is.
        once = any(option_is_set(self._config, name) for name in ("usepdb", "setupshow"))
        return self._session.plan or not once

    def _concerned(self, session: pytest.Session) -> bool:
        """Tell whether there is anything to plan or to show: else nothing is even imported."""
        if self._session.plan or self._folder is not None:
            return True
        return any(address_of(item.nodeid) for item in session.items)

    def _make(self, session: pytest.Session) -> None:
        chosen: dict[tuple[str, str], pytest.Item] = {}
        for item in session.items:
            address = address_of(item.nodeid)
            if address is not None:
                chosen.setdefault((address.audit, address.scenario), item)
        items = list(chosen.values())
        if not items:
            return
        self._made, self.answer = items, self._plan
        try:
            # After the last one nothing but the session stays set up.
            for item, following in zip(items, [*items[1:], session], strict=True):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        finally:
            self._made, self.answer = None, self._attack
        if not self._estimate:
            return
        lines = list(self._estimate.lines())
        if self._runner is not None and self._session.plan and lines:
            lines += self._runner.chances()
        self._progress.plan(lines, self._estimate.n_new)

    # -- who shows it

    def _shown(self) -> tuple[Any, Any]:
        from privaudit.plugin.progress import Mailbox, Reading, shown_on

        if self._worker is not None:
            mailbox: Mailbox = Mailbox(Path(self._worker.get(FOLDER, "")), self._worker["workerid"])
            return mailbox, lambda _: None
        shown, write = shown_on(self._config)
        if self._folder is not None:
            self._reading = Reading(self._folder, shown)
            self._reading.start()
        return shown, write

    def _close(self) -> None:
        self._progress.close()
        if self._reading is not None:
            self._reading.close()
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where to drop its numbers."""
        if self._folder is None:
            import tempfile

            self._folder = Path(tempfile.mkdtemp(prefix="privaudit-"))
        node.workerinput[FOLDER] = str(self._folder)

    def evict(self) -> None:
        """Bring the store under its limit, once nothing reads it any more."""
        if self._runner is not None:
            self._runner.store.evict(values_too=True)
