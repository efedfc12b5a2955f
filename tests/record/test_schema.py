"""The JSON Schema in the package, and records that are written and read."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from privaudit.errors import RecordError
from privaudit.record import (
    AttackResult,
    AuditRecord,
    Counts,
    DetectableAUC,
    Images,
    Interval,
    NotCompleted,
    Provenance,
    Rate,
    RecordLog,
    SessionRecord,
    Validity,
    read_json,
    write_json,
)
from tests.parts.documents import SCHEMA, read_session

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE = datetime(2026, 1, 1, 13, tzinfo=UTC)


def result(scenario: str = "attack-I", attack: str = "threshold", **changes: Any) -> AttackResult:
    interval = Interval(low=0.4, high=0.7, confidence=0.95)
    values: dict[str, Any] = {
        "scenario": scenario,
        "attack": attack,
        "auc": 0.55,
        "verdict": "pass",
        "auc_verdict": "pass",
        "interval": interval,
        "n_results": 12,
        "supported": False,
        "samples_needed": None,
        "budget": 0.6,
        "budget_source": "default",
        "gate": "point",
        "evaluation": Counts(members=2, non_members=1),
        "calibration": Counts(members=2, non_members=2),
        "n_queries": 21,
        "success_rate": Rate(value=0.5, interval=interval),
        "threshold": 0.1,
        "operating_points": [],
        "detectable": DetectableAUC(from_half=None, from_budget=0.9),
        "member_scores": {"a": 0.1, "b": 0.2},
        "non_member_scores": {"c": 0.3},
    }
    return AttackResult(**{**values, **changes})


def part(name: str, *results: AttackResult, generated: int = 0, **changes: Any) -> AuditRecord:
    provenance = Provenance(
        images=Images(asked={"target_model by caption": 21}, generated=generated),
        seed=0,
        machine="here",
        started=NOON,
        ended=ONE,
    )
    values = {"name": name, "provenance": provenance, "results": list(results), **changes}
    return AuditRecord(**values)


def test_the_schema_in_the_package_is_that_of_the_records() -> None:
    wanted = json.dumps(SessionRecord.model_json_schema(), indent=2) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == wanted, "run `python -m privaudit.record.schema`"


def test_what_is_written_is_read(tmp_path: Any) -> None:
    record = SessionRecord(
        privaudit_version="1", audits=[part("a", result()), AuditRecord(name="nothing ran")]
    )
    path = tmp_path / "deep" / "record.json"
    write_json(path, record)
    assert read_session(path) == record
    assert list(path.parent.iterdir()) == [path]


def test_numpy_values_become_plain_ones() -> None:
    found = result(auc=np.float32(0.5), n_queries=np.int64(3), supported=np.bool_(False))
    assert (type(found.auc), type(found.n_queries), type(found.supported)) == (float, int, bool)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "much", None])
def test_a_number_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError):
        result(auc=bad)


def changed(*place: Any, to: Any) -> str:
    """Return a session's JSON with one value changed."""
    record = SessionRecord(
        privaudit_version="1",
        audits=[part("a", result(), settings={"scenarios": ["I"], "attacks": ["threshold"]})],
    )
    content = json.loads(record.to_json())
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = to
    return json.dumps(content)


RESULT = ("audits", 0, "results", 0)


