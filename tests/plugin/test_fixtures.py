"""What users supply, and what they forget."""

from __future__ import annotations

import pytest

from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import generated, results

RECIPES = """
@pytest.fixture(scope="session", params=[1, 2])
def fine_tune(request):
    def tune(samples):
        with open("recipes", "a") as made:
            made.write(f"{request.param}\\n")
        return privaudit.testing.MemorizingTarget(samples)
    return tune

@pytest.fixture(scope="session")
def auxiliary_samples():
    return emoji_sets.twemoji("shadow_member")[:12]

@pytest.fixture(scope="session")
def shadow_model():
    return None
"""


def test_missing_ingredients_skip_and_name_the_fixture(plain_folder: AuditFolder) -> None:
    plain_folder.write_minimal()
    result = plain_folder.run(
        "--privaudit-scenarios=II,III", "-rs", "--privaudit-attacks=threshold"
    )
    result.assert_outcomes(skipped=2)
    output = result.stdout.str()
    assert "attack-II lacks fixtures: write captioner in the audit file or a conftest.py" in output
    assert "write shadow_model, shadow_members, shadow_non_members (or auxiliary_samples" in output
    assert "no audit was completed: 2 items, 0 results" in output
    assert result.ret == pytest.ExitCode.OK


def test_missing_core_fixtures_are_errors_that_name_them(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makepyfile(test_empty="def test_it(membership_attack): pass")
    result = plain_folder.run("--privaudit-scenarios=I", "--privaudit-attacks=threshold")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["attack-I lacks fixtures: write target_model, members, non_members in the audit file*"]
    )


def test_the_captioner_of_scenario_two_never_sees_a_caption(plain_folder: AuditFolder) -> None:
    plain_folder.write(
        LEAKING,
        """
@pytest.fixture(scope="session")
def captioner():
    return lambda images: ["the same text for all"] * len(images)
""",
        GATED,
    )
    result = plain_folder.run(
        "-k", "attack-II-threshold", "--privaudit-json=out.json", "--privaudit-budget=1"
    )
    result.assert_outcomes(passed=1)
    assert results(plain_folder)["attack-II-threshold"]["auc"] != 1.0


def test_the_shadow_model_is_made_once_a_session(audit_folder: AuditFolder) -> None:
    audit_folder.write_minimal()
    with (audit_folder.path / "test_minimal.py").open("a") as file:
        file.write(
            """
@pytest.fixture(scope="session")
def auxiliary_samples():
    return emoji_sets.twemoji("shadow_member")[:12]

@pytest.fixture(scope="session")
def image_encoder():
    from tests.parts.encoders import PixelEncoder
    return PixelEncoder()

@pytest.fixture(scope="session")
def fine_tune():
    def tune(samples):
        with open("calls", "a") as calls:
            calls.write(f"{len(samples)}\\n")
        return privaudit.testing.MemorizingTarget(samples)
    return tune
"""
        )
    result = audit_folder.run(
        "--privaudit-scenarios=III",
        "--privaudit-budget=1",
        "--privaudit-attacks=threshold,distribution",
    )
    result.assert_outcomes(passed=2)
    calls = (audit_folder.path / "calls").read_text().split()
    # A control cannot be written down, so each worker that needs it makes its own.
    assert len(calls) == 1 or (audit_folder.workers and len(calls) == 2)
    assert 0 < int(calls[0]) < 12


def test_two_recipes_under_one_name_are_two_shadow_models(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, RECIPES, "def test_leak(membership_attack, fine_tune): pass")
    settings = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold")
    plain_folder.run(*settings, "--privaudit-budget=1").assert_outcomes(passed=2)
    assert sorted((plain_folder.path / "recipes").read_text().split()) == ["1", "2"]


def test_all_that_a_scenario_lacks_is_named_at_once(plain_folder: AuditFolder) -> None:
    plain_folder.write_minimal()
    result = plain_folder.run("--privaudit-scenarios=IV", "-rs", "--privaudit-attacks=threshold")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*attack-IV lacks fixtures: write captioner, shadow_model, shadow_members, "
            "shadow_non_members (or auxiliary_samples and fine_tune) in the audit file*"
        ]
    )


def test_the_papers_protocol_without_a_recipe_is_an_error_and_not_a_skip(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write_minimal()
    settings = ("--privaudit-scenarios=II", "--privaudit-attacks=threshold")
    result = plain_folder.run(*settings, "--privaudit-protocol=paper")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "attack-II cannot be asked without captioner, fine_tune: with protocol=paper "
            "(command line) *, or leave protocol at target, * (SettingError)"
        ]
    )


PARAMETRIZED = """
@pytest.fixture(scope="session", params=[1, 2])
def target_model(request):
    return privaudit.testing.ObliviousTarget()
"""
ASYNC = """
@pytest.fixture(scope="session")
def captioner():
    async def later():
        return None
    return later()
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (PARAMETRIZED, "fixture target_model is parametrized, so the test must name it:"),
        (SAFE + ASYNC, "fixture captioner is async, and nothing waits for it*"),
        (
            SAFE + "@pytest.fixture(scope='session')\ndef members():\n    return iter([])",
            "members is a list_iterator, not a list of privaudit.Sample: it can be read once*",
        ),
        (
            SAFE + "@pytest.fixture(scope='session')\ndef members():\n    return 'data/train'",
            "members is a str, not a list of privaudit.Sample: return privaudit.load_samples*",
        ),
        (
            "@pytest.fixture(scope='session')\ndef target_model(): return 3",
            "int cannot generate images*",
        ),
    ],
)
def test_fixtures_that_cannot_be_used_say_what_to_return(
    plain_folder: AuditFolder, code: str, said: str
) -> None:
    plain_folder.write(code, GATED)
    scenario = "II" if "captioner" in code else "I"  # which asks for the captioner
    result = plain_folder.run(f"--privaudit-scenarios={scenario}", "--privaudit-attacks=threshold")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("During handling of the above exception*")


@pytest.mark.slow
def test_what_fine_tune_returns_is_a_target(plain_folder: AuditFolder) -> None:
    """``fine_tune=lambda samples: privaudit.finetune(…)``, as it comes."""
    plain_folder.write(
        SAFE,
        """
