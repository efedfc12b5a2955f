"""Models behind HTTP: real services on real sockets, in each dialect, with each of their faults."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpcore  # noqa: F401  # pytester's runs forget what they import, and httpx would import it then
import pytest

import privaudit
from privaudit import ObliviousTarget, OpenAIImages, Sample
from privaudit.errors import EndpointError
from privaudit.targets.endpoint import Endpoint
from privaudit.targets.queries import Query, portable_seed
from tests.parts import ROOT
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session
from tests.parts.services import DIALECTS, WORKFLOW, Service

RUNNABLE = re.compile(r"^```python run\n(.*?)^```$", re.M | re.S)
ONE = ("--privaudit-attacks=threshold", "--privaudit-scenarios=I", "--privaudit-budget=1")
EXTRA = 2
"""Pictures beyond the samples': one query asked twice, and its seed with another prompt."""


@pytest.fixture(scope="module")
def warm() -> None:
    """Draw once: what the pipeline imports for that is forgotten after a test that has pytester."""
    Service().draw("a cat", 1)


@pytest.fixture
def service(warm: None) -> Iterator[Service]:
    with Service().running() as running:
        yield running


@pytest.fixture
def quick() -> Iterator[Service]:
    """Return a service that takes no time to draw."""

    def draw(prompt: str, seed: int) -> Any:
        [image] = ObliviousTarget((16, 16)).generate([""], [hash((prompt, seed)) % 2**32])
        return image

    with Service(draw).running() as running:
        yield running


def code(service: Service, dialect: str = "openai", **more: Any) -> str:
    url = service.url + ("/v1" if dialect.startswith("openai") else "")
    given = {"version": "1", "size": (16, 16), "at_once": 2, "backoff": 0.01, **more}
    words = "".join(f", {name}={value!r}" for name, value in given.items())
    return f"privaudit.Endpoint({url!r}, {DIALECTS[dialect]}{words})"


def endpoint(service: Service, dialect: str = "openai", **more: Any) -> Endpoint:
    return eval(code(service, dialect, **more), {"privaudit": privaudit})


def fixture(made: str) -> str:
    return f"@pytest.fixture(scope='session')\ndef target_model():\n    return {made}\n"


def queries(n: int = 3) -> list[Query]:
    [image] = ObliviousTarget((16, 16)).generate([""], [0])
    captions = [f"picture {i}, (seen) [from] \\above, “ü”" for i in range(n)]
    return [Query(Sample(image, c, id=c), c, 0, (i + 1) << 40) for i, c in enumerate(captions)]


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


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.nightly_under_xdist
def test_an_audit_over_http_pays_once(
    audit_folder: AuditFolder, service: Service, dialect: str
) -> None:
    audit_folder.write(fixture(code(service, dialect)), GATED)
    ran = audit_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(passed=1)
    assert len(service.answered) == 24 + EXTRA
    [audit] = read_session(audit_folder.path / "out.json").audits
    assert audit.validity is not None
    assert audit.provenance is not None
    assert audit.validity.conduct["target_model"].seeds_honoured is True
    assert audit.provenance.models["target_model"]["version"] == "1"
    assert any("had the model of version '1' behind it" in note for note in audit.notes)
    again = audit_folder.run(*ONE)
    again.assert_outcomes(passed=1)
    assert len(service.answered) == 24 + EXTRA
    audit_folder.write(fixture(code(service, dialect, version="2")), GATED)
    audit_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(service.answered) == 2 * (24 + EXTRA)


