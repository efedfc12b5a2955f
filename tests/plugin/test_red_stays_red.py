"""A red stays red: whatever is done to a session, a leak or a missing verdict is no exit 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from privaudit import SessionRecord
from tests.parts.audit_folder import COINS, GATED, LEAKING, SAFE, AuditFolder

ONE = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold", "--privaudit-json=out.json")
LATER = """
def test_z_later():
    pytest.exit("enough", returncode=0)
"""
CLAIMED = """
@pytest.mark.privacy_claim(epsilon=0.2, delta=1e-3)
@pytest.mark.privacy_budget(1.0)
def test_leak(membership_attack):
    pass
"""
WITHOUT_SHADOW = """
@pytest.fixture(scope="session")
def shadow_model():
    return None
"""
TWO = """
def test_leak(membership_attack):
    pass

@pytest.mark.privacy_budget(1.0)
def test_loose(membership_attack):
    pass
"""


def record(folder: AuditFolder) -> SessionRecord:
    return SessionRecord.from_json((folder.path / "out.json").read_text())


def assert_red(folder: AuditFolder, result: pytest.RunResult, status: int = 1) -> SessionRecord:
    """The exit status, and the record's, are those of a red session, and the record has the leak."""
    assert result.ret == status
    written = record(folder)
    assert written.exit_status == status
    return written


# -- what hides a failed test


REWRITTEN = {
    "the report": """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    return report
""",
    "the report, as expected": """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.outcome, report.wasxfail = "skipped", "in quarantine"
    return report
""",
    "the report, before the gate sees it": """
import pytest

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.outcome, report.longrepr = "skipped", ("", 0, "flaky")
    return report
""",
    "the call": """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        return (yield)
    except BaseException:
        return True
""",
    "the protocol": """
def pytest_runtest_protocol(item, nextitem):
    return True
""",
    "the exit status": """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0
""",
}


@pytest.mark.parametrize("conftest", REWRITTEN.values(), ids=REWRITTEN)
def test_another_plugin_cannot_hide_a_leak(audit_folder: AuditFolder, conftest: str) -> None:
    audit_folder.pytester.makeconftest(conftest)
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run(*ONE)
    written = assert_red(audit_folder, result)
    if "protocol" not in conftest:
        assert written.audits[0].verdict == "fail"
        result.stdout.fnmatch_lines(["test_model.py::test_leak: FAIL*"])


