"""The pytest plugin: options, the ``membership_attack`` fixture, the gate, the summary.

Nothing but the standard library and pytest is imported until an audit runs.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.config import OPTIONS, STRICT, Settings, marker_settings, resolve
from privaudit.errors import PrivauditError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from privaudit.record import AttackResult
    from privaudit.report.log import AuditLog

FIXTURE = "membership_attack"
AUDIT_ITEM = re.compile(
    r"\[.*\battack-(?:I|II|III|IV)-(?:threshold|distribution|classifier)\b.*\]$"
)

SETTINGS = pytest.StashKey[Settings]()
RESULT = pytest.StashKey["AttackResult"]()


class PrivacyBudgetExceeded(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """The failure of a test whose membership attack went over the privacy budget.

    Use it in ``pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)`` to
    expect a leak without hiding any other failure.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


# ---------------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of :mod:`privaudit.config` to the command line and the ini file."""
    group = parser.getgroup("privaudit", "membership-inference audits of text-to-image models")
    for option in OPTIONS:
        group.addoption(
            *option.flags,
            dest=f"privaudit_{option.name}",
            default=None,
            metavar=option.name.upper(),
            help=option.help,
        )
    group.addoption(
        *STRICT.flags,
        dest="privaudit_strict",
        action="store_const",
        const="true",
        default=None,
        help=STRICT.help,
    )
    for option in (*OPTIONS, STRICT):
        parser.addini(f"privaudit_{option.name}", option.help, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings, so that a bad one stops the session before any test."""
    config.addinivalue_line(
        "markers",
        "privacy_budget(max_auc, **settings): largest ROC-AUC that this audit's model may show, "
        "and any setting of privaudit, such as queries=3 or scenarios='I,III'.",
    )
    config.addinivalue_line("python_files", "audit_*.py")
    names = [option.name for option in (*OPTIONS, STRICT)]
    try:
        settings = resolve(
            {name: config.getoption(f"privaudit_{name}") for name in names},
            {name: config.getini(f"privaudit_{name}") for name in names},
        )
    except SettingError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.json is not None and settings.json.is_dir():
        msg = f"--privaudit-json={str(settings.json)!r} is a folder: name a file"
        raise pytest.UsageError(msg)
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(AuditSession(config, settings), "privaudit-session")


def _settings(node: pytest.Item | pytest.Function, session: Settings) -> Settings:
    """Apply the item's markers, the farthest first, so that the closest one wins."""
    settings = session
    for marker in reversed(list(node.iter_markers("privacy_budget"))):
        settings = marker_settings(settings, marker.args, marker.kwargs)
    return settings


# ---------------------------------------------------------------------------- collection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Expand a test that asks for ``membership_attack`` into one item an attack."""
    if FIXTURE not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[SETTINGS]
    with contextlib.suppress(SettingError):  # raised as a usage error once all is collected
        session = _settings(metafunc.definition, session)
    pairs = [(scenario, attack) for scenario in session.scenarios for attack in session.attacks]
    ids = [f"attack-{scenario}-{attack}" for scenario, attack in pairs]
    metafunc.parametrize(FIXTURE, pairs, ids=ids, indirect=True)


def _audit_of(item: pytest.Item) -> tuple[str, str] | None:
    """Return the item's scenario and inference model, or ``None`` if it is no audit."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(FIXTURE) if callspec else None


# ---------------------------------------------------------------------------- fixtures


def _absent(name: str, meaning: str) -> Any:
    def absent() -> None:
        return None

    absent.__doc__ = f"{meaning} Override it in an audit file or a conftest.py."
    return pytest.fixture(scope="session", name=name)(absent)


target_model = _absent("target_model", "The fine-tuned model: a diffusers pipeline or a callable.")
members = _absent("members", "Samples the model was fine-tuned on.")
non_members = _absent("non_members", "Samples of the same kind that it was not fine-tuned on.")
captioner = _absent("captioner", "Writes captions from images, for scenarios II and IV.")
image_encoder = _absent("image_encoder", "Encoder to use in place of --privaudit-encoder.")
shadow_model = _absent("shadow_model", "The attacker's own fine-tune, for III and IV.")
shadow_members = _absent("shadow_members", "Samples the shadow model was fine-tuned on.")
shadow_non_members = _absent("shadow_non_members", "Samples it was not fine-tuned on.")
auxiliary_samples = _absent("auxiliary_samples", "Samples to make a shadow model from.")
fine_tune = _absent("fine_tune", "Makes the shadow model: fine_tune(samples) -> model.")


@pytest.fixture
def membership_attack(request: pytest.FixtureRequest) -> AttackResult:
    """Run one attack of the audit; the plugin fails the test when it goes over the budget.

    Returns
    -------
    AttackResult
        With ``auc``, ``budget``, ``verdict`` and more, see :class:`privaudit.AttackResult`.
    """
    audit_session = request.config.pluginmanager.get_plugin("privaudit-session")
    return audit_session.attack(request)  # type: ignore[no-any-return,union-attr]


class AuditSession:
    """What one pytest process knows of its audits: models seen, the store, the log."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._log: AuditLog | None = None
        self._store: Any = None
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._expected: set[str] = set()
        self._usage_error: str | None = None

    # -- running one attack

    def attack(self, request: pytest.FixtureRequest) -> AttackResult:
        """Gather the fixtures and run the attack of the requesting item."""
        scenario, attack = request.param
        settings = _settings(request.node, self._settings)
        try:
            result = self._run(request, scenario, attack, settings)
        except PrivauditError as error:
            pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)
        request.node.stash[RESULT] = result
        from privaudit.report.junit import properties

        request.node.user_properties.extend(properties(result))
        return result

    def _run(
        self, request: pytest.FixtureRequest, scenario: str, attack: str, settings: Settings
    ) -> AttackResult:
        from privaudit.audit import Ingredients, make_shadow, run_attack
        from privaudit.encoders import as_encoder
        from privaudit.generators import as_generator
        from privaudit.scenarios import SCENARIOS

        plan = SCENARIOS[scenario]
        fixture = request.getfixturevalue
        given = {name: fixture(name) for name in ("members", "non_members", "target_model")}
        absent = [name for name, value in given.items() if value is None]
        if absent:
            pytest.fail(
                f"{len(absent)} fixtures of this audit are missing: write {', '.join(absent)} "
                "in the audit file or a conftest.py",
                pytrace=False,
            )
        if not plan.knows_captions:
            given["captioner"] = fixture("captioner")
            if given["captioner"] is None:
                self._lacks(settings, plan.name, "captioner")
        if not plan.knows_members:
            shadow = ("shadow_model", "shadow_members", "shadow_non_members")
            given |= {name: fixture(name) for name in shadow}
            lacking = [name for name in shadow if given[name] is None]
            if lacking:
                auxiliary, tune = fixture("auxiliary_samples"), fixture("fine_tune")
                if auxiliary is None or tune is None:
                    self._lacks(
                        settings,
                        plan.name,
                        f"{', '.join(lacking)} (or auxiliary_samples and fine_tune)",
                    )
                trio = self._once(
                    "shadow",
                    (auxiliary, tune),
                    lambda _: make_shadow(
                        tune, auxiliary, given["members"], given["non_members"], settings.seed
                    ),
                )
                given |= dict(zip(shadow, trio, strict=True))

        def generator(model: Any) -> Any:
            return as_generator(
                model,
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
            )

        for name in ("target_model", "shadow_model"):
            model = given.get(name)
            if model is not None:
                # A pipeline can be changed between two tests, so its weights are hashed for
                # each; a bare function is known by nothing but its identity.
                is_pipeline = hasattr(model, "components")
                given[name] = (
                    generator(model) if is_pipeline else self._once(name, model, generator)
                )
        if "captioner" in given:
            from privaudit.captioners import as_captioner

            given["captioner"] = self._once("captioner", given["captioner"], as_captioner)
        encoder = fixture("image_encoder")
        given["image_encoder"] = self._once(
            "encoder", settings.encoder if encoder is None else encoder, as_encoder
        )
        with self._progress(request.node.name) as progress:
            return run_attack(
                scenario, attack, Ingredients(**given), settings, self._open_store(), progress
            )

    def _lacks(self, settings: Settings, scenario: str, names: str) -> None:
        message = f"{scenario} needs a fixture it does not have: write {names}"
        if settings.strict:
            pytest.fail(f"{message} (--privaudit-strict)", pytrace=False)
        pytest.skip(message)

    def _once(self, kind: str, given: Any, make: Callable[[Any], Any]) -> Any:
        """Convert an object a fixture returned, once for as long as that object lives."""
        parts = given if isinstance(given, tuple) else (given,)
        key = (kind, hash(tuple(part if isinstance(part, str) else id(part) for part in parts)))
        if key not in self._known:
            # The object is kept too: its id must not be given to another one.
            self._known[key] = (given, make(given))
        return self._known[key][1]

    def _open_store(self) -> Any:
        if self._store is None:
            from privaudit.store import Store, default_folder

            folder = self._settings.store or default_folder()
            self._store = Store(None if str(folder) == "none" else folder)
        return self._store

    @contextlib.contextmanager
    def _progress(self, name: str) -> Iterator[Callable[[int, int], None] | None]:
        """Show a bar while an attack generates, where someone is watching."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if not getattr(terminal, "isatty", False):  # xdist's workers have none at all
            yield None
            return
        from tqdm import tqdm

        capture = self._config.pluginmanager.get_plugin("capturemanager")
        uncaptured = capture.global_and_fixture_disabled if capture else contextlib.nullcontext
        bar: Any = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            with uncaptured():
                if bar is None:
                    bar = tqdm(desc=name, total=total, unit="image", leave=False)
                bar.n = done
                bar.refresh()

        try:
            yield progress
        finally:
            if bar is not None:
                with uncaptured():
                    bar.close()

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
            from privaudit.gate import explain

            raise PrivacyBudgetExceeded(explain(result, pyfuncitem.nodeid)) from cause
        return outcome

    # -- reporting: entries travel on the test reports, which xdist carries

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the item's entry to its report."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, PrivacyBudgetExceeded):
            crash = getattr(report.longrepr, "reprcrash", None)
            if crash is not None:
                # The short summary has room for one line: the numbers, not the class's name.
                crash.message = str(call.excinfo.value)
        audit = _audit_of(item)
        result = item.stash.get(RESULT, None)
        ended_early = report.when == "setup" and not report.passed
        if audit is not None and (report.when == "call" or ended_early):
            settings = _settings(item, self._settings)
            outcome = "completed" if result else "skipped" if report.skipped else "error"
            report.privaudit = {  # type: ignore[attr-defined]
                "audit": item.nodeid.partition("[")[0],
                "scenario": f"attack-{audit[0]}",
                "attack": audit[1],
                "budget": settings.budget,
                "budget_source": settings.source("budget"),
                "settings": settings.to_dict(),
                "outcome": outcome,
                "reason": "" if result else _reason(report),
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
            if _audit_of(item) is None:
                continue
            try:
                _settings(item, self._settings)
            except SettingError as error:
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
        self._expected |= {item.nodeid for item in session.items if _audit_of(item)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember which results must arrive from the workers."""
        self._expected |= {nodeid for nodeid in ids if AUDIT_ITEM.search(nodeid)}

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
        if hasattr(session.config, "workerinput") or option.collectonly or option.setupshow:
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


def _reason(report: pytest.TestReport) -> str:
    """Give the first line of why an item was skipped or failed."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash else str(longrepr or getattr(report, "wasxfail", ""))
    return (text.strip().splitlines() or [""])[0]