def test_the_plan_says_what_it_costs_and_asks_nothing(
    plain_folder: AuditFolder, quick: Service
) -> None:
    plain_folder.write(fixture(code(quick, cost=0.05, per_minute=120)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-plan")
    ran.stdout.fnmatch_lines(
        [
            "privaudit: 24 images to generate, 0 in the store, about 12 s",
            "*24 requests to http*, 2 at a time, at most 120 a minute, about 1.20 USD at 0.05 a picture",
        ]
    )
    assert quick.asked == []


def test_the_pages_code_draws(quick: Service) -> None:
    page = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
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
    # The one on its way was asked for again; of the others, nothing was.
    assert len(quick.asked) == 24 + EXTRA + 1
    assert len(set(quick.asked)) == 24 + 1


# -- what goes wrong, and is over soon


@pytest.mark.parametrize("fault", ["429", "500", "hang", "cut"])
def test_what_is_over_soon_is_asked_again(
    plain_folder: AuditFolder, quick: Service, fault: str
) -> None:
    quick.fault = lambda number, _: fault if number == 5 else None
    plain_folder.write(fixture(code(quick, timeout=0.7)), GATED)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(quick.asked) == 24 + EXTRA + 1


def test_everybody_waits_as_long_as_the_service_asks(quick: Service) -> None:
    quick.fault = lambda number, _: "429" if number == 0 else None
    list(endpoint(quick, at_once=2).answer(queries(6)))
    # The second was on its way with the first; the others wait, whoever asks them.
    assert min(quick.times[2:]) - quick.times[0] >= 0.9


def test_a_rate_is_kept(quick: Service) -> None:
    list(endpoint(quick, at_once=4, per_minute=600).answer(queries(6)))
    assert quick.times[-1] - quick.times[0] >= 0.3  # 0.5, less what the first was late


# -- what goes wrong for good

FOR_GOOD = {
    "401": "*answered 401: *Look at the key*",
    "429": "*has no answer after 2 tries, at last 429*",
    "429 for an hour": "*asks to wait 3,600 s, more than the 300 s of patience*",
    "500": "*has no answer after 2 tries, at last 500: *out of memory*",
    "hang": "*has no answer after 2 tries, at last none within 0.7 s*",
    "cut": "*has no answer after 2 tries, at last RemoteProtocolError*",
    "error inside": "*answered 200: an error inside*no capacity*",
    "half JSON": "*no whole JSON*",
    "half picture": "*that are no whole picture*",
    "HTML": "*text/html, which is no whole JSON*please log in*",
    "no base64": "*neither base64 nor an address*",
    "none": "*answered with 0 pictures, and 1 was asked for*",
    "redirect": "*is redirected to http://elsewhere.example/*",
    "size": "*a picture of 8×8 pixels, and 16×16 were asked for*",
    "two": "*answered with 2 pictures, and 1 was asked for*",
}


@pytest.mark.parametrize("fault", FOR_GOOD)
def test_what_goes_wrong_for_good_is_an_error_and_never_a_score(
    plain_folder: AuditFolder, quick: Service, fault: str
) -> None:
    quick.fault = lambda number, _: fault if number >= 9 else None
    plain_folder.write(fixture(code(quick, at_once=1, timeout=0.7, attempts=2)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines([f"{FOR_GOOD[fault]}(EndpointError)*"])
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert not audit.results
    # What was paid for is kept: with the fault gone, only the rest is asked.
    before = len(quick.asked)
    quick.fault = lambda _number, _prompt: None
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(quick.asked) - before == 24 + EXTRA - 9


ELSEWHERE = ("error inside", "half picture", "HTML", "none", "two", "size", "no base64")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ELSEWHERE)
def test_each_dialect_sees_what_goes_wrong(quick: Service, dialect: str, fault: str) -> None:
    if dialect == "file" and fault in ("none", "two"):
        return  # an answer that is the file cannot be two
    quick.fault = lambda _number, _prompt: fault
    with pytest.raises(EndpointError):
        list(endpoint(quick, dialect).answer(queries(1)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_small_jpeg_is_a_picture(quick: Service, dialect: str) -> None:
    quick.fault = lambda _number, _prompt: "JPEG"
    [answer] = endpoint(quick, dialect).answer(queries(1))
    assert answer.image.size == (16, 16)


@pytest.mark.parametrize("fault", ["workflow", "never"])
def test_a_workflow_that_does_not_end_well_is_an_error(quick: Service, fault: str) -> None:
    quick.fault = lambda _number, _prompt: fault
    with pytest.raises(EndpointError, match="the workflow"):
        list(endpoint(quick, "comfyui", timeout=1).answer(queries(1)))


def test_nobody_there_is_an_error(plain_folder: AuditFolder) -> None:
    service = Service()
    service.url = "http://127.0.0.1:9"
    plain_folder.write(fixture(code(service, attempts=2)), GATED)
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*no answer after 2 tries, at last ConnectError*(EndpointError)*"])


# -- seeds


def test_another_picture_for_the_same_seed_is_noted(
    plain_folder: AuditFolder, quick: Service
) -> None:
    quick.fault = lambda _number, _prompt: "unseeded"
    plain_folder.write(fixture(code(quick)), GATED)
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(passed=1)
    ran.stdout.fnmatch_lines(["seeds are not honoured by target_model*"])
    n = len(quick.asked)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(quick.asked) == n == 24 + 1  # each answer is a draw, and the first is kept


def test_a_service_that_gets_no_seed_is_not_asked_about_it(
    plain_folder: AuditFolder, quick: Service
) -> None:
    made = code(quick).replace(", seed=True", "")
    plain_folder.write(fixture(made), GATED)
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(passed=1)
    assert len(quick.asked) == 24
    assert all("seed" not in body for body in quick.bodies)
    ran.stdout.fnmatch_lines(["seeds are not honoured by target_model*"])


# -- refusals


@pytest.mark.parametrize("kind", ["refusal", "refusal inside"])
@pytest.mark.parametrize("at", [0, 5])
def test_a_refusal_is_counted_and_its_sample_left_out(
    plain_folder: AuditFolder, quick: Service, emoji: dict[str, Any], kind: str, at: int
) -> None:
    wanted = sorted(sample.caption for sample in emoji["member"][:12])[at]
    quick.fault = lambda _, prompt: kind if prompt == wanted else None
    plain_folder.write(fixture(code(quick)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(passed=1)
    [audit] = read_session(plain_folder.path / "out.json").audits
    [result] = audit.results
    assert audit.validity is not None
    counted = audit.validity.answers["target_model by caption, refusals"]
    assert (counted.n, counted.refused) == (24, 1)
    assert result.evaluation.members + result.calibration.members == 11
    assert result.evaluation.non_members + result.calibration.non_members == 12
    assert sum(a.flat for a in audit.validity.answers.values()) == 0
    ran.stdout.fnmatch_lines(
        ["target_model refused 1 of 24 queries *: 1 members and 0 non-members are left out"]
    )
    n = len(quick.asked)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(quick.asked) == n  # nor is a refusal asked again until it is none


def test_many_refusals_make_no_audit(plain_folder: AuditFolder, quick: Service) -> None:
    quick.fault = lambda number, _: "refusal" if number % 8 == 7 else None
    plain_folder.write(fixture(code(quick, at_once=1)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*target_model refused 3 of 24 queries by a policy of its own*"])
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert not audit.results
    assert audit.not_completed[0].outcome == "invalid"


def test_a_sequential_audit_that_is_refused_is_none(
    plain_folder: AuditFolder, quick: Service
) -> None:
    quick.fault = lambda number, _: "refusal" if number == 6 else None
    plain_folder.write(fixture(code(quick, at_once=1)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-sequential", "--privaudit-budget=0.9")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*1 queries were refused by a policy of the service's own*"])


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


def test_the_key_goes_to_nobody_else(quick: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-secret-7")
    with Service().running() as other:
        other._files["0.png"] = b""
        target = endpoint(quick, key_from="A_KEY")
        target._caller.fetch(f"{other.url}/files/0.png")
        target._caller.close()
        assert other.keys == [None]


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
    "a file that is not there": ("nowhere.json", {"text": "6"}),
}


@pytest.mark.parametrize("what", WORKFLOWS)
def test_a_workflow_that_no_prompt_can_be_put_into_is_an_error(what: str) -> None:
    workflow, nodes = WORKFLOWS[what]
    with pytest.raises(EndpointError, match="the workflow"):
        privaudit.ComfyUI(workflow, **nodes)


def test_a_body_without_a_place_for_the_prompt_is_an_error() -> None:
    with pytest.raises(EndpointError, match="no prompt would reach the model"):
        privaudit.JSONTemplate({"text": "prompt", "seed": "{seed}"})


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


def test_time_is_not_wasted_after_a_failure(quick: Service) -> None:
    quick.fault = lambda _number, _prompt: "401"
    started = time.monotonic()
    with pytest.raises(EndpointError):
        list(endpoint(quick, at_once=2).answer(queries(50)))
    assert len(quick.asked) <= 4
    assert time.monotonic() - started < 10
