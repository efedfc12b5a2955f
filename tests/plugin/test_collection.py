"""What the plugin makes of a project's tests, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder


def test_a_session_without_audits_prints_and_imports_nothing(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makepyfile(
        test_other="""
        import sys
        def test_it():
            heavy = {"torch", "numpy", "sklearn", "diffusers", "pydantic", "privaudit.audit"}
            assert not heavy & set(sys.modules)
        """
    )
    result = plain_folder.run("--privaudit-json=out.json", subprocess=True)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("=* privaudit =*")
    assert not (plain_folder.path / "out.json").exists()
    assert not (plain_folder.path / "store").exists()


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import privaudit.plugin;"
        "print(sorted(m for m in set(sys.modules) - before))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "privaudit.settings.options" in printed
    loaded = {name.partition(".")[0] for name in eval(printed)}
    assert not loaded & {"torch", "numpy", "sklearn", "scipy", "PIL", "transformers", "tabulate"}


def test_audit_files_are_collected_and_their_asserts_rewritten(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makepyfile(test_x="def test_it():\n    left = 3\n    assert left == 4")
    result = plain_folder.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 3 == 4*"])


def test_an_application_keeps_its_own_audit_modules(audit_folder: AuditFolder) -> None:
    """``audit_trail.py`` is somebody's code: pytest must not even import it."""
    audit_folder.pytester.makepyfile(
        audit_trail="raise RuntimeError('imported')", test_other="def test_it(): pass"
    )
    audit_folder.run().assert_outcomes(passed=1)


FORGOTTEN = """
@pytest.mark.privacy_budget(max_auc=0.6)
def test_leak(target_model):
    pass
"""
MODULE_MARK = """
pytestmark = pytest.mark.privacy_budget(max_auc=1.0)

def test_leak(membership_attack):
    pass

def test_that_the_data_is_there(members):
    assert members
"""
ONE = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (FORGOTTEN, "has a privacy_budget marker and audits nothing"),
        (FORGOTTEN.replace("budget(max_auc=0.6", "claim(1, 0.1"), "has a privacy_claim marker"),
    ],
)
def test_a_marker_without_the_fixture_is_an_error(
    plain_folder: AuditFolder, code: str, said: str
) -> None:
    plain_folder.write(LEAKING, code)
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
    assert "def test_leak(membership_attack):" in result.stderr.str()


@pytest.mark.parametrize("others", ["", GATED], ids=["alone", "beside an audit"])
def test_a_fixture_that_is_asked_at_run_time_says_to_name_it(
    plain_folder: AuditFolder, others: str
) -> None:
    late = "def test_late(request):\n    request.getfixturevalue('membership_attack')\n"
    plain_folder.write(SAFE, late, others)
    result = plain_folder.run("-k", "test_late")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["membership_attack is asked by getfixturevalue*", "  def test_late(membership_attack):"]
    )
    result.stdout.no_fnmatch_line("*Error*")


def test_a_marker_of_a_module_is_for_the_tests_that_audit(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, MODULE_MARK)
    plain_folder.run(*ONE).assert_outcomes(passed=2)
    plain_folder.write(LEAKING, MODULE_MARK.replace("membership_attack", "non_members"))
    assert plain_folder.run(*ONE).ret == pytest.ExitCode.USAGE_ERROR


def test_unittest_methods_are_told_that_they_take_no_fixtures(plain_folder: AuditFolder) -> None:
    plain_folder.write(
        LEAKING,
        """
import unittest

class TestLeak(unittest.TestCase):
    @pytest.mark.privacy_budget(max_auc=0.6)
    def test_leak(self):
        pass
""",
    )
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unittest's methods take no fixtures" in result.stderr.str()


def test_collecting_a_project_without_audits_imports_little(pytester: pytest.Pytester) -> None:
    """Not timed: what may be imported is counted, and none of it is heavy."""
    pytester.makepyfile("def test_it(): pass")
    script = (
        "import sys, pytest; before = set(sys.modules);"
        "pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider']);"
        "print(sorted(m for m in sys.modules if m.startswith('privaudit')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=pytester.path,
        check=True,
    )
    loaded = set(eval(done.stdout.strip().splitlines()[-1]))
    assert loaded == {
        "privaudit",
        "privaudit.attacks",
        "privaudit.attacks.registry",
        "privaudit.plugin",
        "privaudit.plugin.pytest_internals",
        "privaudit.settings",
        "privaudit.settings.options",
        "privaudit.settings.parsers",
    }
