"""The file of earlier audits: what it takes, what it refuses, and that nothing is overwritten."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.__main__ import main
from privaudit.errors import HistoryError
from privaudit.history import HistoryFile, file, releases


def test_what_was_added_is_read(tmp_path: Path, record: privaudit.AuditRecord) -> None:
    history = HistoryFile(tmp_path / "new folder" / "history.sqlite")
    assert history.add([record], "0.1.0") == 1
    assert history.add([record.model_copy(update={"name": "other"})], "0.1.0") == 1
    first, second = history.read()
    [result] = record.results
    assert (first.name, second.name) == ("audit", "other")
    assert first.verdict == "fail"
    assert first.results == {
        "attack-I-threshold": file.Past(
            result.auc, result.interval.low, result.interval.high, 0.95, "fail"
        )
    }
    content = (tmp_path / "new folder" / "history.sqlite").read_bytes()
    for secret in (*result.member_scores, *result.non_member_scores):
        assert secret.encode() not in content


def test_what_is_not_complete_is_not_added(tmp_path: Path, record: privaudit.AuditRecord) -> None:
    history = HistoryFile(tmp_path / "history")
    for change in ({"complete": False}, {"results": []}, {"provenance": None}):
        assert history.add([record.model_copy(update=change)], "0.1.0") == 0
    assert not (tmp_path / "history").exists()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("create table mine (a)")


def text(path: Path) -> None:
    path.write_text("mine, and no database at all")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncated, "nothing was added .*: if no other session is at it, restore the file"),
        (newer, "has version 99, and this privaudit knows 1: update privaudit"),
        (foreign, "is another program's file: name a new one"),
        (text, r"nothing was added \(file is not a database\)"),
    ],
)
def test_a_file_that_is_no_history_is_left_alone(
    tmp_path: Path, record: privaudit.AuditRecord, harm: Any, said: str
) -> None:
    path = tmp_path / "history"
    HistoryFile(path).add([record] * 5, "0.1.0")
    harm(path)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=said) as raised:
        HistoryFile(path).add([record], "0.1.0")
    assert "\n" not in str(raised.value)
    with pytest.raises(HistoryError):
        HistoryFile(path).read()
    assert path.read_bytes() == before


@pytest.mark.parametrize("harm", [truncated, newer, foreign, text, Path.unlink])
def test_the_command_says_so_on_one_line(
    tmp_path: Path, record: privaudit.AuditRecord, harm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history"
    HistoryFile(path).add([record] * 5, "0.1.0")
    harm(path)
    before = path.read_bytes() if path.exists() else b""
    assert main(["history", str(path)]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert str(path) in caught.err
    assert (path.read_bytes() if path.exists() else b"") == before


def test_a_locked_file_is_waited_for_and_then_left_alone(
    tmp_path: Path, record: privaudit.AuditRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history"
    HistoryFile(path).add([record], "0.1.0")
    monkeypatch.setattr(file, "WAIT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(HistoryError, match=r"nothing was added \(database is locked\)"):
        HistoryFile(path).add([record], "0.1.0")
    with pytest.raises(HistoryError, match=r"it cannot be read \(database is locked\)"):
        HistoryFile(path).read()
    other.execute("rollback")
    other.close()
    assert len(HistoryFile(path).read()) == 1


def entry(auc: float, *, half: float = 0.05, target: str = "", **changes: Any) -> file.Entry:
    past = file.Past(auc, auc - half, auc + half, 0.95, "pass")
    made = file.Entry(
        "faces", "2026-01-01", "0.1.0", None, target or str(auc), "same", "pass", 0.6, {"x": past}
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
    low, high = (file.Past(auc, auc, auc, 0.95, "pass") for auc in (0.4, 0.6))
    chain = [entry(0.5, results={"a": high}), entry(0.5, results={"a": low, "b": high})]
    assert releases(chain)["faces"][0] == "b"
    assert [one.past for one in releases(chain)["faces"][1]] == [None, high]
    assert [one.past for one in releases(chain, "a")["faces"][1]] == [high, low]