@pytest.mark.parametrize("version", [1, 3, "2", None, True, 2.0])
def test_another_version_is_refused(version: Any) -> None:
    with pytest.raises(RecordError, match=r"has schema version .*, and this privaudit reads 2: "):
        SessionRecord.from_json(changed("schema_version", to=version))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*RESULT, "auc"), 99),
        ((*RESULT, "auc"), -0.1),
        ((*RESULT, "auc"), float("nan")),
        ((*RESULT, "auc"), 10**400),
        ((*RESULT, "interval", "low"), 0.8),
        ((*RESULT, "interval", "high"), 1.5),
        ((*RESULT, "verdict"), "excellent"),
        ((*RESULT, "auc_verdict"), "reported"),
        ((*RESULT, "gate"), "none"),
        ((*RESULT, "budget"), 7),
        ((*RESULT, "evaluation", "members"), -1),
        ((*RESULT, "member_scores"), ["a"]),
        (("audits", 0, "settings", "scenarios"), 3),
        (("audits", 0, "settings", "attacks"), [["threshold"]]),
        (("audits", 0, "settings", "seed"), float("inf")),
        (("audits", 0, "provenance", "started"), "yesterday"),
        (("audits", 0), None),
        (("more",), 1),
    ],
)
def test_a_value_out_of_its_range_or_of_another_type_is_refused(place: Any, value: Any) -> None:
    with pytest.raises(RecordError, match=r"^x\.json (is damaged at|has a number|is not JSON)"):
        SessionRecord.from_json(changed(*place, to=value), "x.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a":' * 5000, "9" * 5000, b"\xff", b"\0", "null"]
)
def test_what_is_no_record_is_refused(text: str | bytes) -> None:
    with pytest.raises(RecordError):
        SessionRecord.from_json(text)


def test_a_message_quotes_nothing_of_a_record() -> None:
    with pytest.raises(RecordError) as caught:
        SessionRecord.from_json(changed(*RESULT, "member_scores", to={"a secret": "another"}))
    assert "another" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_of_a_record_is_its_owners_alone_and_no_device_is_replaced(tmp_path: Path) -> None:
    record = SessionRecord(privaudit_version="1")
    path = tmp_path / "record.json"
    path.write_text("old")
    path.chmod(0o644)
    (tmp_path / "link.json").symlink_to(path)
    write_json(tmp_path / "link.json", record)
    assert (tmp_path / "link.json").is_symlink()
    assert read_json(path) == record
    assert path.stat().st_mode & 0o777 == 0o600
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in (tmp_path / "fifo", tmp_path / "folder", Path("/dev/null"), Path("/dev/stdout")):
        before = name.lstat().st_mode
        with pytest.raises(OSError, match="not a regular file"):
            write_json(name, record)
        assert name.lstat().st_mode == before
    with pytest.raises(RecordError, match="FIFO"):
        read_json(tmp_path / "fifo")
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        *("fifo", "folder", "link.json", "record.json")
    ]


def test_parts_from_any_process_in_any_order_make_one_record() -> None:
    parts = {
        "1": part("b", result(), generated=5, validity=Validity(controls={"x": 1.0})),
        "2": part("b", result(attack="classifier"), generated=7, validity=Validity(reasons=["r"])),
        "3": part("a", result(scenario="attack-II")),
    }
    order = ["attack-I-classifier", "attack-I-threshold", "attack-II-threshold"]
    seen = []
    for keys in ("123", "321"):
        log = RecordLog(order)
        for key in keys:
            log.add(key, parts[key])
        seen.append(log.audits())
    assert seen[0] == seen[1]
    first, second = seen[0]
    assert (first.name, second.name) == ("a", "b")
    assert [r.attack for r in second.results] == ["classifier", "threshold"]
    assert second.provenance is not None
    assert (second.provenance.images.generated, second.provenance.images.reused) == (12, 9)
    assert second.validity == Validity(controls={"x": 1.0}, reasons=["r"])


def test_what_never_reported_is_not_run_and_the_record_incomplete() -> None:
    log = RecordLog(["attack-I-threshold", "attack-I-classifier"])
    log.add("1", part("a", result()))
    record = log.record("1", 2, [("a", "attack-I", "classifier"), ("b", "attack-I", "threshold")])
    assert not record.complete
    assert [audit.complete for audit in record.audits] == [False, False]
    assert [item.outcome for item in record.audits[0].not_completed] == ["not run"]
    assert record.audits[1].results == []


def test_a_result_that_came_after_all_is_no_longer_missing() -> None:
    missing = NotCompleted(scenario="attack-I", attack="threshold", outcome="error", reason="?")
    both = AuditRecord(name="a", not_completed=[missing]).merged(part("a", result()))
    assert both.not_completed == []
    assert len(both.results) == 1