def test_a_loop_that_runs_nothing_is_red(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makeconftest("def pytest_runtestloop(session): return True")
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run(*ONE)
    assert not assert_red(plain_folder, result).complete
    result.stdout.fnmatch_lines(["1 audit items never reported*"])


@pytest.mark.parametrize("strict", [(), ("--privaudit-strict",)], ids=["plain", "strict"])
def test_an_exit_after_a_leak_is_red(plain_folder: AuditFolder, strict: tuple[str, ...]) -> None:
    plain_folder.write(LEAKING, GATED, LATER)
    written = assert_red(plain_folder, plain_folder.run(*ONE, *strict))
    assert written.audits[0].verdict == "fail"


def test_an_exit_before_the_verdict_is_red(plain_folder: AuditFolder) -> None:
    exits = "@pytest.fixture(scope='session')\ndef target_model(): pytest.exit('x', returncode=0)"
    plain_folder.write(exits, GATED)
    result = plain_folder.run(*ONE)
    assert not assert_red(plain_folder, result).complete
    result.stdout.fnmatch_lines(["1 audit items never reported*"])


def test_an_exit_after_green_audits_is_the_users(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED, LATER)
    assert plain_folder.run(*ONE, "--privaudit-budget=1").ret == 0
    assert record(plain_folder).complete


# -- reruns

SKIPS_IN_THE_RERUN = """
@pytest.fixture
def machine(request, n=[0]):
    n[0] += 1
    if n[0] > 1:
        pytest.skip("no GPU any more")

def test_leak(membership_attack, machine):
    pass
"""
SKIPS_FIRST = SKIPS_IN_THE_RERUN.replace(
    "(membership_attack, machine)", "(machine, membership_attack)"
)


@pytest.mark.parametrize("code", [SKIPS_IN_THE_RERUN, SKIPS_FIRST], ids=["after", "before"])
def test_a_skip_in_a_rerun_takes_nothing_back(audit_folder: AuditFolder, code: str) -> None:
    audit_folder.write(LEAKING, code)
    result = audit_folder.run(*ONE, "--reruns=2")
    assert assert_red(audit_folder, result).audits[0].verdict == "fail"


def test_a_rerun_of_a_sequential_audit_fails_again(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    sequential = ("--privaudit-sequential", "--privaudit-batch-size=4", "--privaudit-budget=0.55")
    result = audit_folder.run(*ONE, *sequential, "--reruns=2")
    assert assert_red(audit_folder, result).audits[0].verdict == "fail"
    result.assert_outcomes(failed=1)


# -- what the body says

REPORTED_ONLY = """
from tests.parts.pipelines import tiny_pipeline

@pytest.fixture(scope="session")
def target_model():
    return tiny_pipeline()

@pytest.mark.privacy_budget(1.0, white_box="sima", num_inference_steps=1)
def test_leak(membership_attack):
    assert membership_attack.scenario != "weights", "not what was agreed"
"""


@pytest.mark.slow
def test_an_assertion_of_a_reported_result_is_the_users(plain_folder: AuditFolder) -> None:
    plain_folder.write(REPORTED_ONLY)
    result = plain_folder.run("-k", "weights", "--privaudit-json=out.json", subprocess=True)
    assert_red(plain_folder, result)
    result.stdout.fnmatch_lines(["*not what was agreed*"])


# -- claims


@pytest.mark.parametrize("strict", [(), ("--privaudit-strict",)], ids=["plain", "strict"])
def test_a_claim_that_nothing_checked_is_red(
    audit_folder: AuditFolder, strict: tuple[str, ...]
) -> None:
    audit_folder.write(SAFE, COINS, WITHOUT_SHADOW, CLAIMED)
    arguments = ("--privaudit-attacks=threshold", "--privaudit-scenarios=I,III")
    result = audit_folder.run(*arguments, "--privaudit-json=out.json", *strict)
    assert_red(audit_folder, result)
    if not strict:
        result.stdout.fnmatch_lines(["the privacy_claim of *::test_leak was checked by no result*"])
    # A part that was selected by name need not check it.
    part = audit_folder.run(*arguments, "-k", "attack-I-")
    assert part.ret == 0


# -- the plugin is whole


@pytest.mark.parametrize("name", ["privaudit-session", "privaudit-planning", "privaudit-gate"])
@pytest.mark.parametrize("where", ["command line", "PYTEST_ADDOPTS", "ini"])
def test_the_gate_has_no_name_to_take_it_away_by(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    plain_folder.write(LEAKING, GATED)
    arguments = [f"-p no:{name}"] if where == "command line" else []
    if where == "PYTEST_ADDOPTS":
        monkeypatch.setenv("PYTEST_ADDOPTS", f"-p no:{name}")
    if where == "ini":
        plain_folder.pytester.makeini(f"[pytest]\nprivaudit_queries = 1\naddopts = -p no:{name}")
    assert_red(plain_folder, plain_folder.run(*ONE, *arguments, "--privaudit-strict"))


def test_without_the_gate_the_fixture_refuses(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makeconftest(
        """
        def pytest_collection_finish(session):
            manager = session.config.pluginmanager
            for plugin in manager.get_plugins():
                if type(plugin).__name__ == "Gate":
                    manager.unregister(plugin)
        """
    )
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run(*ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the gate of privaudit is not registered with pytest*"])


# -- strict asks for all

DROPPING = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "leak" not in item.name]
"""
SKIPPING = """
import pytest

def pytest_runtest_setup(item):
    if "leak" in item.name:
        pytest.skip("no GPU")
"""


@pytest.mark.parametrize(
    ("conftest", "arguments", "code"),
    [
        (DROPPING, (), TWO),
        (SKIPPING, (), TWO),
        ("", ("-k", "loose"), TWO),
        ("", ("--deselect", "test_model.py::test_leak"), TWO),
        ("", (), "\n@pytest.mark.skip" + TWO),
        ("", (), "\n@pytest.mark.skipif(True, reason='no GPU')" + TWO),
        ("", (), "\n@pytest.mark.parametrize('x', [])" + TWO.replace("leak(", "leak(x, ", 1)),
    ],
    ids=["dropped", "skipped by a hook", "-k", "--deselect", "skip", "skipif", "no parameter"],
)
def test_strict_asks_for_every_audit(
    audit_folder: AuditFolder, conftest: str, arguments: tuple[str, ...], code: str
) -> None:
    if conftest:
        audit_folder.pytester.makeconftest(conftest)
    audit_folder.write(SAFE, code)
    if not audit_folder.workers:
        plain = audit_folder.run(*ONE, "--privaudit-budget=1", *arguments)
        assert plain.ret == 0
    result = audit_folder.run(*ONE, "--privaudit-budget=1", "--privaudit-strict", *arguments)
    assert_red(audit_folder, result)
    result.stdout.fnmatch_lines(["1 audit item is *, and --privaudit-strict asks for all*"])


def test_strict_asks_for_a_file_that_skips_itself(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    audit_folder.write("pytest.importorskip('no_such_module')", GATED, name="test_other")
    arguments = (*ONE, "--privaudit-budget=1")
    assert audit_folder.run(*arguments).ret == 0
    result = audit_folder.run(*arguments, "--privaudit-strict")
    assert_red(audit_folder, result)
    result.stdout.fnmatch_lines(["1 audit item is deselected or dropped*test_other.py"])


def test_strict_lets_an_expected_leak_be_and_what_it_decided(plain_folder: AuditFolder) -> None:
    expected = "@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=False)"
    plain_folder.write(LEAKING, expected, GATED)
    arguments = ("--privaudit-sequential", "--privaudit-batch-size=4", "--privaudit-budget=0.55")
    two = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold,distribution")
    result = plain_folder.run(*two, *arguments, "--privaudit-strict")
    result.assert_outcomes(xfailed=1, skipped=1)
    assert result.ret == 0


@pytest.mark.parametrize(
    "switch", ["--co", "--setup-only", "--setup-plan", "--fixtures", "--privaudit-plan"]
)
@pytest.mark.parametrize("where", ["command line", "PYTEST_ADDOPTS"])
def test_strict_refuses_a_session_that_runs_nothing(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch, switch: str, where: str
) -> None:
    plain_folder.write(LEAKING, GATED)
    if where == "PYTEST_ADDOPTS":
        monkeypatch.setenv("PYTEST_ADDOPTS", switch)
    arguments = [switch] if where == "command line" else []
    result = plain_folder.run(*ONE, "--privaudit-strict", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "runs no audit, and --privaudit-strict asks for all" in result.stderr.str()
    assert not (plain_folder.path / "out.json").exists()


# -- the record is written


def test_a_store_that_cannot_be_read_takes_no_record_away(plain_folder: AuditFolder) -> None:
    (plain_folder.path / "store").mkdir()
    (plain_folder.path / "store" / "values.sqlite").write_bytes(bytes(range(256)) * 40)
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(*ONE, "--junitxml=junit.xml")
    written = assert_red(plain_folder, result)
    assert written.audits[0].not_completed[0].outcome == "error"
    assert (plain_folder.path / "junit.xml").exists()
    result.stdout.fnmatch_lines(["*= privaudit =*"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("option", ["json", "store", "history", "baseline"])
@pytest.mark.parametrize("path", ["~nosuchuser/x", "x" * 5000, "a\0b"], ids=["user", "long", "nul"])
def test_a_path_that_is_none_is_a_usage_error(
    plain_folder: AuditFolder, option: str, path: str
) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.pytester.runpytest_inprocess(f"--privaudit-{option}={path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "must be a path" in result.stderr.str()


def test_a_test_that_changes_the_folder_moves_nothing(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plain_folder.path)
    (plain_folder.path / "elsewhere").mkdir()
    plain_folder.write("import os\ndef test_a(): os.chdir('elsewhere')\n", SAFE, GATED)
    paths = ("--privaudit-json=out.json", "--privaudit-store=st", "--privaudit-history=h.sqlite")
    plain_folder.run(*ONE, *paths, "--privaudit-budget=1")
    assert not list((plain_folder.path / "elsewhere").iterdir())
    assert {"out.json", "h.sqlite"} <= {path.name for path in plain_folder.path.iterdir()}


# -- signals

WAITING = """
import time

@pytest.fixture(scope="session")
def target_model():
    def wait(prompts, seeds):
        open("begun", "w").close()
        time.sleep(60)
    return wait
"""


def ended_by(folder: AuditFolder, *numbers: int) -> tuple[int, SessionRecord]:
    """Start an audit, signal it once it asks its model, and return how it ended."""
    folder.write(WAITING, GATED)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *ONE, f"--privaudit-store={folder.path}/store"],
        cwd=folder.path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    begun = folder.path / "begun"
    deadline = time.monotonic() + 60
    while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(0.3)
    return process.wait(60), record(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    "name", ["SIGINT", "SIGTERM", "SIGHUP", pytest.param("SIGINT SIGINT", marks=pytest.mark.slow)]
)
def test_a_signal_leaves_a_record(plain_folder: AuditFolder, name: str) -> None:
    numbers = [getattr(signal, one) for one in name.split()]
    status, written = ended_by(plain_folder, *numbers)
    assert status != 0
    assert written.exit_status == pytest.ExitCode.INTERRUPTED
    assert not written.complete
    assert Path(plain_folder.path / "begun").exists()
