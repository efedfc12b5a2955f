"""The report as a file: self-contained, readable without its style, and true to the record."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from privaudit.errors import MissingExtraError
from privaudit.record import SessionRecord
from privaudit.report.figures import roc_on_grid
from privaudit.report.html import render_html
from tests.parts import records
from tests.parts.audit_folder import GATED, LEAKING, AuditFolder
from tests.parts.records import KINDS

EVIL = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "مرحبا \u202eabc",
    "🦊" * 20,
    "x" * 10_000,
    "a & b < c > d",
    "]]><!--",
]
UNWELCOME = re.compile(r"\b(safe|anonymous|compliant|certified)\b", re.IGNORECASE)


class Tags(HTMLParser):
    """Every tag with its attributes, and what is open at the end."""

    VOID = frozenset(("meta", "br", "img", "link", "input", "hr", "path", "use", "rect"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(*audits: Any) -> str:
    return render_html(records.session(*audits))


def check_page(text: str) -> Tags:
    parsed = Tags(text)
    assert parsed.open == []
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script", "img", "iframe", "object", "link", "base", "form", "embed"}
    for tag, attributes in parsed.tags:
        assert not {"src", "srcset", "action", "style", "background"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        target = attributes.get("href")
        assert target is None or target.startswith("#"), (tag, target)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(http" not in text
    ids = [one["id"] for _, one in parsed.tags if "id" in one]
    assert len(ids) == len(set(ids))
    links = {one["href"][1:] for _, one in parsed.tags if one.get("href")}  # type: ignore[index]
    assert links <= set(ids)
    for reference in re.findall(r"url\(#([^)]+)\)", text):
        assert reference in ids
    return parsed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_report_asks_for_nothing_and_is_small(kind: str, record_of: Any) -> None:
    text = page(record_of(kind))
    check_page(text)
    assert len(text.encode()) <= 400_000
    assert not UNWELCOME.search(re.sub(r"<[^>]+>", " ", text))


def test_the_numbers_are_those_of_the_record(record_of: Any) -> None:
    record = record_of("shadowed")
    text = page(record)
    shown = "".join(check_page(text).text)
    for one in record.all_results:
        row = rf"{one.name}\s*{one.auc:.3f}\s*{one.interval.low:.3f}\s*{one.interval.high:.3f}"
        assert re.search(row, shown), one.name
    ran = record.provenance
    assert all(each.digest in text for each in ran.samples.values())


def test_no_caption_and_no_id_of_a_sample_is_in_a_report(record_of: Any) -> None:
    text = page(record_of("fail"))
    assert "picture 0" not in text
    assert not re.search(r"\bp0\d{5}\b", text)
    assert record_of("fail").results[0].exposed


def test_with_a_key_ids_are_hashed(record_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.record.baseline import keyed

    monkeypatch.setenv("PRIVAUDIT_BASELINE_KEY", "k" * 20)
    text = page(record_of("fail"))
    most = max(record_of("fail").all_results, key=lambda one: len(one.exposed))
    assert keyed("k" * 20, "sample", most.exposed[0].id) in text
    assert not re.search(r"\bp0\d{5}\b", text)


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_names_that_are_markup_stay_text(evil: str, record_of: Any) -> None:
    record = record_of("baseline")
    groups = [
        one.model_copy(update={"group": evil})
        for one in records.audit(0.1, sample_groups=_groups()).results[0].groups
    ]
    results = [one.model_copy(update={"groups": groups}) for one in record.results]
    record = record.model_copy(
        update={
            "name": f"audits/test_{evil}.py::test[{evil}]",
            "notes": [evil],
            "results": results,
            "parameters": {"x": evil},
            "settings": record.settings | {"encoder": evil},
        }
    )
    session = records.session(record).model_copy(update={"notes": [evil]})
    text = render_html(session)
    check_page(text)
    assert "49" not in re.findall(r"<title>([^<]*)", text)[0]
    assert "\u202e" not in text


def _groups() -> dict[str, str]:
    members, others = records.samples(60)
    return {sample.id: "ab"[k % 2] for k, sample in enumerate([*members, *others])}


@pytest.mark.slow
def test_five_thousand_samples_cost_no_more(record_of: Any) -> None:
    large = page(record_of("large"))
    check_page(large)
    assert len(large.encode()) <= 150_000


@pytest.mark.slow
def test_a_run_of_checkpoints_is_one_figure(record_of: Any) -> None:
    text = page(*record_of("checkpoints"))
    check_page(text)
    assert text.count("AUC over the training run") >= 1
    assert len(text.encode()) <= 400_000


def test_it_reads_without_its_style(record_of: Any) -> None:
    """Jenkins and mail take the style: what is drawn has its colours as attributes."""
    text = page(record_of("fail"))
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert "style" not in figure
        assert 'role="img"' in figure
        assert re.search(r"<title id=\S+>[^<]{10,}</title><desc id=\S+>[^<]{20,}</desc>", figure)
        assert 'fill="#ffffff"' in figure
        assert re.search(r'<text [^>]*font-size="', figure)
    words = [word for word in check_page(text).text if word.strip()]
    order = ["should not be released", "What to do now", "Can it be believed?"]
    order += ["By what others get", "The results", "Who stands out", "What this is evidence for"]
    order += ["What was run", "Limits", "Glossary"]
    joined = "\n".join(words)
    places = [joined.index(part) for part in order]
    assert places == sorted(places)


def test_the_policy_allows_the_style_and_nothing_else(record_of: Any) -> None:
    import base64
    import hashlib

    text = page(record_of("fail"))
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text.replace("&#39;", "'")


def test_a_curve_on_the_grid_is_the_curve() -> None:
    import numpy as np
    from sklearn.metrics import roc_curve

    draws = np.random.default_rng(0)
    members, others = draws.normal(0.5, 1, 300), draws.normal(0, 1, 200)
    fpr, tpr = roc_on_grid(members, others)
    exact_fpr, exact_tpr, _ = roc_curve(
        [1] * 300 + [0] * 200, np.concatenate([members, others]), drop_intermediate=False
    )
    for x, y in zip(fpr, tpr, strict=True):
        assert y == pytest.approx(exact_tpr[exact_fpr <= x + 1e-9].max())
    tied, flat = roc_on_grid([1.0, 1.0], [1.0, 1.0])
    assert flat[0] == 0.0
    assert flat[-1] == 1.0
    assert tied[-1] == 1.0


def test_matplotlib_is_imported_only_for_a_report() -> None:
    code = (
        "import sys, privaudit, privaudit.plugin.gate, privaudit.report.terminal\n"
        "import privaudit.report.html, privaudit.report.markdown, privaudit.report.junit\n"
        "assert not {'matplotlib', 'jinja2'} & sys.modules.keys() - {'jinja2'}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_without_matplotlib_the_extra_is_named(
    record_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else find(name, *rest),
    )
    with pytest.raises(MissingExtraError, match=r"privaudit\[report\]"):
        page(record_of("fail"))


def test_a_session_without_audits_is_a_report_too() -> None:
    check_page(render_html(SessionRecord(privaudit_version="1")))


# ---------------------------------------------------------------------------- of a session

ONE = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold")


def test_a_session_writes_its_report(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run(*ONE, "--privaudit-report=deep/report.html", subprocess=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    file = audit_folder.path / "deep" / "report.html"
    check_page(file.read_text(encoding="utf-8"))
    assert file.stat().st_mode & 0o077 == 0
    result.stdout.fnmatch_lines(["report: *report.html"])


def test_strict_writes_it_beside_the_json(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    plain_folder.run(*ONE, "--privaudit-json=out.json", subprocess=True)
    assert not (plain_folder.path / "out.html").exists()
    plain_folder.run(*ONE, "--privaudit-json=out.json", "--privaudit-strict", subprocess=True)
    assert (plain_folder.path / "out.html").is_file()


@pytest.mark.parametrize("where", ["file/report.html", ".", "out.json"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_drawn(
    plain_folder: AuditFolder, where: str
) -> None:
    plain_folder.write(LEAKING, GATED)
    (plain_folder.path / "file").write_text("")
    result = plain_folder.run(*ONE, "--privaudit-json=out.json", f"--privaudit-report={where}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (plain_folder.path / "out.json").exists()
    result.stderr.fnmatch_lines(["ERROR: *privaudit-report*"])


def test_a_report_that_fails_late_is_red_and_loses_nothing(plain_folder: AuditFolder) -> None:
    """The folder goes while the audit runs: the record and the summary are there all the same."""
    plain_folder.write(
        """
@pytest.fixture(scope="session")
def target_model():
    import pathlib
    pathlib.Path("deep").write_text("in the way")
    from privaudit.testing import ObliviousTarget
    return ObliviousTarget()
""",
        GATED,
    )
    result = plain_folder.run(
        *ONE,
        "--privaudit-budget=0.95",
        "--privaudit-report=deep/report.html",
        "--privaudit-json=out.json",
        subprocess=True,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*test_leak: PASS*", "the report *could not be written*"])
    assert (plain_folder.path / "out.json").is_file()
