"""The plan before the work, the progress while it runs, and work that is never done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder

# A target that writes down what it is asked, and takes its time.
LOGGING = """
import os, time

class Logging(privaudit.testing.ObliviousTarget):
    capabilities = privaudit.targets.Capabilities(ignores_prompts=True)
    def generate(self, prompts, seeds):
        with open("asked.log", "a") as log:
            log.write("".join(f"{seed} {prompt}\\n" for prompt, seed in zip(prompts, seeds)))
        time.sleep(0.05)
        return super().generate(prompts, seeds)

@pytest.fixture(scope="session")
def target_model():
    return Logging((32, 32))

class Captioner:
    fingerprint = "captioner-1"
    def __init__(self, known):
        self.known = known
    def caption(self, images):
        with open("captioned.log", "a") as log:
            log.write("image\\n" * len(images))
        return ["a picture of " + self.known[privaudit.Sample(i, "?").digest] for i in images]

@pytest.fixture(scope="session")
def captioner(members, non_members, shadow_members, shadow_non_members):
    everyone = members + non_members + shadow_members + shadow_non_members
    return Captioner({s.digest: s.caption for s in everyone})
"""
TUNED = """
@pytest.fixture(scope="session")
def shadow_model():
    return None

@pytest.fixture(scope="session")
def auxiliary_samples(shadow_members, shadow_non_members):
    return shadow_members + shadow_non_members

@pytest.fixture(scope="session")
def fine_tune():
    def tune(samples):
        raise AssertionError("a plan fine-tunes nothing")
    return tune
"""
GATED_WITH_POWER = [
    "  test_model.py::test_leak: gate point: 6+6 evaluated, 12 results; a model that leaks nothing "
    "is red by chance in up to * of such audits; in 5% with * of each class; * of each class "
    "decide both ways with 80 % power: certify passes such a model, and an AUC of 0.7 is shown"
]
UNNAMED = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.testing.MemorizingTarget(emoji_sets.twemoji("member")[:1]).generate
"""
EAGER = "import privaudit.plugin.progress as p; p.EVERY = 0.0; p.POLL = 0.01\n"


def log(folder: AuditFolder, name: str = "asked.log") -> list[str]:
    path = folder.path / name
    return path.read_text().splitlines() if path.exists() else []


def test_the_plan_alone_counts_over_scenarios_and_tests_and_runs_nothing(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(LOGGING, GATED, "def test_again(membership_attack): pass")
    result = plain_folder.run("--privaudit-plan")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes()
    # 12+12 samples of the target for I and III, and again with other words for II and IV; the
    # second test asks the same.
    result.stdout.fnmatch_lines(
        [
            "privaudit: 96 images to generate, 0 in the store, time unknown until the first batch",
            "  target_model of test_model.py::test_leak: 48 to generate, 0 in the store",
            "  shadow_model of test_model.py::test_leak: 48 to generate, 0 in the store",
        ]
    )
    assert log(plain_folder) == []


def test_a_plan_does_not_count_what_is_stored_and_a_run_makes_none(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(LOGGING, GATED)
    some = ["--privaudit-scenarios=I,II", "--privaudit-attacks=threshold", "--privaudit-budget=1"]
    first = plain_folder.run(*some, "--privaudit-scenarios=I")
    first.stdout.no_fnmatch_line("privaudit: * images to generate*")
    plan = plain_folder.run(*some, "--privaudit-plan")
    plan.stdout.fnmatch_lines(["privaudit: 24 images to generate, 24 in the store, about*"])
    both = plain_folder.run(*some)
    both.assert_outcomes(passed=2)
    assert len(log(plain_folder)) == len(set(log(plain_folder))) == 48
    assert len(log(plain_folder, "captioned.log")) == 24
    again = plain_folder.run(*some, "--privaudit-plan")
    again.stdout.fnmatch_lines(
        ["privaudit: 0 images to generate, 48 in the store, nothing to wait for"]
    )
    assert plain_folder.run(*some).ret == 0
    assert len(log(plain_folder)) == 48
    assert len(log(plain_folder, "captioned.log")) == 24


@pytest.mark.slow
def test_no_two_workers_do_the_same_work(plain_folder: AuditFolder) -> None:
    plain_folder.workers = ["-n2"]
    plain_folder.write(LOGGING, GATED)
    plain_folder.run("--privaudit-queries=3", "--privaudit-batch-size=4", "--privaudit-budget=1")
    asked = log(plain_folder)
    assert len(asked) == len(set(asked)) == 3 * 48


def test_a_plan_waits_for_no_shadow_model(plain_folder: AuditFolder) -> None:
    plain_folder.write(LOGGING, TUNED, GATED)
    result = plain_folder.run("--privaudit-plan", "--privaudit-scenarios=III")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "privaudit: 48 images to generate, *",
            "  shadow_model of test_model.py::test_leak is fine-tuned first*",
        ]
    )


