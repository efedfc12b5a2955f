"""Settings: where they come from, and bad ones."""

from __future__ import annotations

import pytest

from privaudit.settings import OPTIONS
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder

ASSERTED = """
@pytest.mark.privacy_budget(max_auc=0.75)
def test_leak(membership_attack):
    assert membership_attack.auc <= membership_attack.budget
"""


def test_budget_sources_marker_over_command_line_over_ini(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makeini("[pytest]\nprivaudit_queries = 1\nprivaudit_budget = 0.9\n")
    plain_folder.write(LEAKING, GATED)
    picked = ["-k", "attack-I-threshold"]
    plain_folder.run(*picked).stdout.fnmatch_lines(["AUC 1.000 > budget 0.9 (ini)*"])
    given = plain_folder.run(*picked, "--privaudit-budget=0.8")
    given.stdout.fnmatch_lines(["AUC 1.000 > budget 0.8 (command line)*"])
    plain_folder.write(LEAKING, ASSERTED)
    marked = plain_folder.run(*picked, "--privaudit-budget=0.8")
    marked.stdout.fnmatch_lines(["AUC 1.000 > budget 0.75 (marker)*"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--privaudit-budget=nan", "--privaudit-budget='nan' must be a number in (0.5, 1]"),
        ("--privaudit-budget=0", "--privaudit-budget='0' must be a number in (0.5, 1]"),
        ("--privaudit-budget=0.5", "--privaudit-budget='0.5' must be a number in (0.5, 1]"),
        ("--privaudit-confidence=0.5", "--privaudit-confidence='0.5' must be a number in (0.5, 1)"),
        ("--privaudit-scenarios=V", "--privaudit-scenarios='V' must be a comma-separated list*"),
        ("--privaudit-queries=0", "--privaudit-queries='0' must be a whole number from 1"),
        (
            "--privaudit-num-inference-steps=x",
            "--privaudit-num-inference-steps='x' is not valid: denoising*",
        ),
        ("--privaudit-guidance-scale=inf", "--privaudit-guidance-scale='inf' must be a number*"),
        ("--privaudit-seed=-1", "--privaudit-seed='-1' must be a whole number from 0"),
        ("--privaudit-gate=evidense", "*must be one of * did you mean evidence?"),
        ("--privaudit-attacks=treshold", "*comma-separated list of *: did you mean threshold?"),
        ("--privaudit-max-tpr=0.05@1", "at_fpr='1' must be a number in (0, 1)"),
        ("--privaudit-calibration=0", "--privaudit-calibration='0' must be a share*"),
        ("--privaudit-batch-size=0", "--privaudit-batch-size='0' must be a whole number from 1"),
        ("--privaudit-store-limit=0", "--privaudit-store-limit='0' must be a size from 1 byte*"),
        ("--privaudit-store-limit=much", "--privaudit-store-limit='much' is not valid*"),
        ("--privaudit-engine=ray?worker=2", "--privaudit-engine='ray?worker=2' must be local*"),
        ("--privaudit-json=.", "--privaudit-json='.' must be a file, and is a folder"),
    ],
)
def test_bad_options_are_usage_errors(plain_folder: AuditFolder, option: str, said: str) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said.replace('[', '?').replace(']', '?')}"])
    assert len(result.errlines) <= 2


def test_a_bad_ini_value_is_a_usage_error(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makeini("[pytest]\nprivaudit_batch_size = many\n")
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: privaudit_batch_size='many' is not valid*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("max_auc=0", "must be a number in"),
        pytest.param("max_auc=float('nan')", "must be a number in"),
        pytest.param(
            "max_acu=0.6",
            "privacy_budget(max_acu=…) is unknown: did you mean max_auc?",
        ),
        pytest.param("0.6, 0.7", "takes one positional argument"),
    ],
)
def test_bad_markers_are_usage_errors(plain_folder: AuditFolder, marker: str, said: str) -> None:
    plain_folder.write(SAFE, f"@pytest.mark.privacy_budget({marker})", GATED)
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
    assert "test_model.py::test_leak" in result.stderr.str()