@pytest.fixture(scope="session")
def shadow_model():
    return None

@pytest.fixture(scope="session")
def auxiliary_samples(shadow_members, shadow_non_members):
    return shadow_members + shadow_non_members

@pytest.fixture(scope="session")
def fine_tune():
    from tests.parts.pipelines import tiny_pipeline
    return lambda samples: privaudit.finetune(tiny_pipeline(), samples, steps=2, progress=False)
""",
        GATED,
    )
    result = plain_folder.run(
        "--privaudit-scenarios=III",
        "--privaudit-attacks=threshold",
        "--privaudit-num-inference-steps=2",
        "--privaudit-budget=1",
        subprocess=True,  # what training imports cannot be imported twice in one process
    )
    result.assert_outcomes(passed=1)


AUXILIARY = """
@pytest.fixture(scope="session")
def shadow_model():
    return None

@pytest.fixture(scope="session")
def auxiliary_samples(shadow_members, shadow_non_members):
    return (shadow_members + shadow_non_members)[:16]
"""
TUNED = f"""
from tests.parts.pipelines import tiny_pipeline

STEPS = 1
BASE = 0
{AUXILIARY}
@pytest.fixture(scope="session")
def fine_tune():
    class Counted(privaudit.FineTune):
        def __call__(self, samples):
            with open("calls", "a") as calls:
                calls.write("called\\n")
            return super().__call__(samples, progress=False)
    return Counted(tiny_pipeline(seed=BASE), steps=STEPS)
"""
ASKED = (
    "--privaudit-attacks=threshold,distribution",
    "--privaudit-num-inference-steps=2",
    "--privaudit-budget=1",
)
THREE = ("--privaudit-scenarios=III", *ASKED)
PAPER = ("--privaudit-scenarios=I", "--privaudit-protocol=paper", *ASKED)


def tuned(folder: AuditFolder, *parts: str, asked: tuple[str, ...] = THREE) -> str:
    """Run one session, and return its output."""
    folder.write(SAFE, *parts, GATED)
    result = folder.run(*asked, "--privaudit-json=out.json", subprocess=True)
    result.assert_outcomes(passed=2)
    return result.stdout.str()


def calls(folder: AuditFolder) -> int:
    return len((folder.path / "calls").read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("asked", [THREE, PAPER], ids=["III", "I of the paper"])
def test_a_later_session_fine_tunes_nothing_and_asks_nothing(
    audit_folder: AuditFolder, asked: tuple[str, ...]
) -> None:
    tuned(audit_folder, TUNED, asked=asked)
    assert calls(audit_folder) == 1
    first = results(audit_folder)
    tuned(audit_folder, TUNED, asked=asked)
    assert calls(audit_folder) == 1
    assert generated(audit_folder) == 0
    assert results(audit_folder) == first


@pytest.mark.slow
def test_whatever_determines_a_shadow_model_makes_another_one(plain_folder: AuditFolder) -> None:
    tuned(plain_folder, TUNED)
    for n, (old, new) in enumerate(
        [("STEPS = 1", "STEPS = 2"), ("BASE = 0", "BASE = 1"), ("[:16]", "[:15]")], start=2
    ):
        tuned(plain_folder, TUNED.replace(old, new))
        assert calls(plain_folder) == n


PLAIN = f"""{AUXILIARY}
@pytest.fixture(scope="session")
def fine_tune():
    def tune(samples):
        with open("calls", "a") as calls:
            calls.write("called\\n")
        return privaudit.testing.MemorizingTarget(samples).generate
    return tune
"""


@pytest.mark.parametrize(
    ("fine_tune", "why", "planned"),
    [
        (PLAIN, "nothing tells whether fine_tune changed; return privaudit.FineTune*", True),
        (
            PLAIN.replace("    return tune", "    tune.fingerprint = 'v1'\n    return tune"),
            "a method cannot be written down*",
            False,
        ),
    ],
    ids=["a plain function", "no pipeline"],
)
def test_a_shadow_model_that_cannot_be_kept_is_said(
    plain_folder: AuditFolder, fine_tune: str, why: str, planned: bool
) -> None:
    plain_folder.write(SAFE, fine_tune, GATED)
    for n in (1, 2):
        result = plain_folder.run(*THREE)
        result.assert_outcomes(passed=2)
        assert calls(plain_folder) == n
        result.stdout.fnmatch_lines([f"the shadow model is made again in each session: {why}"])
    plan = plain_folder.run(*THREE, "--privaudit-plan")
    line = f"  shadow_model of * is made again in each session: {why}"
    (plan.stdout.fnmatch_lines if planned else plan.stdout.no_fnmatch_line)(
        [line] if planned else line
    )
