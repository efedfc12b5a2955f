"""What a service does wrong: answers, times, seeds and refusals, on real sockets."""

from __future__ import annotations

import fnmatch
import threading
import time
from typing import Any

import pytest
from PIL import Image

from privaudit.errors import EndpointError
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session
from tests.parts.endpoints import EXTRA, ONE, code, endpoint, fixture, queries
from tests.parts.services import DIALECTS, Service

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
    quick.fault = lambda number, _: {0: "429", 1: "hold"}.get(number)

    def release() -> None:
        quick.held.wait(30)
        time.sleep(0.4)  # until it was heard that the first was asked to wait
        quick.release.set()

    threading.Thread(target=release).start()
    list(endpoint(quick, at_once=2).answer(queries(6)))
    # The second was on its way with the first; the others wait, whoever asks them.
    assert min(quick.times[2:]) - quick.times[0] >= 0.9


def test_a_rate_is_kept(quick: Service) -> None:
    list(endpoint(quick, at_once=4, per_minute=600).answer(queries(6)))
    assert quick.times[-1] - quick.times[0] >= 0.3  # 0.5, less what the first was late


# -- what goes wrong for good

FOR_GOOD = {
    "401": "*answered 401: *Look at the key*",
    "429": "*has no answer after 2 attempts, at last 429*",
    "429 for an hour": "*asks to wait 3,600 s, more than the 300 s of patience*",
    "500": "*has no answer after 2 attempts, at last 500: *out of memory*",
    "hang": "*has no answer after 2 attempts, at last no whole answer within 0.7 s*",
    "cut": "*has no answer after 2 attempts, at last RemoteProtocolError*",
    "error inside": "*answered 200: an error inside*no capacity*",
    "half JSON": "*no whole JSON*",
    "half picture": "*that are no whole picture*",
    "HTML": "*text/html', which is no whole JSON*please log in*",
    "no base64": "*neither base64 nor an address*",
    "none": "*answered with 0 pictures, and 1 was asked for*",
    "redirect": "*is redirected to 'http://elsewhere.example/*",
    "size": "*a picture of 8×8 pixels, and 16×16 were asked for*",
    "two": "*answered with 2 pictures, and 1 was asked for*",
}
QUICK = ("401", "500", "hang", "half picture")
IN_AUDITS = [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FOR_GOOD]
"""To an audit all of them are one error: the fast suite looks at one of each way to fail."""


def patience(fault: str) -> dict[str, Any]:
    """Wait long for what comes: on a machine with much to do, a picture takes a second."""
    return {"at_once": 1, "attempts": 2, "timeout": 0.7 if fault == "hang" else 30}


@pytest.mark.parametrize("fault", FOR_GOOD)
def test_what_goes_wrong_for_good_is_said(quick: Service, fault: str) -> None:
    quick.fault = lambda _number, _prompt: fault
    with pytest.raises(EndpointError) as raised:
        list(endpoint(quick, **patience(fault)).answer(queries(1)))
    assert fnmatch.fnmatch(str(raised.value), FOR_GOOD[fault])


@pytest.mark.parametrize("fault", IN_AUDITS)
def test_what_goes_wrong_for_good_is_an_error_and_never_a_score(
    plain_folder: AuditFolder, quick: Service, fault: str
) -> None:
    quick.fault = lambda number, _: fault if number >= 9 else None
    plain_folder.write(fixture(code(quick, **patience(fault))), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines([f"{FOR_GOOD[fault]}(EndpointError)*"])
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert not audit.results
    # What was paid for is kept: with the fault gone, only the rest is asked, and one of it again.
    before = len(quick.asked)
    quick.fault = lambda _number, _prompt: None
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    assert len(quick.asked) - before == 24 + EXTRA - 9 + 1


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
    service = Service(lambda _prompt, _seed: Image.new("RGB", (16, 16)))
    service.url = "http://127.0.0.1:9"
    plain_folder.write(fixture(code(service, attempts=2)), GATED)
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*no answer after 2 attempts, at last ConnectError*(EndpointError)*"])


def test_time_is_not_wasted_after_a_failure(quick: Service) -> None:
    quick.fault = lambda _number, _prompt: "401"
    started = time.monotonic()
    with pytest.raises(EndpointError):
        list(endpoint(quick, at_once=2).answer(queries(50)))
    assert len(quick.asked) <= 4
    assert time.monotonic() - started < 10


# -- seeds


def test_another_picture_for_the_same_seed_is_noted(
    plain_folder: AuditFolder, quick: Service
) -> None:
    quick.fault = lambda _number, _prompt: "unseeded"
    plain_folder.write(fixture(code(quick)), GATED)
    ran = plain_folder.run(*ONE)
    ran.assert_outcomes(passed=1)
    ran.stdout.fnmatch_lines(["target_model does not honour seeds: one query, asked twice*"])
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
    ran.stdout.fnmatch_lines(["target_model does not honour seeds: one query, asked twice*"])


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
    # Nor is a refusal asked again until it is none; one picture is, to know the model by.
    assert len(quick.asked) == n + 1
    assert quick.asked[-1][0] != wanted


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
