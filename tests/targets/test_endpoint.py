"""Models behind HTTP: real services on real sockets, in each dialect."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.endpoints import OpenAIImages
from privaudit.errors import EndpointError
from privaudit.targets.endpoint import Endpoint
from privaudit.targets.queries import portable_seed
from tests.parts import ROOT
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session
from tests.parts.endpoints import EXTRA, ONE, code, endpoint, fixture, queries
from tests.parts.services import DIALECTS, WORKFLOW, Service

RUNNABLE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


# -- each dialect


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_draws_what_the_model_behind_it_draws(service: Service, dialect: str) -> None:
    asked = queries()
    answers = {a.query.prompt: a.image for a in endpoint(service, dialect).answer(asked)}
    assert len(answers) == 3
    for query in asked:
        drawn = service.draw(query.prompt, portable_seed(query.seed))
        assert answers[query.prompt].tobytes() == drawn.convert("RGB").tobytes()
    assert sorted(service.asked) == [(q.prompt, portable_seed(q.seed)) for q in asked]


@pytest.mark.parametrize(
    "dialect",
    [d if d == "openai" else pytest.param(d, marks=pytest.mark.slow) for d in DIALECTS],
)
def test_an_audit_over_http_pays_once(
    plain_folder: AuditFolder, service: Service, dialect: str
) -> None:
    plain_folder.write(fixture(code(service, dialect)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(passed=1)
    assert len(service.answered) == 24 + EXTRA
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert audit.validity is not None
    assert audit.provenance is not None
    assert audit.validity.conduct["target_model"].seeds_honoured is True
    assert audit.provenance.models["target_model"]["version"] == "1"
    assert any("had the model of version '1' behind it" in note for note in audit.notes)
    again = plain_folder.run(*ONE)
    again.assert_outcomes(passed=1)
    assert len(service.answered) == 24 + EXTRA + 1  # whether it is still the same model
    plain_folder.write(fixture(code(service, dialect, version="2")), GATED)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(service.answered) == 2 * (24 + EXTRA) + 1


def test_another_model_under_the_same_version_is_an_error(
    plain_folder: AuditFolder, quick: Service
) -> None:
    plain_folder.write(fixture(code(quick)), GATED)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    quick.fault = lambda _number, _prompt: "unseeded"  # as another model would: other pictures
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(
        ["the store has answers of Endpoint '1', and asked again*(StoreError)"]
    )
    plain_folder.write(fixture(code(quick, recheck=False)), GATED)
    plain_folder.run(*ONE).assert_outcomes(passed=1)


def test_the_plan_says_what_it_costs_and_asks_nothing(
    plain_folder: AuditFolder, quick: Service
) -> None:
    plain_folder.write(fixture(code(quick, cost=0.05, per_minute=120)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-plan")
    ran.stdout.fnmatch_lines(
        [
            "privaudit: 24 images to generate, 0 in the store, about 12 s",
            "*24 requests to http*, 2 at a time, at most 120 a minute, about 1.20 USD at 0.05 a picture, and at most 2 more*",
        ]
    )
    assert quick.asked == []
    [note] = endpoint(quick).plan_notes(0)  # everything is stored
    assert note.startswith("1 request to http")
    assert not list(endpoint(quick, recheck=False).plan_notes(0))


def test_the_pages_code_draws(quick: Service) -> None:
    page = (ROOT / "docs" / "how-to" / "endpoints.md").read_text(encoding="utf-8")
    blocks = [b for b in RUNNABLE.findall(page) if "Endpoint(" in b]
    names: dict[str, Any] = {"privaudit": privaudit}
    for block in blocks:
        exec(re.sub(r"http://localhost:\d+", quick.url, block), names)
        [answer] = names["target"].answer(queries(1))
        assert answer.image.size == (16, 16)
    assert len(quick.answered) == len(blocks) == 4


# -- a kill


def test_a_kill_in_the_middle_pays_nothing_twice(plain_folder: AuditFolder, quick: Service) -> None:
    quick.fault = lambda number, _: "hold" if number == 14 else None
    plain_folder.write(fixture(code(quick, at_once=1)), GATED)
    store = f"--privaudit-store={plain_folder.path / 'store'}"
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", store, *ONE],
        cwd=plain_folder.path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert quick.held.wait(120)
    assert len(quick.answered) == 14
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    quick.fault = lambda _number, _prompt: None
    quick.release.set()
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    # The one on its way was asked for again, and one to see whether the model is the same.
    assert len(quick.asked) == 24 + EXTRA + 2
    assert len(set(quick.asked)) == 24 + 1


# -- the key


def test_the_key_is_sent_and_written_nowhere(
    plain_folder: AuditFolder, quick: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-secret-7"
    monkeypatch.setenv("A_KEY", key)
    plain_folder.write(fixture(code(quick, "openai-url", key_from="A_KEY", attempts=1)), GATED)
    ran = plain_folder.run(
        *ONE, "--privaudit-json=out.json", "-vv", "--showlocals", "--log-level=0"
    )
    ran.assert_outcomes(passed=1)
    assert set(quick.keys) == {f"Bearer {key}"}
    quick.fault = lambda _number, _prompt: "401"
    bad = plain_folder.run(*ONE, "--privaudit-store=none", "--showlocals", "--log-level=0")
    bad.assert_outcomes(errors=1)
    bad.stdout.fnmatch_lines(["*answered 401*bad key …*"])
    written = [str(ran.stdout), str(bad.stdout), repr(endpoint(quick, key_from="A_KEY"))]
    written += [
        path.read_text("utf-8", "replace")
        for path in plain_folder.path.rglob("*")
        if path.is_file()
    ]
    assert not [text for text in written if key in text]
    assert key.encode() not in pickle.dumps(endpoint(quick, key_from="A_KEY"))
    one = endpoint(quick, key_from="A_KEY")
    monkeypatch.setenv("A_KEY", "sk-other")
    assert endpoint(quick, key_from="A_KEY").fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("value", "said"), [(None, "is not set"), (" ", "is not set"), ("sk-\nsecret", "no header")]
)
def test_a_key_that_cannot_be_sent_is_an_error(
    quick: Service, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("A_KEY", value)
    with pytest.raises(EndpointError, match=r"\$A_KEY") as refused:
        list(endpoint(quick, key_from="A_KEY").answer(queries(1)))
    assert "secret" not in str(refused.value)
    assert quick.asked == []


# -- what is refused at once

WORKFLOWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "without a text node": ({n: w for n, w in WORKFLOW.items() if n != "6"}, {"text": "6"}),
    "a node without a text": (WORKFLOW, {"text": "3"}),
    "a text that another node gives": (
        {**WORKFLOW, "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0]}}},
        {"text": "6"},
    ),
    "a node without a seed": (WORKFLOW, {"text": "6", "seed": "6"}),
    "no output": (WORKFLOW, {"text": "6", "output": "11"}),
    "the editor's format": ({"nodes": [], "links": []}, {"text": "6"}),
}


@pytest.mark.parametrize("what", WORKFLOWS)
def test_a_workflow_that_no_prompt_can_be_put_into_is_an_error(what: str) -> None:
    workflow, nodes = WORKFLOWS[what]
    with pytest.raises(EndpointError, match="the workflow"):
        privaudit.endpoints.ComfyUI(workflow, **nodes)


def test_a_workflow_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "deep").write_text("[" * 10_000)
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("nowhere", "fifo", "deep", "zero"):
        with pytest.raises(EndpointError, match=name):
            privaudit.endpoints.ComfyUI(tmp_path / name, text="6")


def test_a_body_without_a_place_for_the_prompt_is_an_error() -> None:
    with pytest.raises(EndpointError, match="no prompt would reach the model"):
        privaudit.endpoints.JSONTemplate({"text": "prompt", "seed": "{seed}"})


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("images.example", {}),
        ("ftp://images.example", {}),
        ("https://me:pass@images.example", {}),
        ("https://images.example/?key=sk-secret-7", {}),
        ("https://images.example", {"version": " "}),
        ("https://images.example", {"at_once": 0}),
        ("https://images.example", {"per_minute": 0}),
        ("https://images.example", {"per_minute": "many"}),
        ("https://images.example", {"timeout": float("nan")}),
        ("https://images.example", {"backoff": -1}),
        ("https://images.example", {"size": "16x16"}),
        ("https://images.example", {"size": (16, 0)}),
        ("https://images.example", {"cost": "free"}),
        ("https://images.example", {"refusals": "OUR_CODE"}),
        ("https://images.example", {"hosts": "cdn.example"}),
        ("https://images.example", {"hosts": ("cdn.example/path",)}),
        ("https://images.example", {"hosts": ("ftp://cdn.example",)}),
        ("https://images.example", {"key_header": "X Key"}),
    ],
)
def test_an_endpoint_that_cannot_be_one_is_refused(url: str, more: dict[str, Any]) -> None:
    with pytest.raises(EndpointError) as refused:
        Endpoint(url, OpenAIImages(), **{"version": "1", **more})
    assert "sk-secret-7" not in str(refused.value)


def test_without_the_extra_its_name_is_said() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "import privaudit\n"
        "try: privaudit.Endpoint\n"
        "except privaudit.PrivauditError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert 'pip install "privaudit[endpoint]"' in done.stdout
