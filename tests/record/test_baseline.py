"""The file of a baseline: what it says, what it keeps to itself, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import privaudit
from privaudit.errors import BaselineError
from privaudit.record import (
    AuditRecord,
    Baseline,
    SequentialPath,
    read_baseline,
    write_json,
)
from privaudit.record.baseline import keyed
from tests.record.test_schema import part, result

KEY = "a key of this project"
SCHEMA = Path(privaudit.__file__).parent / "record" / "baseline.json"


def record() -> AuditRecord:
    other = result(attack="combined", member_scores={"a": 0.25, "z": 1 / 3})
    return part("audits/test_faces.py::test_leak", result(), other)


def baseline() -> Baseline:
    return Baseline.from_record(record(), {"queries": 3, "encoder": "abc"}, KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "baseline.json"
    write_json(path, baseline())
    return path


NAME = "audits/test_faces.py::test_leak"


def test_what_is_written_is_read_to_the_last_bit(path: Path) -> None:
    found = read_baseline(path, KEY, NAME)
    assert found == baseline()
    assert found.scores("attack-I-combined")[0] == {
        keyed(KEY, "sample", "a"): 0.25,
        keyed(KEY, "sample", "z"): 1 / 3,
    }
    assert set(found.scores("attack-I-threshold")[0].values()) == {0.1, 0.2}
    assert [r.name for r in found.results] == ["attack-I-threshold", "attack-I-combined"]


def test_it_fits_the_schema_in_the_package(path: Path) -> None:
    wanted = json.dumps(Baseline.model_json_schema(), indent=2) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == wanted, "run `python -m privaudit.record.schema`"
    jsonschema.validate(json.loads(path.read_text()), json.loads(wanted))


def test_a_sample_is_a_line_under_a_hash_that_only_the_key_finds(path: Path) -> None:
    text = path.read_text()
    rows = [line for line in text.splitlines() if keyed(KEY, "sample", "a") in line]
    assert rows == [f'    "{keyed(KEY, "sample", "a")}": [0.1, 0.25]' + ","]
    assert len(text.splitlines()) < 120
    for word in ('"a"', '"z"', "caption", KEY):
        assert word not in text
    assert keyed(KEY, "sample", "a") != keyed(KEY + "!", "sample", "a")
    # Neither the order of the samples nor another purpose's hash tells anything.
    assert list(baseline().members) == sorted(baseline().members)
    assert keyed(KEY, "set", "a") != keyed(KEY, "sample", "a")


def edited(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(schema_version=1), "has schema version 1, and this privaudit knows 2"),
        (lambda c: c.pop("schema_version"), "has schema version None"),
        (lambda c: c.pop("results"), "is damaged at 'results'"),
        (lambda c: c["results"][0].update(auc="much"), r"is damaged at 'results\.0\.auc'"),
        (lambda c: c["results"][0].update(auc=99), r"is damaged at 'results\.0\.auc'"),
        (lambda c: c["results"][0]["interval"].update(low=0.9), r"at 'results\.0\.interval'"),
        (lambda c: c["results"][0].update(verdict="good"), r"at 'results\.0\.verdict'"),
        (lambda c: c.update(more=1), "is damaged at 'more'"),
    ],
)
def test_another_schema_is_refused(path: Path, change: Any, said: str) -> None:
    edited(path, change)
    with pytest.raises(BaselineError, match=said):
        read_baseline(path, KEY, NAME)


@pytest.mark.parametrize("text", ["", "{", "[]", "not json", '{"schema_version": NaN}', "\xff"])
def test_what_is_no_baseline_is_refused(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BaselineError, match=r"is not JSON|is not UTF-8|has schema version"):
        read_baseline(path, KEY, NAME)


def test_another_key_and_another_audit_are_told_apart(path: Path) -> None:
    with pytest.raises(BaselineError, match="was written with another key"):
        read_baseline(path, KEY + "!", NAME)
    with pytest.raises(BaselineError, match=r"is of audits/.*, not of test_it: name a folder"):
        read_baseline(path, KEY, "test_it")


@pytest.mark.parametrize("key", ["", "short", "fifteen letters"])
def test_a_key_that_can_be_guessed_is_refused(key: str) -> None:
    with pytest.raises(
        BaselineError, match=r"PRIVAUDIT_BASELINE_KEY, (is not set|has \d+ characters).*\n.*export"
    ):
        Baseline.from_record(record(), {}, key)


def test_what_cannot_be_compared_later_is_refused() -> None:
    with pytest.raises(BaselineError, match="0 results"):
        Baseline.from_record(AuditRecord(name="x"), {}, KEY)
    path = SequentialPath(
        n_pairs=1, max_pairs=2, estimate=0.5, verdict=None, pairs_needed=None, path=[]
    )
    with pytest.raises(BaselineError, match="is sequential"):
        Baseline.from_record(part("x", result(sequential=path)), {}, KEY)
