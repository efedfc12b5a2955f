"""The commands that read a record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from privaudit.__main__ import main
from privaudit.record import AuditRecord, SessionRecord
from privaudit.report.ci import append_step_summary, render_annotation, render_metrics
from privaudit.report.markdown import LIMIT, render_markdown
from tests.parts import records


@pytest.fixture
def write(tmp_path: Path, record_of: Any) -> Any:
    """Write the record of a kind, changed, and return its file."""

    def to_file(kind: str, name: str = "record.json", session: Any = None, **update: Any) -> Path:
        whole = records.session(record_of(kind).model_copy(update=update))
        whole = whole.model_copy(update=session or {})
        path = tmp_path / name
        path.write_text(whole.to_json(), encoding="utf-8")
        return path

    return to_file


@pytest.mark.parametrize(
    ("kind", "session", "update", "status"),
    [
        ("shown_pass", {}, {}, 0),
        ("not_shown", {}, {}, 0),
        ("expected", {}, {}, 0),
        ("fail", {}, {}, 1),
        ("fail", {}, {"expected": ["attack-I-threshold"]}, 1),
        ("inconclusive", {}, {}, 1),
        ("invalid", {}, {}, 1),
        ("shown_pass", {"complete": False}, {}, 1),
        ("shown_pass", {}, {"complete": False}, 1),
        ("shown_pass", {}, {"results": []}, 1),
        ("shown_pass", {"exit_status": 1}, {}, 1),
        ("shown_pass", {"exit_status": 0}, {}, 0),
        ("shown_pass", {"notes": ["2 audit items never reported"]}, {}, 1),
        ("shown_pass", {"audits": []}, {}, 1),
    ],
)
def test_check_clears_a_pass_and_nothing_else(
    kind: str, session: Any, update: Any, status: int, write: Any, capsys: Any
) -> None:
    path = write(kind, session=session, **update)
    assert main(["check", str(path)]) == status
    output = capsys.readouterr()
    said = output.err if status else output.out
    assert len(said.strip().splitlines()) == 1
    assert str(path) in said


COMMANDS = (
    ("report", []),
    ("report", ["--markdown"]),
    ("check", []),
    ("compare", None),
    ("card", ["README.md"]),
    ("attest", ["model"]),
)


@pytest.mark.parametrize(("command", "more"), COMMANDS)
@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '{"schema_version": 1}',
        '{"schema_version": 99, "privaudit_version": "9"}',
        '{"schema_version": 2}',
        '{"schema_version": 2, "privaudit_version": "1", "x": 1}',
        '{"schema_version": 2, "privaudit_version": "1", "audits": [{"name": NaN}]}',
        "[" * 100_000,
        "\x00",
        b"\xff\xfe",
    ],
)
def test_a_file_that_is_no_record_is_one_typed_error(
    command: str, more: list[str] | None, content: Any, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "README.md").write_text("# Hi\n")
    rest = [str(path)] if more is None else [m if m[0] == "-" else str(tmp_path / m) for m in more]
    assert main([command, str(path), *rest]) == 1
    said = capsys.readouterr().err
    assert said.startswith("privaudit: ")
    assert "record.json" in said
    assert len(said.strip().splitlines()) <= 3
    assert (tmp_path / "README.md").read_text() == "# Hi\n"


def test_a_truncated_or_changed_record_is_refused(write: Any, capsys: Any) -> None:
    path = write("fail")
    text = path.read_text()
    for bad in (text[: len(text) // 2], text.replace('"auc": 1.0', '"auc": NaN', 1)):
        path.write_text(bad)
        assert main(["check", str(path)]) == 1
        assert "record.json" in capsys.readouterr().err


def test_a_fifo_is_no_record(tmp_path: Path, capsys: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["check", str(tmp_path / "pipe")]) == 1
    assert "pipe" in capsys.readouterr().err


def test_report_renders_an_old_record_again(write: Any, tmp_path: Path, capsys: Any) -> None:
    path = write("shadowed")
    outputs = {name: tmp_path / name for name in ("html", "markdown", "junit", "metrics", "badge")}
    flags = [flag for name, file in outputs.items() for flag in (f"--{name}", str(file))]
    assert main(["report", str(path), *flags]) == 0
    assert all(file.is_file() for file in outputs.values())
    capsys.readouterr()
    assert main(["report", str(path)]) == 0
    assert "FAIL" in capsys.readouterr().out
    cases = list(ElementTree.parse(outputs["junit"]).iter("testcase"))
    record = SessionRecord.from_json(path.read_text()).audits[0]
    assert (
        len(cases)
        == len(record.results)
        == len([c for c in cases if c.find("failure") is not None])
    )
    first = next(cases[0].iter("property"))
    assert first.get("name") == "privaudit.sentence"
    assert str(first.get("value")).startswith("AUC 1.000 > budget")
    metrics = outputs["metrics"].read_text()
    assert metrics.endswith("# EOF\n")
    assert metrics.count("privaudit_auc{") == len(record.results)
    badge = json.loads(outputs["badge"].read_text())
    assert (badge["schemaVersion"], badge["color"]) == (1, "red")
    assert main(["report", str(path), "--html", "/proc/nothing/here.html"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_an_expected_failure_is_skipped_in_junit(write: Any, tmp_path: Path) -> None:
    assert main(["report", str(write("expected")), "--junit", str(tmp_path / "j")]) == 0
    [suite] = ElementTree.parse(tmp_path / "j").iter("testsuite")
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "3")


def test_compare_says_a_rise(write: Any, capsys: Any, record_of: Any) -> None:
    before, after = write("fail", "before.json"), write("fail", "after.json")
    assert main(["compare", str(before), str(after)]) == 0
    before.write_text(records.session(records.audit(0.9)).to_json())
    assert main(["compare", str(before), str(after)]) == 1
    output = capsys.readouterr()
    assert "rose by more than 0" in output.err
    assert main(["compare", str(after), str(before)]) == 0


HEAD = "---\nlicense: mit  # mine\ntags: [a,   b]\n"
REST = "---\n# Title\r\n\ttext   \n---\nmore\n"


@pytest.mark.parametrize(
    "card",
    [
        "",
        "# only text\n",
        HEAD + REST,
        HEAD + "model-index:\n- name: x\n  results: []\nlanguage: en\n" + REST,
        HEAD.replace("\n", "\r\n") + REST,
    ],
)
def test_a_card_is_written_once_and_the_rest_stays(
    card: str, write: Any, tmp_path: Path, record_of: Any
) -> None:
    path, file = write("fail"), tmp_path / "README.md"
    file.write_bytes(card.encode())
    assert main(["card", str(path), str(file)]) == 0
    once = file.read_bytes()
    assert main(["card", str(path), str(file)]) == 0
    assert file.read_bytes() == once
    text = once.decode()
    head = yaml.safe_load(text.split("---")[1])
    [metric] = head["model-index"][0]["results"][-1]["metrics"]
    best = max(record_of("fail").results, key=lambda one: one.auc)
    assert metric["type"] == "roc_auc"
    assert metric["value"] == round(best.auc, 4)
    assert metric["args"]["lower"] == round(best.interval.low, 4)
    assert metric["args"]["verdict"] == "fail"
    kept = [line for line in card.splitlines(keepends=True) if "model-index" not in line]
    for line in kept:
        if not line.startswith(("- name", "  results")):
            assert line.encode() in once
    if card.startswith("---"):
        tail = REST.encode()
        assert once.endswith(tail)
    # A later record takes the place of this one.
    later = write("shown_pass", "later.json")
    assert main(["card", str(later), str(file)]) == 0
    head = yaml.safe_load(file.read_text().split("---")[1])
    assert [r["metrics"][0]["args"]["verdict"] for r in head["model-index"][0]["results"]] == [
        "pass"
    ]


@pytest.mark.parametrize("head", ["a: [", "- x\n- y", "model-index: 3", "model-index: [3]"])
def test_a_card_that_is_broken_is_left_as_it_is(
    head: str, write: Any, tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"---\n{head}\n---\n")
    assert main(["card", str(write("fail")), str(file)]) == 1
    assert file.read_text() == f"---\n{head}\n---\n"
    assert "mend it" in capsys.readouterr().err


def of_model(record: AuditRecord, **files: Path) -> dict[str, Any]:
    ran = record.provenance
    assert ran is not None
    models = {"target_model": {"class": "X", "files": {k: str(v) for k, v in files.items()}}}
    return {"provenance": ran.model_copy(update={"models": models})}


def test_a_statement_binds_the_record_to_the_model(
    write: Any, tmp_path: Path, capsys: Any, record_of: Any
) -> None:
    import hashlib

    model, base = tmp_path / "lora", tmp_path / "base"
    for folder in (model, base):
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"weights")
    for kind, result in (("shown_pass", "PASSED"), ("not_shown", "WARNED"), ("fail", "FAILED")):
        path = write(kind, **of_model(record_of(kind), base=base, lora=model))
        assert main(["attest", str(path), str(model)]) == 0
        statement = json.loads(capsys.readouterr().out)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicate"]["result"] == result
        [subject] = statement["subject"]
        assert subject["digest"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
        [configuration] = statement["predicate"]["configuration"]
        assert configuration["digest"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    # Neither another model nor the base alone is what was audited.
    for other in (base, tmp_path / "elsewhere"):
        assert main(["attest", str(path), str(other)]) == 1
    assert main(["attest", str(path), str(base), "--vouch"]) == 0


def test_an_expected_failure_is_attested_as_one(write: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "w").write_bytes(b"w")
    assert main(["attest", str(write("expected")), str(tmp_path / "w"), "--vouch"]) == 0
    assert json.loads(capsys.readouterr().out)["predicate"]["result"] == "FAILED"


def test_a_jobs_summary_has_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record_of: Any
) -> None:
    session = records.session(*[record_of("fail")] * 300)
    assert len(render_markdown(session).encode()) <= LIMIT
    assert "more are in the record" in render_markdown(session)
    file = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    for _ in range(5):
        append_step_summary(session)
    assert file.stat().st_size <= LIMIT
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert "cannot be written" in append_step_summary(session)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert append_step_summary(session) == ""


def test_markup_in_names_stays_text(record_of: Any) -> None:
    name = 'a::b[<script>"\n::error::x|*@someone*](http://x)]'
    session = records.session(record_of("fail").model_copy(update={"name": name}))
    text = render_markdown(session)
    assert "<script>" not in text
    assert "\n::error" not in text
    assert r"\@someone" in text
    assert render_metrics(session).count("\n") == len(render_metrics(session).splitlines())
    assert "\n" not in render_annotation("a,b:c", 1, "x\ny")


def test_a_record_shows_itself(record_of: Any, capsys: Any) -> None:
    record = record_of("fail")
    assert len(repr(record).splitlines()) == 2
    assert "FAIL" in repr(record)
    assert str(record) == repr(record)
    page = record.model_copy(update={"name": "<script>"})._repr_html_()
    assert "should not be released" in page
    assert "<script>" not in page
    assert record.summary().startswith("audits/test_faces.py::test_leak: FAIL")
    frame = record.to_frame()
    assert list(frame["auc"]) == [one.auc for one in record.results]


def test_run_audit_shows_a_bar(capsys: Any) -> None:
    records.audit(0.1, n=20, attacks="threshold", progress=True)
    assert "image/s" in capsys.readouterr().err
    records.audit(0.1, n=20, attacks="threshold")
    assert capsys.readouterr().err == ""
