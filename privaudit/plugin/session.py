"""One pytest session's audits: the gate, what travels on the reports, never green without results.

A plugin object of its own, registered once the settings are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from privaudit.attacks.registry import REPORTED
from privaudit.plugin.baselines import REDRAWN, BaselineUpdate
from privaudit.plugin.failures import (
    AuditInvalid,
    GateFailure,
    PrivacyBudgetExceeded,
    failure_kind,
)
from privaudit.plugin.items import (
    Address,
    address_of,
    check_asked,
    forgotten_fixture,
    is_audit,
    item_claim,
    item_settings,
    own_parameters,
    result_order,
)
from privaudit.plugin.pytest_internals import (
    item_id,
    option_is_set,
    print_section,
    reason_of,
    say_on_one_line,
    turn_red,
    worker_input,
    worker_output,
)
from privaudit.plugin.run_search import none_within, of_checkpoint

if TYPE_CHECKING:
    from collections.abc import Generator

    from privaudit.record import AttackResult, AuditRecord, RecordLog
    from privaudit.settings import AuditSettings, SessionSettings

__all__ = ["RESULT", "AuditSession"]

RESULT: pytest.StashKey[tuple[AttackResult, AuditRecord]] = pytest.StashKey()
"""What an item's attack found, and its part of the record."""
USAGE_ERROR = "privaudit_usage_error"
NO_ATTACK = (
    "no attack was run: another fixture of the name membership_attack stands in for the plugin's\n"
    "remove it, or have it ask for membership_attack itself"
)


