"""Baselines through pytest: born loudly, compared, and written by nobody but who is told to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from privaudit.record import AuditRecord, read_baseline
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

KEY = "the key of these tests"
MORE = "N = 40\n"
HALF = """
@pytest.fixture(scope="session")
def target_model(members):
    return privaudit.testing.MemorizingTarget(members[::2])
"""
BOTH = """
@pytest.fixture(scope="session", params=["one", "two"])
def target_model(request):
    return privaudit.testing.ObliviousTarget()

def test_leak(membership_attack, target_model):
    pass
"""
ONE = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold", "--privaudit-gate=evidence")
TWO = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold,distribution")
AGAINST = "--privaudit-baseline=baselines"
UPDATE = "--privaudit-update-baseline"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVAUDIT_BASELINE_KEY", KEY)


def files(folder: AuditFolder) -> list[Path]:
    return sorted((folder.path / "baselines").glob("*"))


def update(folder: AuditFolder, *args: str) -> pytest.RunResult:
    return folder.run(*args, AGAINST, UPDATE)


def audits(folder: AuditFolder) -> list[AuditRecord]:
    return read_session(folder.path / "out.json").audits


def test_a_baseline_is_missed_then_written_then_compared_with(audit_folder: AuditFolder) -> None:
    audit_folder.write(MORE, SAFE, GATED)
    missing = audit_folder.run(*ONE, AGAINST)
    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(
        [
            "*baseline baselines/test_model.test_leak-*.json does not exist, so there is nothing *",
            "*pytest test_model.py::test_leak --privaudit-baseline=baselines --privaudit-update*",
        ]
    )
    assert not files(audit_folder)
    written = update(audit_folder, *ONE)
    assert written.ret == 0
    written.stdout.fnmatch_lines(["baseline baselines/*.json written: PASS, results: 1, *40+40*"])
    [path] = files(audit_folder)
    text = path.read_text()
    baseline = read_baseline(path, KEY, "test_model.py::test_leak")
    assert baseline.verdict == "pass"

    same = audit_folder.run(*ONE, AGAINST, "--privaudit-json=out.json", "--junitxml=junit.xml")
    same.assert_outcomes(passed=1)
    same.stdout.fnmatch_lines(
        [
            "test_model.py::test_leak: PASS, *, 0 of 1 over the baseline",
            "beside baseline baselines/*.json of 2*-*-* (privaudit *; the same model):",
            "*scenario * old * new * change *TPR @ 1% FPR * near copies *",
            "*attack-III *threshold*+0.000*+0.000 to +0.000*pass",
            "red where the lower bound is over 0; each bound holds with 95% confidence",
            "paired, on the same samples: a rise of 0.* or more is shown with 80 % power",
        ]
    )
    [audit] = audits(audit_folder)
    assert audit.provenance is not None
    assert audit.provenance.images.generated == 0
    found = audit.results[0].comparison
    assert found is not None
    assert (found.verdict, found.paired, found.same_model) == ("pass", True, True)
    assert audit.baseline is not None
    assert audit.baseline.verdict == "pass"
    properties = {
        p.get("name"): p.get("value")
        for p in ElementTree.parse(audit_folder.path / "junit.xml").iter("property")
    }
    assert properties["privaudit.change"] == "0.0"
    assert properties["privaudit.change_verdict"] == "pass"
    assert properties["privaudit.baseline_auc"] == properties["privaudit.auc"]
    assert path.read_text() == text


def test_a_rise_is_red_within_the_budget_and_is_no_expected_leak(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert update(plain_folder, *ONE, "--privaudit-budget=1").ret == 0
    expected = "@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)"
    for marker in ("", expected):
        plain_folder.write(MORE, HALF, marker, GATED)
        result = plain_folder.run(*ONE, AGAINST, "--privaudit-budget=1")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "AUC 0.*, and 0.* in the baseline: a change of +0.* [[]+0.*], shown to be over 0 *"
                "with 95% confidence, on the same samples (p = *",
                "test_model.py::test_leak: FAIL, 0 of 1 result over the budget*, 1 of 1 over the *",
                "*attack-III *threshold*FAIL",
                "FAILED test_model.py::test_leak?attack-III-threshold? - AUC 0.*",
            ]
        )
    tolerant = plain_folder.run(*ONE, AGAINST, "--privaudit-budget=1", "--privaudit-max-rise=0.6")
    tolerant.assert_outcomes(passed=0, failed=1)  # so few samples could never show a rise of 0.6
    tolerant.stdout.fnmatch_lines(["*could not show a rise over max_rise 0.6 (command line)*"])


def test_a_fall_is_green(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, HALF, GATED)
    assert update(plain_folder, *ONE, "--privaudit-budget=1").ret == 0
    plain_folder.write(MORE, SAFE, GATED)
    plain_folder.run(*ONE, AGAINST).assert_outcomes(passed=1)


def test_a_red_audit_is_no_baseline(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, LEAKING, GATED)
    refused = update(plain_folder, *ONE)
    assert refused.ret == pytest.ExitCode.TESTS_FAILED
    refused.stdout.fnmatch_lines(
        ["baseline baselines/*was not written: *::test_leak is FAIL: write it from an audit that*"]
    )
    assert not files(plain_folder)
    assert update(plain_folder, *ONE, "--privaudit-budget=1").ret == 0
    assert len(files(plain_folder)) == 1


def test_a_rise_is_not_accepted_by_updating(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert update(plain_folder, *ONE, "--privaudit-budget=1").ret == 0
    [path] = files(plain_folder)
    before = path.read_text()
    plain_folder.write(MORE, HALF, GATED)
    refused = update(plain_folder, *ONE, "--privaudit-budget=1")
    refused.assert_outcomes(failed=1)
    refused.stdout.fnmatch_lines(["baseline baselines/*was not written: *is FAIL*"])
    assert path.read_text() == before


def test_a_body_that_fails_keeps_a_baseline_from_being_written(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, SAFE, "def test_leak(membership_attack): raise RuntimeError")
    refused = update(plain_folder, *ONE)
    refused.stdout.fnmatch_lines(["baseline baselines/*was not written: *::test_leak is red: *"])
    assert not files(plain_folder)


@pytest.mark.parametrize("selected", [["-k", "threshold"], ["::test_leak[attack-III-threshold]"]])
def test_a_part_of_an_audit_is_no_baseline(plain_folder: AuditFolder, selected: list[str]) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    if len(selected) == 1:
        selected = [f"test_model.py{selected[0]}"]
    refused = update(plain_folder, *TWO, *selected)
    assert refused.ret == pytest.ExitCode.TESTS_FAILED
    refused.stdout.fnmatch_lines(
        ["baseline *was not written: *was asked for 1 of its 2 results: select the whole audit"]
    )
    assert not files(plain_folder)


def test_workers_write_the_same_baseline(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert plain_folder.run(*ONE, AGAINST, UPDATE, "-n2", subprocess=True).ret == 0
    [path] = files(plain_folder)
    content = json.loads(path.read_text())
    path.unlink()
    assert plain_folder.run(*ONE, AGAINST, UPDATE, subprocess=True).ret == 0
    [path] = files(plain_folder)
    assert json.loads(path.read_text()) | {"written": ""} == content | {"written": ""}


DAMAGE: dict[str, tuple[Any, str]] = {
    "out of range": (
        lambda c: json.dumps(c | {"results": [c["results"][0] | {"auc": 99}]}),
        "is damaged at 'results.0.auc' *",
    ),
    "schema": (lambda c: json.dumps(c | {"schema_version": 9}), "has schema version 9*"),
    "audit": (None, "is of *, not of *"),
    "truncated": (lambda c: json.dumps(c)[:-40], "is not JSON *"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_file_that_is_no_use_is_red_and_is_not_overwritten(
    plain_folder: AuditFolder, how: str
) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert update(plain_folder, *ONE).ret == 0
    [path] = files(plain_folder)
    damage, said = DAMAGE[how]
    if damage is None:
        plain_folder.write(MORE, SAFE, GATED.replace("test_leak", "test_more"))
        arguments = [f"--privaudit-baseline={path.relative_to(plain_folder.path)}"]
    else:
        path.write_text(damage(json.loads(path.read_text())))
        arguments = [AGAINST]
    before = path.read_text()
    for more in ([], [UPDATE]):
        result = plain_folder.run(*ONE, *arguments, *more)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"*baseline baselines/*.json {said}"])
        assert path.read_text() == before


def test_another_key_is_told_from_another_audit(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert update(plain_folder, *ONE).ret == 0
    monkeypatch.setenv("PRIVAUDIT_BASELINE_KEY", "another key of mine")
    result = plain_folder.run(*ONE, AGAINST)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*baseline baselines/*.json was written with another key*"])
    monkeypatch.delenv("PRIVAUDIT_BASELINE_KEY")
    for said in ([], [UPDATE]):
        none = plain_folder.run(*ONE, AGAINST, *said)
        assert none.ret == pytest.ExitCode.USAGE_ERROR
        none.stderr.fnmatch_lines(
            ["ERROR: *PRIVAUDIT_BASELINE_KEY, is not set*", "*export PRIVAUDIT_BASELINE_KEY=*"]
        )


def test_what_asks_otherwise_is_refused_and_replaced_by_an_update(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    assert update(plain_folder, *ONE).ret == 0
    [path] = files(plain_folder)
    before = path.read_text()
    refused = plain_folder.run(*ONE, AGAINST, "--privaudit-queries=2")
    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(
        [
            "*not comparable with baseline baselines/*.json: queries is 2, and was 1*",
            "ask as it was asked:",
            "*--privaudit-queries=1",
            "*pytest test_model.py::test_leak --privaudit-baseline=baselines --privaudit-update-*",
        ]
    )
    replaced = update(plain_folder, *ONE, "--privaudit-queries=2")
    assert replaced.ret == 0
    replaced.stdout.fnmatch_lines(["not comparable *: nothing was compared"])
    assert path.read_text() != before
    plain_folder.run(*ONE, AGAINST, "--privaudit-queries=2").assert_outcomes(passed=1)


def test_a_folder_has_a_file_for_each_audit_and_a_file_one(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, BOTH)
    assert update(plain_folder, *ONE).ret == 0
    assert [path.name.rpartition("-")[0] for path in files(plain_folder)] == [
        "test_model.test_leak.one",
        "test_model.test_leak.two",
    ]
    plain_folder.run(*ONE, AGAINST).assert_outcomes(passed=2)
    shared = plain_folder.run(*ONE, "--privaudit-baseline=one.json", UPDATE)
    assert shared.ret == pytest.ExitCode.TESTS_FAILED
    shared.stdout.fnmatch_lines(["baseline one.json was not written: several audits share it*"])
    assert not (plain_folder.path / "one.json").exists()


def test_a_marker_names_a_baseline_from_the_projects_root(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = "@pytest.mark.privacy_budget(0.7, baseline='kept/model.json', max_rise=0.05)"
    plain_folder.write(MORE, SAFE, marked, GATED)
    inner = plain_folder.path / "elsewhere"
    inner.mkdir()
    monkeypatch.chdir(inner)
    file = str(plain_folder.path / "test_model.py")
    root = f"--rootdir={plain_folder.path}"
    assert plain_folder.run(file, root, *ONE, UPDATE).ret == 0
    assert (plain_folder.path / "kept" / "model.json").exists()
    result = plain_folder.run(file, root, *ONE)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*red where the lower bound is over max_rise 0.05 (marker)*"])


def test_updates_without_a_place_or_an_audit_are_red(plain_folder: AuditFolder) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    nowhere = plain_folder.run(*ONE, UPDATE)
    assert nowhere.ret == pytest.ExitCode.TESTS_FAILED
    nowhere.stdout.fnmatch_lines(["no baseline was written: name its file or folder*"])


def test_a_captioner_that_nobody_knows_again_is_refused_before_it_is_asked(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(MORE, SAFE, GATED)
    asked = ("--privaudit-scenarios=II", "--privaudit-attacks=threshold")
    refused = update(plain_folder, *asked)
    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(["*captioner (*) has no fingerprint*"])
    assert not files(plain_folder)