PARAMETRIZED = """
@pytest.mark.privacy_budget(0.9, scenarios="III", attacks="threshold")
@pytest.mark.parametrize("kind", [pytest.param(1, marks=pytest.mark.privacy_budget({marker}))])
def test_leak(kind, membership_attack):
    pass
"""


def test_the_marker_of_a_parameter_is_closer_than_that_of_the_test(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(LEAKING, PARAMETRIZED.format(marker="0.7"))
    plain_folder.run().stdout.fnmatch_lines(["AUC 1.000 > budget 0.7 (marker)*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("0.7, attacks='classifier'", "attack-III-classifier, attack-III-threshold"),
        ("0.7, release='weights'", "weights-denoising"),
    ],
)
def test_a_parameter_cannot_ask_for_results_that_its_test_has_no_items_for(
    plain_folder: AuditFolder, marker: str, said: str
) -> None:
    plain_folder.write(LEAKING, PARAMETRIZED.format(marker=marker))
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*asks for other results than the test has items for: {said}"])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("privaudit_budgt", "*is no setting of an ini file: did you mean privaudit_budget?"),
        ("privaudit_plan", "privaudit_plan in the ini file is no setting of an ini file*"),
        ("privaudit_duplicate_limit", "*is no setting of an ini file*"),
    ],
)
def test_a_key_of_an_ini_file_that_is_none_is_a_usage_error(
    plain_folder: AuditFolder, key: str, said: str
) -> None:
    plain_folder.pytester.makeini(f"[pytest]\n{key} = 1\n")
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


@pytest.mark.parametrize("name", ["privacy_buget", "privacy_budgte", "privacy_clam"])
def test_a_misspelt_marker_of_an_audit_is_a_usage_error(
    audit_folder: AuditFolder, name: str
) -> None:
    audit_folder.write(LEAKING, f"@pytest.mark.{name}(1.0)", GATED)
    result = audit_folder.run("-Wignore::pytest.PytestUnknownMarkWarning")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"has a marker {name}, which says nothing to privaudit: did you mean" in (
        result.stderr.str()
    )


def test_the_command_line_has_at_most_32_options_and_none_that_only_loosens() -> None:
    flags = [option.flag for option in OPTIONS if not option.in_code_only]
    assert len(flags) == len(set(flags)) <= 32
    assert not {"--privaudit-blind-limit", "--privaudit-duplicate-limit"} & set(flags)


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="older pytest reads no pytest.toml")
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("privaudit_budget = 0.9", "AUC 1.000 > budget 0.9 (ini)*"),
        ("privaudit_budget = 0.3", "*privaudit_budget=0.3 must be a number in (0.5, 1]*"),
        ("privaudit_sequential = false", "AUC 1.000 > budget 0.6 (default)*"),
    ],
)
def test_a_toml_file_may_hold_numbers_and_truth_values(
    plain_folder: AuditFolder, written: str, said: str
) -> None:
    (plain_folder.path / "tox.ini").unlink()
    (plain_folder.path / "pytest.toml").write_text(f"[pytest]\nprivaudit_queries = 1\n{written}\n")
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run("-k", "attack-I-threshold")
    output = [*result.outlines, *result.errlines]
    assert any(line.startswith(said.strip("*")) or said.strip("*") in line for line in output)


def test_help_shows_every_default(plain_folder: AuditFolder) -> None:
    shown = " ".join(plain_folder.run("--help").stdout.str().split())
    for option in OPTIONS:
        assert (option.flag in shown) == (not option.in_code_only)
        if option.in_code_only:
            continue
        assert f"(default: {option.shown_default})" in shown


def test_a_command_line_that_selects_nothing_of_a_marker_is_an_error(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(SAFE, "@pytest.mark.privacy_budget(scenarios='II')", GATED)
    result = plain_folder.run("--privaudit-scenarios=I")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--privaudit-scenarios=I selects none of the scenarios of*"])