class AuditSession:
    """What one pytest process knows of its audits: the results so far, and those still due."""

    def __init__(
        self, config: pytest.Config, audit: AuditSettings, session: SessionSettings
    ) -> None:
        self._config = config
        self._settings, self._session = audit, session
        self._log: RecordLog | None = None
        self._expected: dict[str, Address] = {}
        self._usage_error: str | None = None
        self._said: list[str] = []
        self._red: dict[str, str] = {}
        """Why each item that failed the gate did: a rerun cannot take it back."""
        self._update: BaselineUpdate | None = None
        if session.update_baseline and worker_input(config) is None:
            self._update = BaselineUpdate(config, session)

    # -- the gate

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Fail a test over budget, whatever its body asserted, forgot or skipped."""
        found = pyfuncitem.stash.get(RESULT, None)
        if found is None and is_audit(pyfuncitem):
            pytest.fail(NO_ATTACK, pytrace=False)
        red = None if found is None else self._verdict(found[0], pyfuncitem)
        reported = found is not None and found[0].verdict == REPORTED
        cause: BaseException | None = None
        outcome: object = None
        try:
            outcome = yield
        except pytest.xfail.Exception:
            raise
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            if red is None:
                # Whatever a body compares a reported result with, it decides nothing.
                if not (reported and isinstance(error, AssertionError)):
                    raise
                outcome = True
            # The body's own comparison of the AUC says less than the gate does.
            cause = None if isinstance(error, AssertionError) else error
        if red is not None:
            raise red from cause
        if reported and pyfuncitem.get_closest_marker("xfail"):
            pytest.xfail("only reported")  # who expects a red is not told of an unexpected green
        return outcome

    def _verdict(self, result: AttackResult, item: pytest.Item) -> GateFailure | None:
        """Return the failure that a result is, or that an earlier draw of it was."""
        from privaudit.report.wording import explanation

        before = self._red.get(item.nodeid)
        if result.verdict not in ("pass", REPORTED):
            said = explanation(result, item_id(item.nodeid), self._session.json)
            return failure_kind(result)(said)
        if before is not None:
            return PrivacyBudgetExceeded(
                f"AUC {result.auc:.3f} in a rerun, after a failure in this session: {before}\n"
                "a gate that is asked until it says yes is no gate: answers that a rerun changes "
                "are drawn again each time, so fix the target's seeds"
            )
        return None

    # -- reporting: parts of records travel on the test reports, which xdist carries

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the item's part of the record to its report."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, GateFailure):
            # The short summary has room for one line: the numbers, not the class's name.
            message = str(call.excinfo.value)
            say_on_one_line(report, message)
            self._red.setdefault(item.nodeid, message)
        ended_early = report.when == "setup" and not report.passed
        if is_audit(item) and (report.when == "call" or ended_early):
            part = of_checkpoint(self._part(item, report, call), item)
            address = address_of(item.nodeid)
            if report.skipped and hasattr(report, "wasxfail") and address is not None:
                name = f"{address.scenario}-{address.attack}"
                part = part.model_copy(update={"expected": [name]})
            report.privaudit = part.to_dict()  # type: ignore[attr-defined]
        elif not is_audit(item) and address_of(item.nodeid) is not None:
            report.privaudit_looks_alike = True  # type: ignore[attr-defined]
        return report

    def _part(
        self, item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]
    ) -> AuditRecord:
        from privaudit.record import AuditRecord, NotCompleted

        found = item.stash.get(RESULT, None)
        address = address_of(item.nodeid)
        if address is None:
            msg = f"{item.nodeid} is an audit, and its id names none"
            raise RuntimeError(msg)
        if found is not None:
            _, part = found
            if item.nodeid in self._red and not part.n_over:
                note = f"{address.scenario}-{address.attack}: {REDRAWN}"
                part = part.model_copy(update={"notes": [*part.notes, note]})
            return part
        outcome, known = "skipped" if report.skipped else "error", None
        if call.excinfo is not None and isinstance(call.excinfo.value, AuditInvalid):
            outcome, known = "invalid", call.excinfo.value.record
        missing = NotCompleted(
            scenario=address.scenario,
            attack=address.attack,
            outcome=outcome,
            reason=reason_of(report),
        )
        if known is not None:
            return known.model_copy(update={"not_completed": [missing]})
        return AuditRecord(
            name=address.audit,
            parameters=own_parameters(item),
            settings=item_settings(item, self._settings).to_dict(),
            not_completed=[missing],
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the part, in the process that ends the session."""
        if getattr(report, "privaudit_looks_alike", False):
            # The controller of xdist took its id for one of an audit's; its worker knew better.
            self._expected.pop(report.nodeid, None)
        if self._update is not None:
            self._update.heard(report)
        part = getattr(report, "privaudit", None)
        if part is not None:
            from privaudit.record import AuditRecord

            self._open_log().add(report.nodeid, AuditRecord.model_validate(part))

    def _open_log(self) -> RecordLog:
        if self._log is None:
            from privaudit.record import RecordLog

            self._log = RecordLog(result_order())
        return self._log

    @property
    def _runs_nothing(self) -> bool:
        """Whether this session was never meant to run a test."""
        asked = any(option_is_set(self._config, name) for name in ("collectonly", "setuponly"))
        return asked or self._session.plan

    @property
    def _missing(self) -> dict[str, Address]:
        """The items that have not reported."""
        log = self._log
        return {
            nodeid: address
            for nodeid, address in self._expected.items()
            if log is None or nodeid not in log
        }

    # -- never green without results

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse bad markers, and markers of tests that audit nothing."""
        message = forgotten_fixture(items) or self._bad_marker(items)
        if message is None:
            return
        output = worker_output(self._config)
        if output is None:
            raise pytest.UsageError(message)
        # A worker that raises here is an internal error to xdist: it says so with its output
        # instead, and the controller raises.
        output[USAGE_ERROR] = message
        items.clear()

    def _bad_marker(self, items: list[pytest.Item]) -> str | None:
        for item in filter(is_audit, items):
            try:
                check_asked(item, item_settings(item, self._settings))
                item_claim(item)
            except ValueError as error:
                return f"{item.nodeid.partition('[')[0]}: {error}"
        return None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which results must arrive."""
        self._expect([item.nodeid for item in session.items if is_audit(item)])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember which results must arrive from the workers."""
        self._expect(ids)

    def _expect(self, ids: list[str]) -> None:
        addresses = {nodeid: address_of(nodeid) for nodeid in ids}
        self._expected |= {nodeid: a for nodeid, a in addresses.items() if a is not None}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear of a usage error that stopped a worker."""
        output = getattr(node, "workeroutput", None) or {}
        self._usage_error = self._usage_error or output.get(USAGE_ERROR)

    def pytest_internalerror(self) -> None:
        """Note an error of pytest itself, after which xdist may still end green."""
        self._open_log().notes.append("an internal error interrupted the session: it cannot pass")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Turn a session red whose audits did not all report."""
        outcome = yield
        if worker_input(session.config) is not None or self._runs_nothing:
            return outcome
        if self._usage_error:
            raise pytest.UsageError(self._usage_error)
        notes, missing = [], sorted(self._missing)
        if missing and not session.testsfailed:
            notes.append(f"{len(missing)} audit items never reported, the first {missing[0]}")
        if self._log is not None:
            notes += [*none_within(self._log.audits()), *self._log.mixed()]
        if self._session.strict and (self._log is None or not self._log.n_completed):
            notes.append("0 audits were completed, and --privaudit-strict asks for at least one")
        if self._update is not None:
            notes += self._update.write(
                [] if self._log is None else self._log.audits(), len(missing)
            )
        if notes:
            self._open_log().notes.extend(notes)
        if self._log is not None and self._log.notes and not session.testsfailed:
            turn_red(session)
        return outcome

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the JSON file, also when the build is red or the session was interrupted."""
        if self._runs_nothing or worker_input(session.config) is not None:
            return
        if self._log is None and not self._expected:
            return
        from importlib.metadata import version

        from privaudit.record import write_json

        log, path = self._open_log(), self._session.json
        due = self._missing.values()
        if path is not None:
            try:
                write_json(path, log.record(version("privaudit"), int(exitstatus), due))
            except (OSError, ValueError) as error:
                log.notes.append(f"{path} could not be written: {error}")
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        history, mlflow = self._session.history, self._session.mlflow
        if history is not None or mlflow is not None:
            from privaudit.history import keep

            audits = log.audits(due)
            self._said += keep(audits, version("privaudit"), history=history, mlflow=mlflow)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print a block for each audit, if there was one."""
        if self._log is None:
            return
        from privaudit.record import runs_of
        from privaudit.report.run import audits_to_show, render_run
        from privaudit.report.terminal import render

        audits = self._log.audits()
        lines = [
            *(line for run in runs_of(audits) for line in (*render_run(run), "")),
            *render(audits_to_show(audits), self._log.notes),
            *self._said,
        ]
        if self._update is not None:
            lines += self._update.said
        print_section(terminalreporter, "privaudit", lines)
