"""The gate: no session of pytest ends green while an audit's result is red or missing.

One rule, read at the end of every session: each audit item that was collected has an outcome, and
one that is over budget, inconclusive, invalid, refuted or missing makes the session red, unless
its own test expected it (``xfail``). What an item found travels on its report, as text, because
that is what xdist carries; a red is kept by the item's id, whatever a rerun or a skip says later.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from privaudit.attacks.registry import ACCESSES, REPORTED
from privaudit.plugin import COLLECTED, FIXTURE
from privaudit.plugin.baselines import REDRAWN, BaselineUpdate
from privaudit.plugin.collection import (
    ITEM,
    Address,
    address_of,
    fixture_value,
    forgotten_fixture,
    is_audit,
    misspelt_marker,
    read_item,
    result_order,
)
from privaudit.plugin.failures import (
    AlreadyDecided,
    AuditInvalid,
    GateFailure,
    PrivacyBudgetExceeded,
    failure_kind,
)
from privaudit.plugin.pytest_internals import (
    print_section,
    reason_of,
    say_on_one_line,
    switch_without_tests,
    worker_input,
    worker_output,
    writer_of,
)
from privaudit.plugin.termination import TerminationSignals

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from privaudit.plugin.collection import AuditItem
    from privaudit.plugin.planning import Planning
    from privaudit.plugin.progress import Progress
    from privaudit.plugin.runner import FixtureValue, Runner
    from privaudit.record import AttackResult, AuditRecord, RecordLog
    from privaudit.settings import AuditSettings, SessionSettings

__all__ = ["Gate"]

RESULT: pytest.StashKey[tuple[AttackResult, AuditRecord]] = pytest.StashKey()
"""What an item's attack found, and its part of the record."""
USAGE_ERROR, DROPPED = "privaudit_usage_error", "privaudit_dropped"
"""What a worker of xdist tells its controller."""
GREEN = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
NO_ATTACK = (
    "no attack was run: another fixture of the name membership_attack stands in for the plugin's\n"
    "remove it, or have it ask for membership_attack itself"
)
NO_GATE = (
    "the gate of privaudit is not registered with pytest, so a leak would pass unseen: leave the "
    "plugin whole, or switch it off with -p no:privaudit"
)


class Outcome(NamedTuple):
    """What a report says of an audit item.

    Attributes
    ----------
    red
        Why the item is red; empty where it is not, or where its own test expects it.
    final
        Whether the red holds whatever a rerun says: it is a verdict, and not an error.
    left_out
        Why the item has no result although nothing is wrong; empty where it has one.
    """

    red: str
    final: bool
    left_out: str


NOTHING = Outcome("", final=False, left_out="")
"""Of an item with which nothing is wrong."""


