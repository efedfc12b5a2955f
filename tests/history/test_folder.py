"""The folder of earlier audits: what it takes, what it refuses, and that nothing is overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.__main__ import main
from privaudit.errors import HistoryError
from privaudit.history import Entry, Past, add_to_history, read_history, releases
from privaudit.report.history import render_history


def test_what_was_added_is_read(tmp_path: Path, record: privaudit.AuditRecord) -> None:
    folder = tmp_path / "new" / "history"
    one = add_to_history([record], "0.1.0", folder)
    other = add_to_history([record.model_copy(update={"name": "other"})], "0.1.0", folder)
    assert one is not None
    assert {one, other} == set(folder.iterdir())
    assert one.stat().st_mode & 0o777 == 0o600
    first, second = read_history(folder)
    [result] = record.results
    assert {first.name, second.name} == {"audit", "other"}
    assert first.verdict == "fail"
    assert first.results == {
        "attack-I-threshold": Past(
            result.auc, result.interval.low, result.interval.high, 0.95, "fail"
        )
    }
    content = one.read_text()
    for secret in (*result.member_scores, *result.non_member_scores):
        assert f'"{secret}"' not in content
    assert [found.comparable for found in (first, second)] == [first.comparable] * 2


def test_records_of_the_json_option_may_be_there_too(
    tmp_path: Path, record: privaudit.AuditRecord
) -> None:
    session = privaudit.SessionRecord(privaudit_version="0.1.0", audits=[record])
    (tmp_path / "mine.json").write_text(session.to_json())
    (tmp_path / "notes.txt").write_text("mine")
    add_to_history([record], "0.1.0", tmp_path)
    one, other = read_history(tmp_path)
    assert one == other


def test_what_is_not_complete_is_not_added(tmp_path: Path, record: privaudit.AuditRecord) -> None:
    for change in ({"complete": False}, {"results": []}, {"provenance": None}):
        added = add_to_history([record.model_copy(update=change)], "0.1.0", tmp_path / "history")
        assert added is None
    assert not (tmp_path / "history").exists()


def replaced(old: str, new: str) -> Any:
    def harm(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return harm


HARM = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-3000]),
    "newer": replaced('"schema_version": 2', '"schema_version": 99'),
    "text": lambda file: file.write_text("mine, and no record at all"),
    "no UTF-8": lambda file: file.write_bytes(b"\xff" * 50),
    "deep": lambda file: file.write_text('{"a":' * 5000),
    "an AUC of 99": replaced('"auc": 1.0', '"auc": 99.0'),
    "another time": replaced('"ended": "20', '"ended": "x'),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_the_command_names_a_file_that_is_no_record_on_one_line(
    tmp_path: Path, record: privaudit.AuditRecord, harm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = add_to_history([record], "0.1.0", tmp_path)
    assert file is not None
    harm(file)
    before = file.read_bytes()
    assert main(["history", str(tmp_path)]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert str(file) in caught.err
    assert file.read_bytes() == before


def test_what_is_no_folder_is_an_error(
    tmp_path: Path, record: privaudit.AuditRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "history"
    file.write_text("mine")
    with pytest.raises(HistoryError, match="nothing was added"):
        add_to_history([record], "0.1.0", file)
    assert file.read_text() == "mine"
    os.mkfifo(tmp_path / "fifo.json")  # no hang
    assert read_history(tmp_path) == []
    for path in (file, tmp_path / "nowhere"):
        assert main(["history", str(path)]) == 1
        assert "is not a folder: name the one" in capsys.readouterr().err


def entry(
    auc: float, *, half: float = 0.05, target: str = "", verdict: str = "pass", **changes: Any
) -> Entry:
    past = Past(auc, auc - half, auc + half, 0.95, verdict)
    made = Entry(
        name="faces",
        ended="2026-01-01",
        commit=None,
        target=target or str(auc),
        comparable="same",
        verdict=verdict,
        budget=0.6,
        results={"x": past},
    )
    return made._replace(**changes)


def test_a_step_is_where_bounds_do_not_overlap_with_those_since_the_last_one() -> None:
    chain = [entry(auc) for auc in (0.50, 0.52, 0.55, 0.58, 0.62, 0.63, 0.51)]
    [(result, those)] = releases(chain).values()
    assert result == "x"
    # 0.62 is a step though no two neighbours are: a slow rise is one too.
    assert [one.change for one in those] == ["", "", "", "", "up", "", "down"]
    assert [one.change for one in releases([entry(0.5), entry(0.59)])["faces"][1]] == ["", ""]


def test_repetitions_are_one_release_and_other_settings_are_not_compared() -> None:
    chain = [
        entry(0.5),
        entry(0.5),
        entry(0.9, comparable="other"),
        entry(0.95, comparable="other"),
    ]
    [(_, those)] = releases(chain).values()
    assert [(one.times, one.change) for one in those] == [(2, ""), (1, "other"), (1, "")]
    # The same numbers of another model are a release of their own.
    assert len(releases([entry(0.5, target="a"), entry(0.5, target="b")])["faces"][1]) == 2


def test_the_followed_result_is_the_highest_of_the_last_audit_unless_named() -> None:
    low, high = (Past(auc, auc, auc, 0.95, "pass") for auc in (0.4, 0.6))
    chain = [entry(0.5, results={"a": high}), entry(0.5, results={"a": low, "b": high})]
    assert releases(chain)["faces"][0] == "b"
    assert [one.past for one in releases(chain)["faces"][1]] == [None, high]
    assert [one.past for one in releases(chain, "a")["faces"][1]] == [high, low]


def test_a_line_has_the_verdict_of_its_result() -> None:
    one = entry(0.5, verdict="inconclusive", results={"x": Past(0.5, 0.45, 0.55, 0.95, "pass")})
    head, _, line, *_ = render_history([one])
    assert head == "faces: x, 1 release (*: AUC, -: its bounds, |: the budget)"
    assert line.startswith("2026-01-01 model 0.5 ")
    assert line.endswith(" pass")
