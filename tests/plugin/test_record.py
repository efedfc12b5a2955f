"""What the JSON file says of a session: the truth, in every field, plain and under xdist."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from privaudit.audit.provenance import commit_of
from privaudit.record import AuditRecord
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

TWO_MODELS = """
@pytest.fixture(scope="session", params=["leaking", "safe"])
def target_model(request, members):
    if request.param == "safe":
        return privaudit.testing.ObliviousTarget()
    return privaudit.testing.MemorizingTarget(members)

def test_leak(membership_attack, target_model):
    pass
"""
ONE = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold", "--privaudit-json=out.json")


def audits(folder: AuditFolder) -> dict[str, AuditRecord]:
    return {audit.name: audit for audit in read_session(folder.path / "out.json").audits}


def test_one_test_with_two_models_is_two_audits(plain_folder: AuditFolder) -> None:
    plain_folder.write(TWO_MODELS)
    result = plain_folder.run(*ONE)
    found = audits(plain_folder)
    assert list(found) == ["test_model.py::test_leak[leaking]", "test_model.py::test_leak[safe]"]
    leaking, safe = found.values()
    assert leaking.parameters == {"target_model": "leaking"}
    assert safe.parameters == {"target_model": "safe"}
    assert [r.auc for r in leaking.results] == [1.0]
    assert safe.results[0].auc < 1.0
    assert leaking.provenance is not None
    assert safe.provenance is not None
    assert leaking.provenance.models["target_model"]["class"].endswith("MemorizingTarget")
    assert safe.provenance.models["target_model"]["class"].endswith("ObliviousTarget")
    identities = {a.provenance.models["target_model"]["identity"] for a in found.values()}  # type: ignore[union-attr]
    assert len(identities) == 2
    result.stdout.fnmatch_lines(
        [
            "test_model.py::test_leak?leaking?: FAIL, 1 of 1 result over the budget of 0.6 (default), *",
            "test_model.py::test_leak?safe?: *, * of 1 result over the budget of 0.6 (default)*",
        ]
    )


ANOTHER_MODEL = """
@pytest.fixture
def target_model(request):
    return privaudit.testing.MemorizingTarget(emoji_sets.twemoji("caption")[: len(request.node.name)])
"""
OTHER_MEMBERS = """
@pytest.fixture
def members(request):
    first = int("threshold" in request.node.name)
    return emoji_sets.twemoji("member")[first : first + N]

@pytest.fixture(scope="session")
def target_model():
    return privaudit.testing.ObliviousTarget()
"""


@pytest.mark.parametrize(
    ("fixture", "name"), [(ANOTHER_MODEL, "target_model"), (OTHER_MEMBERS, "members")]
)
def test_one_audit_is_of_one_model_and_its_sets(
    audit_folder: AuditFolder, fixture: str, name: str
) -> None:
    audit_folder.write(fixture, GATED)
    flags = ("--privaudit-budget=1", "--privaudit-scenarios=I")
    two = audit_folder.run(*flags, "--privaudit-attacks=threshold,distribution")
    two.assert_outcomes(passed=2)
    two.stdout.fnmatch_lines([f"*::test_leak is no one audit: its items got 2 different {name},*"])
    assert two.ret == pytest.ExitCode.TESTS_FAILED
    assert audit_folder.run(*flags, "--privaudit-attacks=threshold").ret == 0


def test_provenance_is_what_ran(plain_folder: AuditFolder) -> None:
    began = datetime.now(UTC)
    plain_folder.write(LEAKING, GATED)
    plain_folder.run("--privaudit-json=out.json", "--privaudit-attacks=threshold,distribution")
    (audit,) = audits(plain_folder).values()
    ran = audit.provenance
    assert audit.complete
    assert ran is not None
    assert {r.name for r in audit.results} == {
        f"attack-{s}-{a}" for s in ("I", "II", "III", "IV") for a in ("threshold", "distribution")
    }
    assert {name: sample_set.count for name, sample_set in ran.samples.items()} == {
        "members": 12,
        "non_members": 12,
        "shadow_members": 12,
        "shadow_non_members": 12,
    }
    assert len({sample_set.digest for sample_set in ran.samples.values()}) == 4
    assert set(ran.models) == {
        "target_model",
        "image_encoder",
        "measurement",
        "shadow_model",
        "captioner",
    }
    assert ran.models["image_encoder"]["class"].endswith("PixelEncoder")
    assert ran.models["image_encoder"]["identity"] == "pixels-8"
    # The members and non-members of both models, by caption and by captioner.
    assert ran.images.asked == {
        "target_model by caption": 24,
        "target_model by captioner": 24,
        "shadow_model by caption": 24,
        "shadow_model by captioner": 24,
    }
    # This captioner writes the true captions, so its images are there already.
    assert (ran.images.generated, ran.images.reused) == (48, 48)
    assert ran.seed == 0
    assert ran.versions["privaudit"]
    assert ran.commit is None
    assert began <= ran.started <= ran.ended <= datetime.now(UTC)
    assert audit.settings["queries"] == 1
    assert audit.settings["sources"]["queries"] == "ini"
    assert audit.settings["sources"]["attacks"] == "command line"
    assert audit.settings["sources"]["seed"] == "default"


def test_a_second_session_generates_nothing_and_says_so(plain_folder: AuditFolder) -> None:
    plain_folder.write(
        """
@pytest.fixture(scope="session")
def target_model(members):
    control = privaudit.testing.MemorizingTarget(members)
    control.capabilities = privaudit.targets.Capabilities()
    return control
