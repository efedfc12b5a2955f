"""Never green without results."""

from __future__ import annotations

import pytest

from privaudit import SessionRecord
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder


def test_strict_turns_missing_ingredients_red(plain_folder: AuditFolder) -> None:
    plain_folder.write_minimal()
    result = plain_folder.run(
        "--privaudit-scenarios=II", "--privaudit-attacks=threshold", "--privaudit-strict"
    )
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_strict_turns_a_session_without_results_red(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makepyfile(test_other="def test_it(): pass")
    result = plain_folder.run("--privaudit-strict")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["0 audits were completed, and --privaudit-strict asks for*"])


def test_a_marked_skip_of_everything_is_red_under_strict(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, "@pytest.mark.skip", GATED)
    assert plain_folder.run("--privaudit-strict").ret == pytest.ExitCode.TESTS_FAILED


def test_setup_show_runs_audits_as_ever(plain_folder: AuditFolder) -> None:
    shown = ("--setup-show", "--privaudit-json=out.json", "-k", "attack-I-threshold")
    plain_folder.write(SAFE, GATED)
    plain_folder.run(*shown, "--privaudit-budget=1").assert_outcomes(passed=1)
    record = SessionRecord.from_json((plain_folder.path / "out.json").read_text())
    assert [result.name for result in record.audits[0].results] == ["attack-I-threshold"]
    plain_folder.write(SAFE, "@pytest.mark.skip", GATED)
    assert plain_folder.run(*shown, "--privaudit-strict").ret == pytest.ExitCode.TESTS_FAILED
    plan = plain_folder.run("--setup-show", "--privaudit-plan", "-k", "attack-I-threshold")
    plan.assert_outcomes()


@pytest.mark.parametrize("name", ["debugging", "setuponly"])
def test_plugins_of_pytest_may_be_off(plain_folder: AuditFolder, name: str) -> None:
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run("-p", f"no:{name}", "-k", "attack-III-threshold")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["AUC 1.000 > budget 0.6 (default)*"])


def test_a_numpy_scalar_in_record_property_is_never_green(audit_folder: AuditFolder) -> None:
    audit_folder.write(
        SAFE,
        """
import numpy

def test_leak(membership_attack, record_property):
    record_property("auc", numpy.float64(0.5))
    record_property("n", numpy.int64(5))
""",
    )
    result = audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1")
    if "passed" not in result.parseoutcomes():  # under xdist the worker cannot send its report
        assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def test_our_own_properties_are_plain_values(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1").assert_outcomes(passed=1)


def test_a_crashed_worker_is_never_green(pytester: pytest.Pytester) -> None:
    folder = AuditFolder(pytester, ["-n2"])
    folder.write(SAFE, "import os\ndef test_leak(membership_attack): os._exit(0)")
    result = folder.run("-k", "attack-I-threshold", "--privaudit-budget=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_json_file_that_cannot_be_written_is_red(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    (plain_folder.path / "file").write_text("in the way")
    result = plain_folder.run(
        "-k", "attack-I-threshold", "--privaudit-budget=1", "--privaudit-json=file/out.json"
    )
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["file/out.json could not be written*"])


def test_a_test_whose_id_looks_like_an_audits_is_none(audit_folder: AuditFolder) -> None:
    """The controller of xdist knows ids alone; this project's own suite was red for it."""
    audit_folder.pytester.makepyfile(
        test_other="""
        import pytest

        @pytest.mark.parametrize("x", ["attack-I-threshold", "attack-II-classifier"])
        def test_it(x):
            if x.startswith("attack-II"):
                pytest.skip("not here")
        """
    )
    result = audit_folder.run()
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*privaudit ==*")
