"""What the README, the pages of docs/ and the docstrings say is true: examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import privaudit
from privaudit.settings.page import page
from tests.parts import ROOT
from tests.parts.shipped import write_shipped

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = Path(privaudit.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)
SHIPS = ("what-can-be-loaded.md",)
"""Pages whose code loads models of each family, which takes a while to write."""
RUNNABLE = re.compile(r"^```python run\n(.*?)^```$", re.M | re.S)
"""A block of code that begins with "```python run" is run, after those above it on its page."""


def of(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", pages, ids=lambda file: str(file.relative_to(ROOT)))


def test_the_readme_has_at_most_800_words() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 800


def test_ci_runs_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```bash\n(.*)\n```$", readme, re.M)
    assert [command.split("&&")[-1].split()[1] for command in commands] == ["audits/", "tests"]
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert f"({commands[1]})" in lines


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run python -m privaudit.settings.page"


@of(PAGES)
def test_relative_links_lead_somewhere(file: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", text)
    for path, anchor in targets:
        target = file.parent / path if path else file
        assert target.exists(), f"{file.name} links to {path}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in slugs, f"{file.name} links to {path}#{anchor}"


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=[pytest.mark.slow] if file.name in SHIPS else [])
        for file in PAGES
        if RUNNABLE.search(file.read_text(encoding="utf-8"))
    ],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_code_on_a_page_runs(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").symlink_to(ROOT / "audits")
    if file.name in SHIPS:
        write_shipped(tmp_path)
    text = file.read_text(encoding="utf-8")
    names = {"__name__": file.stem}
    for block in RUNNABLE.finditer(text):
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(file), "exec"), names)


@pytest.mark.slow
def test_the_readmes_audit_file_works_as_it_stands(
    pytester: pytest.Pytester, emoji: dict[str, list[privaudit.Sample]]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [audit] = re.findall(r"^```python\n(.*?)^```$", readme, re.M | re.S)
    [line] = re.findall(r'`(\{"file_name".*\})`', readme)
    for folder, role in (("data/train", "member"), ("data/holdout", "non_member")):
        (pytester.path / folder).mkdir(parents=True)
        lines = []
        for i, sample in enumerate(emoji[role][:12]):
            sample.image.save(pytester.path / folder / f"{i}.png")
            lines.append(line.replace("1.png", f"{i}.png").replace("its caption", sample.caption))
        metadata = pytester.path / folder / "metadata.jsonl"
        metadata.write_text("\n".join(lines), encoding="utf-8")
    for folder in ("runs", "audits"):
        (pytester.path / folder).mkdir()
    (pytester.path / "base-model").symlink_to(ROOT / "audits/models/base")
    (pytester.path / "runs/faces").symlink_to(ROOT / "audits/models/shadow")
    (pytester.path / "audits/test_faces.py").write_text(audit, encoding="utf-8")
    ran = pytester.runpytest_inprocess(
        "audits/",
        "--privaudit-encoder=efficientnet-lite0",
        "--privaudit-attacks=threshold",
        "--privaudit-gate=evidence",  # so few samples show nothing
        "--privaudit-duplicate-limit=2",
        "--privaudit-steps=2",
        "--privaudit-queries=1",
        "--privaudit-store=none",
    )
    ran.assert_outcomes(passed=1, skipped=3)
    ran.stdout.fnmatch_lines(
        ["audits/test_faces.py::test_membership_inference: PASS, 0 of 1 result*"]
    )


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tried = doctest.testmod(importlib.import_module(module), raise_on_error=False)
    assert tried.attempted
    assert not tried.failed


def test_every_public_function_has_an_example() -> None:
    public = [getattr(privaudit, name) for name in privaudit.__all__]
    functions = [one for one in public if inspect.isfunction(one)]
    assert functions
    assert not [one.__name__ for one in functions if ">>> " not in (one.__doc__ or "")]
