"""One pytest session's audits: the gate, what travels on the reports, never green without results.

A plugin object of its own, registered once the settings are known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.attacks.registry import names
from privaudit.settings.resolve import Settings, marker_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from privaudit.record.result import AttackResult
    from privaudit.report.log import AuditLog

FIXTURE = "membership_attack"
AUDIT_ITEM = r"\[.*\battack-(?:I|II|III|IV)-(?:" + "|".join(names()) + r")\b.*\]$"

SETTINGS = pytest.StashKey[Settings]()
RESULT: pytest.StashKey[AttackResult] = pytest.StashKey()


class GateFailure(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """Any failure that the plugin itself decided on: its message says all, without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


class PrivacyBudgetExceeded(GateFailure):
    """The failure of a test whose membership attack went over the privacy budget.

    Use it in ``pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)`` to
    expect a leak without hiding any other failure.
    """


class PrivacyClaimExceeded(PrivacyBudgetExceeded):
    """The failure of a test that found more ε than a ``privacy_claim`` marker claims."""


class AuditInconclusive(GateFailure):
    """The failure of a test whose samples were too few for the gate to decide."""


class AuditInvalid(GateFailure):
    """The failure of a test from which nothing could be concluded, whatever the model."""


def item_settings(node: pytest.Item | pytest.Function, session: Settings) -> Settings:
    """Apply the item's markers, the farthest first, so that the closest one wins."""
    settings = session
    for marker in reversed(list(node.iter_markers("privacy_budget"))):
        settings = marker_settings(settings, marker.args, marker.kwargs)
    return settings


def item_claim(node: pytest.Item | pytest.Function) -> tuple[float, float] | None:
    """Return ε and δ of the closest ``privacy_claim`` marker, or ``None``.

    Raises
    ------
    SettingError
        If it does not name two numbers in their ranges.
    """
    marker = node.get_closest_marker("privacy_claim")
    if marker is None:
        return None
    from privaudit.errors import SettingError

    given = dict(zip(("epsilon", "delta"), marker.args, strict=False)) | dict(marker.kwargs)
    if len(marker.args) > 2 or set(given) != {"epsilon", "delta"}:
        msg = f"privacy_claim{marker.args}{marker.kwargs} takes epsilon and delta"
        raise SettingError(msg)
    ranges = {"epsilon": (0.0, float("inf")), "delta": (0.0, 1.0)}
    for name, (low, high) in ranges.items():
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
            msg = f"privacy_claim({name}={value!r}) must be a number in [{low:g}, {high:g})"
            raise SettingError(msg)
    return float(given["epsilon"]), float(given["delta"])


def audit_of(item: pytest.Item) -> tuple[str, str] | None:
    """Return the item's scenario and inference model, or ``None`` if it is no audit."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(FIXTURE) if callspec else None


def parameter_indices(item: Any) -> list[tuple[str, int]]:
    """Return the user's own parameters of an item, by positions: the same in every worker."""
    indices = item.callspec.indices.items()
    return sorted((name, int(i)) for name, i in indices if name != FIXTURE)


def audit_variant(item: Any) -> str:
    """Name the audit that an item belongs to: its test, with the user's own parameters."""
    return f"{item.nodeid.partition('[')[0]} {parameter_indices(item)}"