class Gate:
    """What one pytest process knows of its audits: the results so far, and those still due."""

    def __init__(
        self,
        config: pytest.Config,
        audit: AuditSettings,
        session: SessionSettings,
        progress: Progress,
    ) -> None:
        self._config = config
        self._settings, self._session, self._progress = audit, session, progress
        self._runner: Runner | None = None
        self.planning: Planning | None = None
        """What makes a plan in place of results, if that is all that was wanted."""
        self._log: RecordLog | None = None
        self._expected: dict[str, Address] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._claiming: set[str] = set()
        """Audits with a ``privacy_claim``."""
        self._dropped: set[str] = set()
        """Audit items that were collected and will not run."""
        self._usage_error: str | None = None
        self._ended_early = self._interrupted = False
        self._lines: list[str] = []
        self._files: list[str] = []
        """What was written, for the summary."""
        self._places: dict[str, tuple[str, int]] = {}
        """File and line of each audit item."""
        self._red: dict[str, str] = {}
        """Why each item failed the gate, in the process that runs it."""
        self._update: BaselineUpdate | None = None
        if session.update_baseline and worker_input(config) is None:
            self._update = BaselineUpdate(config, session)
        self._signals = TerminationSignals()
        if worker_input(config) is None and not self._runs_nothing:
            self._signals.watch()

    @property
    def _runs_nothing(self) -> bool:
        """Whether this session was never meant to run a test."""
        return self._session.plan or switch_without_tests(self._config) is not None

    def run(self, request: pytest.FixtureRequest) -> AttackResult:
        """Run the attack of the requesting item, and keep its result for the gate."""
        node = request.node
        if not self._config.pluginmanager.is_registered(self) or ITEM not in node.stash:
            pytest.fail(NO_GATE, pytrace=False)
        if self.planning is not None:
            self.planning.add(request)
            pytest.skip("planned")
        value = functools.partial(fixture_value, request)
        result, record = self.runner(value).attack(node.stash[ITEM], value)
        node.stash[RESULT] = (result, record)
        from privaudit.report.junit import properties

        # Plain values alone: xdist ends a worker whose report has others.
        plain = json.loads(json.dumps(properties(record.name, result)))
        node.user_properties.extend(map(tuple, plain))
        return result

    def runner(self, value: FixtureValue) -> Runner:
        """Return the process's one runner, made when the first audit item asks for it."""
        if self._runner is None:
            from privaudit.errors import PrivauditError
            from privaudit.plugin.runner import Runner

            # Of xdist's workers each has a folder of its own, in one that they share.
            folder = value("tmp_path_factory").getbasetemp().parent
            try:
                self._runner = Runner(self._config, self._session, folder, self._progress)
            except PrivauditError as error:
                pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)
        return self._runner

    def chances(self) -> list[str]:
        """Say, for each audit that there is, what its gate errs at its size."""
        return [] if self._runner is None else self._runner.chances()

    # -- the item's own test fails

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Fail a test over budget, whatever its body asserted, forgot or skipped."""
        answer = pyfuncitem.stash.get(RESULT, None)
        if answer is None and is_audit(pyfuncitem):
            pytest.fail(NO_ATTACK, pytrace=False)
        red = None if answer is None else self._failure(answer[0], pyfuncitem)
        cause: BaseException | None = None
        outcome: object = None
        try:
            outcome = yield
        except pytest.xfail.Exception:
            raise
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            if red is None:
                raise
            # The body's own comparison of the AUC says less than the gate does.
            cause = None if isinstance(error, AssertionError) else error
        if red is not None:
            raise red from cause
        reported = answer is not None and answer[0].verdict == REPORTED
        if reported and pyfuncitem.get_closest_marker("xfail"):
            pytest.xfail("only reported")  # an expected red is no unexpected green
        return outcome

    def _failure(self, result: AttackResult, item: pytest.Item) -> GateFailure | None:
        """Return the failure that a result is, or that an earlier draw of it was."""
        from privaudit.report.wording import explanation

        before = self._red.get(item.nodeid)
        if result.verdict not in ("pass", REPORTED):
            return failure_kind(result)(explanation(result))
        if before is not None:
            return PrivacyBudgetExceeded(
                f"AUC {result.auc:.3f} in a rerun, after a failure in this session: {before}\n"
                "a gate that is asked until it says yes is no gate: answers that a rerun changes "
                "are drawn again each time, so fix the target's seeds"
            )
        return None

    def _shown(self, path: Path | None) -> Path | None:
        """Return a path as one types it where pytest was started."""
        here = self._config.invocation_params.dir
        return path.relative_to(here) if path and path.is_relative_to(here) else path

    # -- reports carry the outcome to the process that ends the session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the item's outcome and its part of the record to its report."""
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if isinstance(error, GateFailure):
            # The short summary has room for one line: the numbers, not the class's name.
            say_on_one_line(report, str(error))
            self._red.setdefault(item.nodeid, str(error))
        ended_early = report.when == "setup" and not report.passed
        if is_audit(item) and (report.when == "call" or ended_early):
            part = self._part(item, report, error)
            expected = _is_expected(item, report, error)
            if expected and report.skipped:
                part = part.model_copy(update={"expected": [_name(item.stash[ITEM])]})
            outcome = NOTHING if expected else self._outcome(item, report, error)
            # As text: what is no plain value would end a worker of xdist.
            report.privaudit = json.dumps(  # type: ignore[attr-defined]
                {
                    "record": part.to_json(),
                    "outcome": outcome,
                    "claims": item.stash[ITEM].claim is not None,
                }
            )
        elif not is_audit(item) and address_of(item.nodeid) is not None:
            report.privaudit_looks_alike = True  # type: ignore[attr-defined]
        return report

    def _outcome(
        self, item: pytest.Item, report: pytest.TestReport, error: BaseException | None
    ) -> Outcome:
        """Say what a report is to the gate, whatever another plugin makes of it later."""
        answer = item.stash.get(RESULT, None)
        before = self._red.get(item.nodeid, "")
        if answer is not None and answer[0].verdict not in ("pass", REPORTED):
            failure = self._failure(answer[0], item)
            return Outcome(before or str(failure).partition("\n")[0], final=True, left_out="")
        if before:
            return Outcome(before, final=True, left_out="")
        if isinstance(error, (pytest.skip.Exception, pytest.xfail.Exception)) or report.skipped:
            if isinstance(error, AlreadyDecided):
                return NOTHING  # the result that decided speaks for it
            return Outcome("", final=False, left_out=reason_of(report) or "skipped")
        if error is not None:
            return Outcome(f"{error}".partition("\n")[0] or repr(error), final=False, left_out="")
        return Outcome("" if answer else NO_ATTACK, final=False, left_out="")

    def _part(
        self, item: pytest.Item, report: pytest.TestReport, error: BaseException | None
    ) -> AuditRecord:
        from privaudit.record import AuditRecord, CheckpointName, NotCompleted

        audited, answer = item.stash[ITEM], item.stash.get(RESULT, None)
        if answer is not None:
            _, part = answer
            if item.nodeid in self._red and not part.n_over:
                note = f"{_name(audited)}: {REDRAWN}"
                part = part.model_copy(update={"notes": [*part.notes, note]})
        else:
            outcome = "skipped" if report.skipped else "error"
            part = AuditRecord(
                name=audited.audit,
                parameters=dict(audited.parameters),
                settings=audited.settings.to_dict(),
            )
            if isinstance(error, AuditInvalid):
                outcome, part = "invalid", error.record or part
            missing = NotCompleted(
                scenario=_scenario(audited),
                attack=audited.attack,
                outcome=outcome,
                reason=reason_of(report),
            )
            part = part.model_copy(update={"not_completed": [missing]})
        if (one := audited.checkpoint) is None:
            return part
        checkpoint = CheckpointName(
            run=one.run, name=one.name, step=one.step, unit=one.unit, place=one.place
        )
        return part.model_copy(update={"checkpoint": checkpoint})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome, in the process that ends the session."""
        if getattr(report, "privaudit_looks_alike", False):
            # The controller of xdist took its id for one of an audit's; its worker knew better.
            self._expected.pop(report.nodeid, None)
        if self._update is not None:
            self._update.heard(report)
        carried = getattr(report, "privaudit", None)
        if carried is None:
            return
        from privaudit.record import AuditRecord

        file, line, _ = report.location
        self._places[report.nodeid] = (file, (line or 0) + 1)
        content = json.loads(carried)
        part, outcome = AuditRecord.from_json(content["record"]), Outcome(*content["outcome"])
        if content["claims"]:
            self._claiming.add(part.name)
        before = self._outcomes.get(report.nodeid)
        if before is not None and before.final and before.red:
            if not part.all_results:
                return  # a rerun that was skipped, or failed: the red result stays in the record
            outcome = before
        self._outcomes[report.nodeid] = outcome
        self._open_log().add(report.nodeid, part)

    def _open_log(self) -> RecordLog:
        if self._log is None:
            from privaudit.record import RecordLog

            self._log = RecordLog(result_order())
        return self._log

    # -- what was collected

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse bad markers, and markers of tests that audit nothing."""
        message = forgotten_fixture(items) or misspelt_marker(items) or self._read(items)
        if message is None:
            return
        output = worker_output(self._config)
        if output is None:
            raise pytest.UsageError(message)
        # A worker that raises here is an internal error to xdist: it says so with its output
        # instead, and the controller raises.
        output[USAGE_ERROR] = message
        items.clear()

    def _read(self, items: list[pytest.Item]) -> str | None:
        """Read what each item says of its audit; return what is wrong with the first bad one."""
        for item in filter(is_audit, items):
            try:
                item.stash[ITEM] = read = read_item(item, self._settings)
                if read.settings.baseline is not None:
                    from privaudit.audit.baseline import baseline_key

                    baseline_key(self._session.baseline_key)  # not after an hour
            except ValueError as error:
                return f"{item.nodeid.partition('[')[0]}: {error}"
        return None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that was skipped whole, if it asks for an attack."""
        file = self._config.rootpath / report.nodeid
        if report.skipped and file.is_file() and FIXTURE.encode() in file.read_bytes():
            self._dropped.add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which results must arrive, and which were collected and will not."""
        selected = {item.nodeid for item in session.items}
        self._expect([item.nodeid for item in session.items if is_audit(item)])
        collected = self._config.stash.get(COLLECTED, [])
        self._dropped |= {item.nodeid for item in collected} - selected
        output = worker_output(self._config)
        if output is not None:
            output[DROPPED] = json.dumps(sorted(self._dropped))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember which results must arrive from the workers."""
        self._expect(ids)

    def _expect(self, ids: list[str]) -> None:
        addresses = {nodeid: address_of(nodeid) for nodeid in ids}
        self._expected |= {nodeid: a for nodeid, a in addresses.items() if a is not None}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear of a usage error that stopped a worker, and of what it dropped."""
        output = getattr(node, "workeroutput", None) or {}
        self._usage_error = self._usage_error or output.get(USAGE_ERROR)
        self._dropped |= set(json.loads(output.get(DROPPED, "[]")))

    # -- the end of the session

    def pytest_internalerror(self) -> None:
        """Note an error of pytest itself, after which xdist may still end green."""
        self._open_log().notes.append("an internal error interrupted the session: it cannot pass")

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note an interruption: a second one could take its exit status away."""
        self._ended_early = True
        self._interrupted = isinstance(excinfo.value, KeyboardInterrupt)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Raise what stopped a worker of xdist."""
        outcome = yield
        if self._usage_error:
            raise pytest.UsageError(self._usage_error)
        return outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Judge the session, and write its record, whatever happened and whoever comes after."""
        if self._runs_nothing or worker_input(session.config) is not None:
            self._say_of_store()
            return (yield)
        self._judge(session)
        status = int(session.exitstatus)
        self._write(session, status)
        self._write_documents(session, status)
        self._say_of_store()
        try:
            return (yield)
        finally:
            if not session.exitstatus:  # another plugin may set it; red stays red
                session.exitstatus = status
            if int(session.exitstatus) != status:
                self._write(session, int(session.exitstatus))
            self._signals.restore()

    def _judge(self, session: pytest.Session) -> None:
        """Set the exit status: the one place that decides whether a session is green."""
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if (self._interrupted or interrupted) and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        if self._usage_error and session.exitstatus in GREEN:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        notes = self._session_notes()
        if session.exitstatus in GREEN:  # else the failed tests say why
            notes += self._item_notes()
        if notes:
            self._open_log().notes.extend(notes)
        if self._log is not None and self._log.notes and session.exitstatus in GREEN:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _item_notes(self) -> list[str]:
        """Say which items are red or missing in a session that would be green, a line a kind."""
        red = {nodeid: one.red for nodeid, one in self._outcomes.items() if one.red}
        lines = []
        if red:
            first = min(red)
            lines.append(
                f"{_count(red, 'audit result')} red although no test of the session counts as "
                f"failed (a rerun, a skip, another plugin or pytest.exit hid it), the first "
                f"{first}: {red[first].partition(chr(10))[0]}"
            )
        missing = sorted(self._missing)
        if missing:
            lines.append(f"{len(missing)} audit items never reported, the first {missing[0]}")
        return lines

    def _session_notes(self) -> list[str]:
        """Say what makes the whole session red, a line each."""
        log = self._log
        audits = [] if log is None else log.audits()
        notes = [] if log is None else log.mixed()
        notes += self._unchecked_claims(audits)
        if self._session.strict:
            notes += self._strict_notes()
        if self._update is not None:
            notes += (
                ["no baseline was written: the session ended before all its tests had run"]
                if self._ended_early
                else self._update.write(audits, len(self._missing))
            )
        return notes

    def _unchecked_claims(self, audits: list[AuditRecord]) -> list[str]:
        """Name the audits with a ``privacy_claim`` that no result bounds; a part need not."""
        partial = {a.audit for nodeid in self._dropped if (a := address_of(nodeid)) is not None}
        return [
            f"the privacy_claim of {audit.name} was checked by no result: give attack-III or "
            "attack-IV its fixtures, or remove the claim"
            for audit in audits
            if audit.name in self._claiming - partial
            and not any(r.claim is not None and r.epsilon is not None for r in audit.all_results)
            and not any(item.outcome in ("error", "invalid") for item in audit.not_completed)
        ]

    def _strict_notes(self) -> list[str]:
        """Say what ``--privaudit-strict`` refuses: audits that were not run, for any reason."""
        notes = []
        if self._log is None or not self._log.n_completed:
            notes.append("0 audits were completed, and --privaudit-strict asks for at least one")
        left = {nodeid: one.left_out for nodeid, one in self._outcomes.items() if one.left_out}
        if left:
            first = min(left)
            notes.append(
                f"{_count(left, 'audit item')} skipped, and --privaudit-strict asks for all, the "
                f"first {first}: {left[first].partition(chr(10))[0]}"
            )
        if self._dropped:
            notes.append(
                f"{_count(self._dropped, 'audit item')} deselected or dropped, and "
                f"--privaudit-strict asks for all, the first {min(self._dropped)}"
            )
        return notes

    @property
    def _missing(self) -> dict[str, Address]:
        """The items that have not reported."""
        log = self._log
        return {
            nodeid: address
            for nodeid, address in self._expected.items()
            if log is None or nodeid not in log
        }

    def _write(self, session: pytest.Session, status: int) -> None:
        """Write the JSON file and the history, if there was an audit."""
        if self._log is None and not self._expected:
            return
        from importlib.metadata import version

        from privaudit.errors import PrivauditError
        from privaudit.record import write_json

        log, path = self._open_log(), self._session.json
        record = log.record(version("privaudit"), status, self._missing.values())

        def unwritten(error: Exception) -> None:
            note = f"{self._shown(path) or 'the record'} could not be written: {error}"
            log.notes += [note] if note not in log.notes else []
            if session.exitstatus in GREEN:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

        if self._session.record_ids == "hashed":
            from privaudit.record import hash_ids
            from privaudit.store.seals import get_id_names

            try:
                record = hash_ids(record, get_id_names())
            except PrivauditError as error:
                unwritten(error)
                return  # nothing with the ids as they are is written anywhere
        if path is not None:
            try:
                write_json(path, record)
            except (OSError, ValueError) as error:
                unwritten(error)
        history, mlflow = self._session.history, self._session.mlflow
        if not self._lines and (history is not None or mlflow is not None):
            from privaudit.history import keep

            audits = record.audits
            self._lines += keep(audits, version("privaudit"), history=history, mlflow=mlflow)

    def _write_documents(self, session: pytest.Session, status: int) -> None:
        """Write the report and a job's summary, if there was an audit."""
        if self._log is None:
            return
        from importlib.metadata import version

        from privaudit.plugin.documents import report_path, write_documents

        record = self._log.record(version("privaudit"), status, self._missing.values())
        line, problems = write_documents(self._session, record)
        self._lines += [line] if line else []
        self._log.notes += problems
        if problems and session.exitstatus in GREEN:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        path = report_path(self._session)
        if path is not None and path.is_file() and not problems:
            self._files.append(f"report: {self._shown(path)}")
        if self._session.json is not None:
            self._files.append(f"record: {self._shown(self._session.json)}")

    def _say_of_store(self) -> None:
        """Bring the store under its limit; what cannot be is said, and takes no record away."""
        if self._runner is None:
            return
        from privaudit.errors import PrivauditError

        try:
            self._runner.store.evict(values_too=True)
        except PrivauditError as error:
            self._lines.append(f"the store was not brought under its limit: {error}")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print a block for each audit, if there was one."""
        if self._log is None:
            return
        from privaudit.plugin.documents import annotate
        from privaudit.report.terminal import render

        width, markup = writer_of(terminalreporter)
        shown = render(
            self._log.audits(),
            self._log.notes,
            width=width,
            verbose=self._config.get_verbosity() > 0,
            markup=markup,
            files=self._files,
        )
        lines = [*shown, *self._lines]
        if self._update is not None:
            lines += self._update.said
        reds = {nodeid: outcome.red for nodeid, outcome in self._outcomes.items()}
        lines += annotate(reds, self._places)
        print_section(terminalreporter, "privaudit", lines)


def _is_expected(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> bool:
    """Tell whether the item's own test expects it to fail, and no other plugin says so for it."""
    marked = item.get_closest_marker("xfail") is not None
    in_body = report.when == "call" and isinstance(error, pytest.xfail.Exception)
    return hasattr(report, "wasxfail") and not report.failed and (marked or in_body)


def _count(things: Any, name: str) -> str:
    """Say how many there are, with the verb that fits."""
    return f"1 {name} is" if len(things) == 1 else f"{len(things)} {name}s are"


def _scenario(item: AuditItem) -> str:
    """Name a scenario as records do: ``attack-I``, or an access such as ``weights``."""
    return item.scenario if item.scenario in ACCESSES else f"attack-{item.scenario}"


def _name(item: AuditItem) -> str:
    """Name a result as records do."""
    return f"{_scenario(item)}-{item.attack}"
