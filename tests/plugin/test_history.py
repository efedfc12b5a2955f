"""``--privaudit-history``: completed audits are added, and no verdict depends on it."""

from __future__ import annotations

import pytest

from privaudit.__main__ import main
from privaudit.history import read_history
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

PICKED = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold,distribution"]


def test_releases_are_added_listed_and_their_step_is_named(
    plain_folder: AuditFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plain_folder.path / "history"
    flag = f"--privaudit-history={path}"
    plain_folder.write("N = 40", SAFE, GATED)
    for _ in range(2):
        assert plain_folder.run(*PICKED, flag, "--privaudit-budget=0.7").ret == 0
    plain_folder.write("N = 40", LEAKING, GATED)
    assert plain_folder.run(*PICKED, flag, "--privaudit-budget=0.7").ret == 1
    entries = read_history(path)
    assert [entry.verdict for entry in entries] == ["pass", "pass", "fail"]
    assert all(len(entry.results) == 2 for entry in entries)
    capsys.readouterr()
    assert main(["history", str(path), "--result", "attack-I-threshold"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "test_model.py::test_leak: attack-I-threshold, 2 releases, the newest"
    )
    assert "pass, 2 times" in lines[2]
    assert "1.000" in lines[3]
    assert "FAIL, stepped UP" in lines[3]
    assert lines[4].startswith("stepped UP at 20")
    assert main(["history", str(path), "--audit", "nobody"]) == 1
    assert "it has test_model.py::test_leak" in capsys.readouterr().err


def test_the_ini_file_may_name_it_and_an_interrupted_audit_is_not_added(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.pytester.makeini("[pytest]\nprivaudit_queries = 1\nprivaudit_history = old\n")
    stop = "def test_stop():\n    raise KeyboardInterrupt"
    picked = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold"]
    plain_folder.write(SAFE, stop, GATED)
    stopped = plain_folder.run(*picked, no_reraise_ctrlc=True)
    assert stopped.ret == pytest.ExitCode.INTERRUPTED
    assert not (plain_folder.path / "old").exists()
    plain_folder.write(SAFE, GATED)
    plain_folder.run(*picked)
    assert len(read_history(plain_folder.path / "old")) == 1


def test_a_part_of_an_audit_says_so_and_is_no_release(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    flags = ("--privaudit-history=old", "--privaudit-json=out.json", "--privaudit-budget=1")
    part = plain_folder.run(
        *PICKED, *flags, "--privaudit-release=img2img", "-k", "attack-I-threshold"
    )
    part.assert_outcomes(passed=1, deselected=2)
    part.stdout.fnmatch_lines(
        [
            "*: PASS, 0 of 1 result over the budget *, 2 not asked for",
            "not asked for: attack-I-distribution, img2img-variation: nothing is known of them",
            "test_model.py::test_leak is not kept: 2 of its results were not asked for, the first*",
        ]
    )
    assert not (plain_folder.path / "old").exists()
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert audit.not_asked == ["attack-I-distribution", "img2img-variation"]
    plain_folder.run(*PICKED, *flags).assert_outcomes(passed=2)
    assert len(read_history(plain_folder.path / "old")) == 1


@pytest.mark.parametrize(("model", "status"), [(SAFE, 0), (LEAKING, 1)], ids=["safe", "leaking"])
def test_a_folder_that_cannot_be_added_to_turns_no_verdict(
    plain_folder: AuditFolder, model: str, status: int
) -> None:
    path = plain_folder.path / "history"
    path.write_text("mine")
    plain_folder.write(model, GATED)
    budget = "--privaudit-budget=0.9"
    result = plain_folder.run(*PICKED, f"--privaudit-history={path}", budget)
    assert result.ret == status
    result.stdout.fnmatch_lines(["history */history: nothing was added *"])
    assert path.read_text() == "mine"