class AuditSession:
    """What one pytest process knows of its audits: the results so far, and those still due."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._log: AuditLog | None = None
        self._expected: set[str] = set()
        self._usage_error: str | None = None

    # -- the gate

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Fail a test over budget, whatever its body asserted, forgot or skipped."""
        result = pyfuncitem.stash.get(RESULT, None)
        cause: BaseException | None = None
        outcome: object = None
        try:
            outcome = yield
        except pytest.xfail.Exception:
            raise
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            if result is None or result.verdict == "pass":
                raise
            # The body's own comparison of the AUC says less than the gate does.
            cause = None if isinstance(error, AssertionError) else error
        if result is not None and result.verdict != "pass":
            from privaudit.audit.verdict import explain

            kind = AuditInconclusive if result.verdict == "inconclusive" else PrivacyBudgetExceeded
            if result.claim_exceeded:
                kind = PrivacyClaimExceeded
            raise kind(explain(result, pyfuncitem.nodeid)) from cause
        return outcome

    # -- reporting: entries travel on the test reports, which xdist carries

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the item's entry to its report."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, GateFailure):
            crash = getattr(report.longrepr, "reprcrash", None)
            if crash is not None:
                # The short summary has room for one line: the numbers, not the class's name.
                crash.message = str(call.excinfo.value)
        audit = audit_of(item)
        result = item.stash.get(RESULT, None)
        ended_early = report.when == "setup" and not report.passed
        if audit is not None and (report.when == "call" or ended_early):
            settings = item_settings(item, self._settings)
            outcome = "completed" if result else "skipped" if report.skipped else "error"
            if call.excinfo is not None and isinstance(call.excinfo.value, AuditInvalid):
                outcome = "invalid"
            report.privaudit = {  # type: ignore[attr-defined]
                "audit": item.nodeid.partition("[")[0],
                "scenario": f"attack-{audit[0]}",
                "attack": audit[1],
                "budget": settings.budget,
                "budget_source": settings.source("budget"),
                "settings": settings.to_dict(),
                "outcome": outcome,
                "reason": "" if result else first_line(report),
                "result": result.to_dict() if result else None,
            }
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the entry, in the process that ends the session."""
        entry = getattr(report, "privaudit", None)
        if entry is not None:
            self._open_log().add(report.nodeid, entry)

    def _open_log(self) -> AuditLog:
        if self._log is None:
            from privaudit.report.log import AuditLog

            self._log = AuditLog()
        return self._log

    # -- never green without results

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse bad markers, and remember which results must arrive."""
        for item in items:
            if audit_of(item) is None:
                continue
            try:
                item_settings(item, self._settings)
                item_claim(item)
            except ValueError as error:
                message = f"{item.nodeid.partition('[')[0]}: {error}"
                if not hasattr(self._config, "workeroutput"):
                    raise pytest.UsageError(message) from None
                # A worker that raises here is an internal error to xdist: it says so with its
                # output instead, and the controller raises.
                self._config.workeroutput["privaudit_usage_error"] = message
                items.clear()
                return

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which results must arrive."""
        self._expected |= {item.nodeid for item in session.items if audit_of(item)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember which results must arrive from the workers."""
        self._expected |= {nodeid for nodeid in ids if re.search(AUDIT_ITEM, nodeid)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear of a usage error that stopped a worker."""
        output = getattr(node, "workeroutput", None) or {}
        self._usage_error = self._usage_error or output.get("privaudit_usage_error")

    def pytest_internalerror(self) -> None:
        """Note an error of pytest itself, after which xdist may still end green."""
        self._open_log().notes.append("an internal error interrupted the session: it cannot pass")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Turn a session red whose audits did not all report."""
        outcome = yield
        option = session.config.option
        not_run = option.collectonly or option.setupshow or self._settings.plan
        if hasattr(session.config, "workerinput") or not_run:
            return outcome
        if self._usage_error:
            raise pytest.UsageError(self._usage_error)
        log = self._log
        missing = [nodeid for nodeid in sorted(self._expected) if log is None or nodeid not in log]
        notes = []
        if missing and not session.testsfailed:
            notes.append(f"{len(missing)} audit items never reported, the first {missing[0]}")
        if self._settings.strict and (log is None or not log.counts()["completed"]):
            notes.append("0 audits were completed, and --privaudit-strict asks for at least one")
        if notes:
            self._open_log().notes.extend(notes)
        if self._log is not None and self._log.notes and not session.testsfailed:
            session.testsfailed += 1
        return outcome

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the JSON file, also when the build is red."""
        path = self._settings.json
        if self._log is None or path is None or hasattr(session.config, "workerinput"):
            return
        from importlib.metadata import version

        from privaudit.report.json_file import write_json

        try:
            write_json(path, self._log.document(version("privaudit"), int(exitstatus)))
        except (OSError, ValueError) as error:
            self._log.notes.append(f"{path} could not be written: {error}")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the tables, if there was an audit."""
        if self._log is None:
            return
        from privaudit.report.terminal import render

        terminalreporter.section("privaudit")
        for line in render(self._log):
            terminalreporter.line(line)


def first_line(report: pytest.TestReport) -> str:
    """Give the first line of why an item was skipped or failed."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash else str(longrepr or getattr(report, "wasxfail", ""))
    return (text.strip().splitlines() or [""])[0]
