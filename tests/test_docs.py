"""What the README, the pages of docs/ and the docstrings say is true: examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import privaudit
from privaudit.__main__ import main
from privaudit.commands import COMMANDS, doctor
from privaudit.settings import OPTIONS
from privaudit.settings.page import page
from tests.parts import ROOT
from tests.parts.shipped import write_shipped
from tests.test_architecture import ROOMS

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NOTES = sorted((ROOT / "benchmarks" / "notes").rglob("*.md"))
PACKAGE = Path(privaudit.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)
SHIPS = ("what-can-be-loaded.md",)
"""Pages whose code loads models of each family, which takes a while to write."""
CODE = re.compile(r"(<!-- not run: .+ -->\n)?^```python\n(.*?)^```$", re.M | re.S)
"""A block of code is run, after those above it on its page, unless a comment says why it is not."""


def of(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", pages, ids=lambda file: str(file.relative_to(ROOT)))


def test_ci_runs_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```bash\n(python3 -m venv .*)\n```$", readme, re.M)
    assert [command.split("&&")[-1].split()[1] for command in commands] == ["audits/", "tests"]
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert f"({commands[1]})" in lines


def test_the_readme_shows_what_init_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "in_cache", lambda name: False)
    assert main([*script.INIT]) == 0
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"$ privaudit {' '.join(script.INIT)}\n" in readme
    written = script.replaced(readme, "init", capsys.readouterr().out)
    assert written == readme, "run python benchmarks/readme.py"


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run python -m privaudit.settings.page"


def test_the_page_of_the_architecture_names_the_levels_and_files_that_there_are() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    [levels] = re.findall(r"^```text\n(__main__\n.*?)^```$", page, re.M | re.S)
    assert [tuple(line.split()) for line in levels.splitlines()] == ROOMS
    for name in re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", page):
        assert (ROOT / name).exists() or (PACKAGE / name).exists(), name


@of([*PAGES, *NOTES])
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


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for file in (ROOT / "docs").rglob("*.md"):
        name = file.relative_to(ROOT / "docs").with_suffix("")
        folder = name.parent if name.name == "index" else name
        assert (tmp_path / folder / "index.html").is_file()
    api = (tmp_path / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="privaudit.run_audit"' in api


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=[pytest.mark.slow] if file.name in SHIPS else [])
        for file in PAGES
        if CODE.search(file.read_text(encoding="utf-8"))
    ],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_code_on_a_page_runs(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").symlink_to(ROOT / "audits")
    if file.name in SHIPS:
        write_shipped(tmp_path)
    text = file.read_text(encoding="utf-8")
    names = {"__name__": file.stem, "pytest": pytest, "privaudit": privaudit}
    for block in CODE.finditer(text):
        if not block[1]:
            line = text[: block.start(2)].count("\n")
            exec(compile("\n" * line + block[2], str(file), "exec"), names)


@of(PAGES)
def test_options_and_commands_that_a_page_names_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    flags = {option.flag for option in OPTIONS if not option.in_code_only}
    assert set(re.findall(r"--privaudit(?:-[a-z0-9]+)+", text)) <= flags
    names = {f"privaudit_{option.name}" for option in OPTIONS if option.in_ini}
    assert set(re.findall(r"^(privaudit_[a-z_]+) =", text, re.M)) <= names
    commands = {one.__name__.rsplit(".", 1)[1] for one in COMMANDS}
    for block in re.findall(r"^```(?:bash|console)\n(.*?)^```$", text, re.M | re.S):
        assert set(re.findall(r"^(?:\$ )?privaudit ([a-z]+)", block, re.M)) <= commands
    assert set(re.findall(r"`privaudit ([a-z]+)", text)) <= commands


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