def test_a_model_without_a_fingerprint_is_told_so(plain_folder: AuditFolder) -> None:
    plain_folder.write(UNNAMED, GATED)
    result = plain_folder.run("--privaudit-scenarios=I", "--privaudit-budget=1")
    result.assert_outcomes(passed=3)
    assert not (plain_folder.path / "store" / "images").exists()
    again = plain_folder.run("--privaudit-scenarios=I", "--privaudit-plan")
    again.stdout.fnmatch_lines(
        [
            "privaudit: 24 images to generate, 0 in the store*",
            "  images of target_model of test_model.py::test_leak are not kept: give it an "
            "attribute fingerprint*",
        ]
    )


def test_what_cannot_be_planned_is_said_and_red(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, "@pytest.fixture(scope='session')\ndef members(): return []", GATED)
    result = plain_folder.run("--privaudit-plan", "--privaudit-scenarios=I")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*attack-I-threshold? cannot be planned: 0 samples in members*"])


def test_a_session_without_audits_has_no_plan(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makepyfile("def test_it(): pass")
    plain_folder.run().stdout.no_fnmatch_line("*privaudit: *")
    plain_folder.run("--privaudit-plan").stdout.fnmatch_lines(["privaudit: no audit to plan"])


def test_a_log_shows_rate_and_time_left(
    plain_folder: AuditFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests run beside others, whose folders in /tmp are no business of this one.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    plain_folder.pytester.makeconftest(EAGER)
    plain_folder.write(LOGGING, GATED)
    result = plain_folder.run(
        "--privaudit-scenarios=I", "--privaudit-batch-size=4", "--privaudit-budget=1"
    )
    result.stdout.re_match_lines(
        [
            r"privaudit: \d+ of 24 images, [\d.e+]+/s, about \d+ s left",
            r"privaudit: 24 of 24 images, [\d.e+]+/s, about 0 s left",
        ]
    )
    # Of what workers write down, nothing is left behind.
    assert not list(tmp_path.glob("privaudit-*"))


def test_a_run_makes_each_fixture_once(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(
        LEAKING,
        """
import pytest

def note(name):
    with open("made.log", "a") as log:
        log.write(name + "\\n")

@pytest.fixture(scope="session", autouse=True)
def of_session():
    note("session")
    yield
    note("session over")

@pytest.fixture(autouse=True)
def of_test():
    note("test")
    yield
    note("test over")

def test_leak(membership_attack, tmp_path):
    note("body")
""",
    )
    result = plain_folder.run("-k", "attack-I-threshold")
    result.assert_outcomes(failed=1)
    made = log(plain_folder, "made.log")
    if not plain_folder.workers:
        assert made == ["session", "test", "body", "test over", "session over"]
    assert made.count("body") == 1
    assert made.count("session") == made.count("session over")


def test_a_fixture_that_fails_fails_its_tests_and_not_the_session(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(
        "@pytest.fixture(scope='session')\ndef target_model(): raise OSError('no such model')",
        GATED,
        "def test_other(): pass",
    )
    result = plain_folder.run("--privaudit-scenarios=I")
    result.assert_outcomes(errors=3, passed=1)
    result.stdout.fnmatch_lines(["*OSError: no such model*"])


def test_the_plan_says_how_often_the_gate_is_red_by_chance(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    planned = plain_folder.run("--privaudit-plan")
    assert planned.ret == pytest.ExitCode.OK
    planned.stdout.fnmatch_lines(GATED_WITH_POWER)
    certified = plain_folder.run("--privaudit-plan", "--privaudit-gate=certify")
    certified.stdout.fnmatch_lines(["*: gate certify: 6+6 evaluated, 12 results; * decide both*"])
    certified.stdout.no_fnmatch_line("*red by chance*")
    # The table says it too, and only then.
    said = "gate point: 12+12 evaluated, 1 result; a model that leaks nothing is red by chance*"
    one = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold")
    plain_folder.run(*one).stdout.fnmatch_lines([said])
    plain_folder.run(*one, "--privaudit-budget=0.9").stdout.no_fnmatch_line("*red by chance*")