""",
        GATED,
    )
    generated = []
    for _ in range(2):
        plain_folder.run(*ONE)
        (audit,) = audits(plain_folder).values()
        assert audit.provenance is not None
        generated.append((audit.provenance.images.generated, audit.provenance.images.reused))
    assert generated == [(24, 0), (0, 24)]


def test_an_encoder_given_as_a_fixture_is_the_one_recorded(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    plain_folder.run(*ONE, "--privaudit-encoder=somebody/else")
    (audit,) = audits(plain_folder).values()
    assert audit.provenance is not None
    assert audit.provenance.models["image_encoder"]["identity"] == "pixels-8"
    assert audit.settings["encoder"] is None
    assert audit.settings["without_effect"][0] == "encoder"


def test_a_skipped_scenario_is_said_and_widens_no_bound(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    arguments = ("--privaudit-attacks=threshold", "--privaudit-json=out.json")
    plain_folder.run(*arguments, "--privaudit-scenarios=I,II")
    both = audits(plain_folder)["test_model.py::test_leak"].results[0]
    text = (plain_folder.path / "test_model.py").read_text()
    start = text.index('@pytest.fixture(scope="session")\ndef captioner')
    end = text.index('@pytest.fixture(scope="session")\ndef shadow_members')
    (plain_folder.path / "test_model.py").write_text(text[:start] + text[end:])
    plain_folder.run(*arguments, "--privaudit-scenarios=I,II")
    audit = audits(plain_folder)["test_model.py::test_leak"]
    assert [r.name for r in audit.results] == ["attack-I-threshold"]
    (missing,) = audit.not_completed
    assert (missing.name, missing.outcome) == ("attack-II-threshold", "skipped")
    assert missing.reason == (
        "attack-II lacks fixtures: write captioner in the audit file or a conftest.py"
    )
    assert audit.complete
    assert audit.provenance is not None
    assert "captioner" not in audit.provenance.models
    assert (both.n_results, audit.results[0].n_results) == (2, 1)
    assert audit.results[0].interval.low > both.interval.low


def test_an_interrupted_session_writes_what_it_has(plain_folder: AuditFolder) -> None:
    plain_folder.write(
        SAFE,
        """
def test_leak(membership_attack):
    if membership_attack.attack == "distribution":
        raise KeyboardInterrupt
""",
    )
    result = plain_folder.run(
        "--privaudit-scenarios=I",
        "--privaudit-json=out.json",
        "--privaudit-budget=1",
        no_reraise_ctrlc=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    session = read_session(plain_folder.path / "out.json")
    (audit,) = session.audits
    assert not session.complete
    assert session.exit_status == 2
    assert not audit.complete
    assert [r.attack for r in audit.results] == ["threshold"]
    assert [(i.attack, i.outcome) for i in audit.not_completed] == [
        ("distribution", "not run"),
        ("classifier", "not run"),
    ]


def test_a_session_that_stops_at_a_failure_is_incomplete(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    audit_folder.run("-x", "--privaudit-json=out.json", "--privaudit-attacks=threshold")
    session = read_session(audit_folder.path / "out.json")
    assert not session.complete
    (audit,) = session.audits
    names = {r.name for r in audit.results} | {i.name for i in audit.not_completed}
    assert len(names) == 4


def test_the_commit_of_the_audit_file_is_recorded(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(
            ["git", *who, *arguments],
            cwd=plain_folder.path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    git("init")
    git("add", "test_model.py")
    git("commit", "-m", "audit")
    commit = git("rev-parse", "HEAD")
    plain_folder.run(*ONE)
    (audit,) = audits(plain_folder).values()
    assert audit.provenance is not None
    assert audit.provenance.commit == commit
    with (plain_folder.path / "test_model.py").open("a") as file:
        file.write("# changed\n")
    commit_of.cache_clear()  # within a session the file does not change
    plain_folder.run(*ONE)
    (audit,) = audits(plain_folder).values()
    assert audit.provenance is not None
    assert audit.provenance.commit == f"{commit}-dirty"


@pytest.mark.slow
def test_an_invalid_audit_stays_red_when_a_rerun_draws_again(plain_folder: AuditFolder) -> None:
    pytest.importorskip("pytest_rerunfailures")
    black_at_first = """
TRIES = []

def black(prompts, seeds):
    return [emoji_sets.twemoji("member")[0].image.point([0] * 768) for _ in prompts]

@pytest.fixture
def target_model():
    TRIES.append(1)  # the plan, and the first try
    return black if len(TRIES) <= 2 else privaudit.testing.ObliviousTarget()
"""
    plain_folder.write(black_at_first, GATED)
    result = plain_folder.run(*ONE, "--reruns=3", "--privaudit-budget=0.95", subprocess=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["AUC * in a rerun, after a failure in this session: *"])


@pytest.mark.slow
def test_a_red_stays_red_when_a_rerun_draws_again(plain_folder: AuditFolder) -> None:
    pytest.importorskip("pytest_rerunfailures")
    at_first = """
TRIES = []

@pytest.fixture
def target_model(members):
    TRIES.append(1)
    leaks = len(TRIES) <= 2  # the plan, and the first try
    return privaudit.testing.MemorizingTarget(members if leaks else members[:1]).generate
"""
    plain_folder.write(at_first, GATED)
    result = plain_folder.run(*ONE, "--reruns=3", "--privaudit-budget=0.95", subprocess=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["AUC * in a rerun, after a failure in this session: AUC 1.000*"])
    (audit,) = audits(plain_folder).values()
    assert audit.notes == ["attack-I-threshold: failed, then redrawn"]
