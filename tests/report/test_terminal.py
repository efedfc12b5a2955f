"""What the terminal says of each kind of record: short, within its width, and enough."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from privaudit.report.summary import printable, summarise
from privaudit.report.terminal import LINES, render, render_block
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.records import KINDS

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_block_is_what_it_was(kind: str, width: int, record_of: Any, request: Any) -> None:
    """Golden files: remove one, run the test, and read what it wrote."""
    lines = list(render_block(record_of(kind), width))
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert len(lines) < LINES
    file = GOLDEN / f"{kind}-{width}.txt"
    text = "\n".join(lines) + "\n"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        pytest.fail(f"{file} was not there: read it, and run again")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("width", [20, 80, 140])
def test_no_line_of_the_whole_is_wider_than_the_terminal(
    kind: str, width: int, record_of: Any
) -> None:
    lines = list(render([record_of(kind)], ["a note " * 30], width=width, verbose=True))
    tables = [line for line in lines if re.match(r"^(attack-|scenario|-----)", line)]
    assert all(len(line) <= max(width, 40) for line in lines if line not in tables)
    if width >= 80:
        assert all(len(line) <= width for line in tables)


@pytest.mark.parametrize(
    ("kind", "heading", "says"),
    [
        ("fail", "FAIL", "Do not release it"),
        ("expected", "FAIL, as its test expects", "Nothing: the test expects this"),
        ("shown_pass", "PASS", "may be released by text alone"),
        ("not_shown", "PASS, not shown", "Release it only if no proof is needed"),
        ("inconclusive", "INCONCLUSIVE", "Do not release it yet"),
        ("invalid", "INVALID", "take both from one source"),
    ],
)
def test_a_block_says_the_verdict_and_what_to_do(
    kind: str, heading: str, says: str, record_of: Any
) -> None:
    text = " ".join(line.strip() for line in render_block(record_of(kind)))
    assert summarise(record_of(kind)).heading == heading
    assert f": {heading} " in text
    assert says in text
    page = re.search(r"docs/\S+\.md", text)
    assert page is not None


def test_the_pages_that_are_named_exist() -> None:
    from privaudit.report.summary import GUIDES

    root = Path(__file__).parents[2]
    assert [page for page in GUIDES.values() if not (root / page).is_file()] == []


def test_advice_is_what_an_owner_can_do(record_of: Any) -> None:
    from privaudit.record import Counts

    record = record_of("inconclusive")
    for factor, wanted in ((3, r"Evaluate about 90\+90 samples"), (50, "chance-level|too close")):
        n = Counts(members=30 * factor, non_members=30 * factor)
        results = [one.model_copy(update={"samples_needed": n}) for one in record.results]
        advice = " ".join(summarise(record.model_copy(update={"results": results})).advice)
        assert re.search(wanted, advice)
        assert ("1500" in advice) is False


def test_numbers_are_those_of_the_record(record_of: Any) -> None:
    record = record_of("fail")
    best = max(record.results, key=lambda one: one.auc)
    text = " ".join(line.strip() for line in render_block(record))
    assert f"AUC {best.auc:.3f}, at least {best.interval.low:.3f}" in text
    assert f"({best.interval.low:.3f}-{best.interval.high:.3f})" in text
    assert f"the budget is {best.budget:g}" in text


def test_nothing_steers_the_terminal(record_of: Any) -> None:
    name = "x\x1b[31m\u202e\n\x07" + "y" * 10_000
    lines = list(render([record_of("fail").model_copy(update={"name": name})], width=80))
    assert not any(re.search("[\x00-\x1f\x7f\u202a-\u202e]", line) for line in lines)
    assert max(map(len, lines)) <= 80
    assert printable("\u202e") == "\\u202e"


def test_colour_is_the_writers_and_never_alone(record_of: Any) -> None:
    seen: list[tuple[str, dict[str, bool]]] = []

    def markup(text: str, **style: bool) -> str:
        seen.append((text, style))
        return f"<{text}>"

    [coloured, *_] = render_block(record_of("fail"), 80, markup)
    [plain, *_] = render_block(record_of("fail"), 80)
    assert seen == [("FAIL", {"red": True, "bold": True})]
    assert coloured.replace("<", "").replace(">", "") == plain
    seen.clear()
    list(render_block(record_of("not_shown"), 80, markup))
    assert seen == [("PASS, not shown", {"yellow": True, "bold": True})]


@pytest.mark.parametrize(
    ("environment", "columns"),
    [
        ({"TERM": "dumb"}, 80),
        ({"NO_COLOR": "1"}, 100),
        ({"CI": "true"}, 140),
        ({"PY_COLORS": "1"}, 80),
    ],
)
def test_pytest_prints_it_at_the_terminals_width(
    plain_folder: AuditFolder,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    columns: int,
) -> None:
    plain_folder.pytester.makeini("[pytest]\nprivaudit_queries = 1\n")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("PY_COLORS", raising=False)  # of pytester: no colours
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run(
        "--privaudit-scenarios=III", "--privaudit-attacks=threshold", subprocess=True
    )
    lines = result.stdout.lines
    colours = [line for line in lines if "\x1b[" in line]
    assert bool(colours) == ("PY_COLORS" in environment)
    start = next(k for k, line in enumerate(lines) if re.match(r"=+ privaudit =+", _bare(line)))
    end = next(k for k in range(start + 1, len(lines)) if _bare(lines[k]).startswith("====="))
    block = [_bare(line) for line in lines[start + 1 : end]]
    assert block[0] == "test_model.py::test_leak: FAIL"
    assert max(map(len, block)) <= columns
    assert len([line for line in block if line.strip()]) <= LINES
    assert block.count("every result and every check: pytest -v") == 1


def _bare(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_a_red_is_said_once_a_place(audit_folder: AuditFolder) -> None:
    """The failure has one sentence, the short summary its beginning, the block the verdict."""
    audit_folder.pytester.makeini("[pytest]\nprivaudit_queries = 1\n")
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run("--privaudit-scenarios=III", "--privaudit-attacks=threshold")
    sentence = "AUC 1.000 > budget 0.6 (default): attack-III distinguishes 12 members from 12"
    said = [line for line in result.stdout.lines if sentence in line]
    assert len(said) == 2
    assert said[1].startswith("FAILED test_model.py::test_leak[attack-III-threshold] - AUC")


def test_a_green_has_no_red_words(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(
        "--privaudit-scenarios=III", "--privaudit-attacks=threshold", "--privaudit-budget=0.9"
    )
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*FAIL*")
