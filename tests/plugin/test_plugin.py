"""The plugin as its users meet it: audit files, options, exit codes, what is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.parts.audit_folder import LEAKING, SAFE, AuditFolder

GATED = """
def test_leak(membership_attack):
    pass
"""
ASSERTED = """
@pytest.mark.privacy_budget(max_auc=0.75)
def test_leak(membership_attack):
    assert membership_attack.auc <= membership_attack.budget
"""
TWELVE = [
    f"attack-{scenario}-{attack}"
    for scenario in ("I", "II", "III", "IV")
    for attack in ("threshold", "distribution", "classifier")
]


def results(folder: AuditFolder, name: str = "out.json") -> dict[str, dict[str, object]]:
    document = json.loads((folder.path / name).read_text())
    assert document["schema_version"] == 2
    return {
        f"{result['scenario']}-{result['attack']}": result
        for audit in document["audits"]
        for result in audit["results"]
    }


def test_memorised_members_fail_the_build_in_all_twelve(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run("--privaudit-json=out.json", "--junitxml=junit.xml")
    result.assert_outcomes(failed=12)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = results(audit_folder)
    assert list(found) == TWELVE
    for name, row in found.items():
        assert row["verdict"] == "fail"
        if name.endswith("threshold"):
            assert row["auc"] == 1.0
    document = json.loads((audit_folder.path / "out.json").read_text())
    assert document["audits"][0]["name"] == "test_model.py::test_leak"
    assert document["exit_status"] == 1
    cases = ElementTree.parse(audit_folder.path / "junit.xml").iter("testcase")
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    assert properties["test_leak[attack-I-threshold]"]["privaudit.auc"] == "1.0"
    assert properties["test_leak[attack-I-threshold]"]["privaudit.verdict"] == "fail"
    result.stdout.fnmatch_lines(
        [
            "*privaudit*",
            "test_model.py::test_leak: 12 of 12 results over the budget of 0.6 (default)",
            "*attack-I *threshold*1.000*FAIL*",
        ]
    )


def test_a_body_that_asserts_nothing_still_gates_and_says_why(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=0.7")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "AUC 1.000 > budget 0.7 (command line): attack-I tells 6 members from 6 non-members*",
            "*pytest 'test_model.py::test_leak?attack-I-threshold?' --privaudit-json=*",
            "FAILED test_model.py::test_leak?attack-I-threshold? - AUC 1.000 > budget*",
        ]
    )


@pytest.mark.slow_under_xdist
def test_the_gate_speaks_before_the_bodys_own_assertion(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, ASSERTED)
    result = audit_folder.run("--privaudit-scenarios=I", "--privaudit-attacks=threshold")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["AUC 1.000 > budget 0.75 (marker)*"])
    result.stdout.no_fnmatch_line("*assert 1.0 <= 0.75*")


@pytest.mark.slow_under_xdist
def test_a_skip_in_the_body_cannot_hide_a_leak(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, "def test_leak(membership_attack): pytest.skip('not today')")
    audit_folder.run("-k", "attack-I-threshold").assert_outcomes(failed=1)


@pytest.mark.slow_under_xdist
def test_an_oblivious_model_passes(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    arguments = ["--privaudit-attacks=threshold", "--privaudit-json=out.json"]
    # Six against six: chance alone goes over 0.95 once in two hundred, and the seed is fixed.
    result = audit_folder.run(*arguments, "--privaudit-scenarios=I,III", "--privaudit-budget=0.95")
    result.assert_outcomes(passed=2)
    assert {row["verdict"] for row in results(audit_folder).values()} == {"pass"}


@pytest.mark.slow_under_xdist
def test_budget_sources_marker_over_command_line_over_ini(audit_folder: AuditFolder) -> None:
    audit_folder.pytester.makeini(
        "[pytest]\nprivaudit_queries = 1\nprivaudit_duplicate_limit = 2\nprivaudit_budget = 0.9\n"
    )
    audit_folder.write(LEAKING, GATED)
    picked = ["-k", "attack-I-threshold"]
    audit_folder.run(*picked).stdout.fnmatch_lines(["AUC 1.000 > budget 0.9 (ini)*"])
    given = audit_folder.run(*picked, "--privaudit-budget=0.8")
    given.stdout.fnmatch_lines(["AUC 1.000 > budget 0.8 (command line)*"])
    audit_folder.write(LEAKING, ASSERTED)
    marked = audit_folder.run(*picked, "--privaudit-budget=0.8")
    marked.stdout.fnmatch_lines(["AUC 1.000 > budget 0.75 (marker)*"])


@pytest.mark.slow_under_xdist
def test_a_budget_of_exactly_the_auc_passes(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--privaudit-budget=nan", "--privaudit-budget='nan' must be a number in (0.5, 1]"),
        ("--privaudit-budget=0", "--privaudit-budget='0' must be a number in (0.5, 1]"),
        ("--privaudit-budget=0.5", "--privaudit-budget='0.5' must be a number in (0.5, 1]"),
        ("--privaudit-scenarios=V", "--privaudit-scenarios='V' must be a comma-separated list*"),
        ("--privaudit-queries=0", "--privaudit-queries='0' must be a whole number from 1"),
        ("--privaudit-steps=x", "--privaudit-num-inference-steps='x' is not valid: denoising*"),
        ("--privaudit-guidance-scale=inf", "--privaudit-guidance-scale='inf' must be a number*"),
        ("--privaudit-seed=-1", "--privaudit-seed='-1' must be a whole number from 0"),
        ("--privaudit-similarity=l7", "--privaudit-similarity='l7' must be one of cosine*"),
        ("--privaudit-calibration=0", "--privaudit-calibration='0' must be a share*"),
        ("--privaudit-batch-size=0", "--privaudit-batch-size='0' must be a whole number from 1"),
        ("--privaudit-store-limit=0", "--privaudit-store-limit='0' must be a size from 1 byte*"),
        ("--privaudit-store-limit=much", "--privaudit-store-limit='much' is not valid*"),
        ("--privaudit-ray-workers=2", "*ray-workers need --privaudit-engine=ray"),
        ("--privaudit-json=.", "--privaudit-json='.' is a folder: name a file"),
    ],
)
def test_bad_options_are_usage_errors(plain_folder: AuditFolder, option: str, said: str) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said.replace('[', '?').replace(']', '?')}"])
    assert len(result.errlines) <= 2


def test_a_bad_ini_value_is_a_usage_error(plain_folder: AuditFolder) -> None:
    plain_folder.pytester.makeini("[pytest]\nprivaudit_batch_size = many\n")
    result = plain_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: privaudit_batch_size='many' is not valid*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("max_auc=0", "must be a number in"),
        pytest.param(
            "max_auc=float('nan')", "must be a number in", marks=pytest.mark.slow_under_xdist
        ),
        pytest.param(
            "max_acu=0.6",
            "privacy_budget(max_acu=…) is unknown",
            marks=pytest.mark.slow_under_xdist,
        ),
        pytest.param(
            "0.6, 0.7", "takes one positional argument", marks=pytest.mark.slow_under_xdist
        ),
    ],
)
def test_bad_markers_are_usage_errors(audit_folder: AuditFolder, marker: str, said: str) -> None:
    audit_folder.write(SAFE, f"@pytest.mark.privacy_budget({marker})", GATED)
    result = audit_folder.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
    assert "test_model.py::test_leak" in result.stderr.str()


MINIMAL = """
import sys
sys.path[:0] = [{root!r}, {audits!r}]
import pytest, emoji_sets
import privaudit

@pytest.fixture
def members():
    return emoji_sets.twemoji("member")[:4]

@pytest.fixture
def non_members():
    return emoji_sets.twemoji("non_member")[:4]

@pytest.fixture
def target_model():
    return privaudit.ObliviousTarget()

def test_it(membership_attack):
    pass
"""


def write_minimal(folder: AuditFolder) -> None:
    from tests.parts import AUDITS, ROOT

    folder.pytester.makepyfile(test_minimal=MINIMAL.format(root=str(ROOT), audits=str(AUDITS)))


def test_missing_ingredients_skip_and_name_the_fixture(audit_folder: AuditFolder) -> None:
    write_minimal(audit_folder)
    result = audit_folder.run(
        "--privaudit-scenarios=II,III", "-rs", "--privaudit-attacks=threshold"
    )
    result.assert_outcomes(skipped=2)
    output = result.stdout.str()
    assert "attack-II lacks 1 fixture: write captioner in the audit file or a conftest.py" in output
    assert "write shadow_model, shadow_members, shadow_non_members (or auxiliary_samples" in output
    assert "no audit was completed: 2 items, 0 results" in output
    assert result.ret == pytest.ExitCode.OK


def test_strict_turns_missing_ingredients_red(audit_folder: AuditFolder) -> None:
    write_minimal(audit_folder)
    result = audit_folder.run(
        "--privaudit-scenarios=II", "--privaudit-attacks=threshold", "--privaudit-strict"
    )
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_strict_turns_a_session_without_results_red(audit_folder: AuditFolder) -> None:
    audit_folder.pytester.makepyfile(test_other="def test_it(): pass")
    result = audit_folder.run("--privaudit-strict")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["0 audits were completed, and --privaudit-strict asks for*"])


def test_a_marked_skip_of_everything_is_red_under_strict(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, "@pytest.mark.skip", GATED)
    assert audit_folder.run("--privaudit-strict").ret == pytest.ExitCode.TESTS_FAILED


def test_missing_core_fixtures_are_errors_that_name_them(audit_folder: AuditFolder) -> None:
    audit_folder.pytester.makepyfile(test_empty="def test_it(membership_attack): pass")
    result = audit_folder.run("--privaudit-scenarios=I", "--privaudit-attacks=threshold")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["attack-I lacks 3 fixtures: write target_model, members, non_members in the audit file*"]
    )


def test_a_numpy_scalar_in_record_property_is_never_green(audit_folder: AuditFolder) -> None:
    audit_folder.write(
        SAFE,
        """
import numpy

def test_leak(membership_attack, record_property):
    record_property("auc", numpy.float64(0.5))
    record_property("n", numpy.int64(5))
""",
    )
    result = audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1")
    if "passed" not in result.parseoutcomes():  # under xdist the worker cannot send its report
        assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def test_our_own_properties_are_plain_values(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1").assert_outcomes(passed=1)


def test_a_crashed_worker_is_never_green(pytester: pytest.Pytester) -> None:
    folder = AuditFolder(pytester, ["-n2"])
    folder.write(SAFE, "import os\ndef test_leak(membership_attack): os._exit(0)")
    result = folder.run("-k", "attack-I-threshold", "--privaudit-budget=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_expected_leaks_do_not_hide_other_failures(audit_folder: AuditFolder) -> None:
    xfail = "@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)"
    audit_folder.write(LEAKING, xfail, GATED)
    audit_folder.run("-k", "attack-I-threshold").assert_outcomes(xfailed=1)
    audit_folder.write(LEAKING, xfail, "def test_leak(membership_attack): raise RuntimeError")
    audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1").assert_outcomes(failed=1)
    audit_folder.write(SAFE, xfail, GATED)
    audit_folder.run("-k", "attack-I-threshold", "--privaudit-budget=1").assert_outcomes(failed=1)


@pytest.mark.slow_under_xdist
def test_the_captioner_of_scenario_two_never_sees_a_caption(audit_folder: AuditFolder) -> None:
    audit_folder.write(
        LEAKING,
        """
@pytest.fixture(scope="session")
def captioner():
    return lambda images: ["the same text for all"] * len(images)
""",
        GATED,
    )
    result = audit_folder.run(
        "-k", "attack-II-threshold", "--privaudit-json=out.json", "--privaudit-budget=1"
    )
    result.assert_outcomes(passed=1)
    assert results(audit_folder)["attack-II-threshold"]["auc"] != 1.0


def test_the_shadow_model_is_made_once_a_session(audit_folder: AuditFolder) -> None:
    write_minimal(audit_folder)
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
        return privaudit.MemorizingTarget(samples)
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
    assert len(calls) == 1
    assert 0 < int(calls[0]) < 12


RECIPES = """
@pytest.fixture(scope="session", params=[1, 2])
def fine_tune(request):
    def tune(samples):
        with open("recipes", "a") as made:
            made.write(f"{request.param}\\n")
        return privaudit.MemorizingTarget(samples)
    return tune

@pytest.fixture(scope="session")
def auxiliary_samples():
    return emoji_sets.twemoji("shadow_member")[:12]

@pytest.fixture(scope="session")
def shadow_model():
    return None
"""


def test_two_recipes_under_one_name_are_two_shadow_models(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, RECIPES, "def test_leak(membership_attack, fine_tune): pass")
    settings = ("--privaudit-scenarios=III", "--privaudit-attacks=threshold")
    audit_folder.run(*settings, "--privaudit-budget=1").assert_outcomes(passed=2)
    assert sorted((audit_folder.path / "recipes").read_text().split()) == ["1", "2"]


def test_a_session_without_audits_prints_and_imports_nothing(audit_folder: AuditFolder) -> None:
    audit_folder.pytester.makepyfile(
        test_other="""
        import sys
        def test_it():
            heavy = {"torch", "numpy", "sklearn", "diffusers", "pydantic", "privaudit.audit"}
            assert not heavy & set(sys.modules)
        """
    )
    result = audit_folder.run("--privaudit-json=out.json", subprocess=True)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("=* privaudit =*")
    assert not (audit_folder.path / "out.json").exists()
    assert not (audit_folder.path / "store").exists()


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import privaudit.plugin;"
        "print(sorted(m for m in set(sys.modules) - before))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "privaudit.settings.resolve" in printed
    loaded = {name.partition(".")[0] for name in eval(printed)}
    assert not loaded & {"torch", "numpy", "sklearn", "scipy", "PIL", "transformers", "tabulate"}


def test_audit_files_are_collected_and_their_asserts_rewritten(audit_folder: AuditFolder) -> None:
    audit_folder.pytester.makepyfile(test_x="def test_it():\n    left = 3\n    assert left == 4")
    result = audit_folder.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 3 == 4*"])


def test_a_json_file_that_cannot_be_written_is_red(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    (audit_folder.path / "file").write_text("in the way")
    result = audit_folder.run(
        "-k", "attack-I-threshold", "--privaudit-budget=1", "--privaudit-json=file/out.json"
    )
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["file/out.json could not be written*"])


# -- gate modes, the sequential gate, invalid audits, claims

ONE = ["--privaudit-scenarios=III", "--privaudit-attacks=threshold", "--privaudit-json=out.json"]


@pytest.mark.slow_under_xdist
def test_certify_does_not_pass_what_it_cannot_tell(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    result = audit_folder.run(*ONE, "--privaudit-gate=certify")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["AUC 0.* [[]0.*] straddles budget 0.6 (default): 12 members*"])
    row = results(audit_folder)["attack-III-threshold"]
    assert (row["verdict"], row["supported"]) == ("inconclusive", False)


def test_evidence_passes_what_it_cannot_tell(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    evidence = (*ONE, "--privaudit-gate=evidence")
    plain_folder.run(*evidence).assert_outcomes(passed=1)
    plain_folder.run(*evidence, "--privaudit-sequential").assert_outcomes(passed=1)


@pytest.mark.slow_under_xdist
def test_evidence_fails_on_the_lower_bound(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    result = audit_folder.run(*ONE, "--privaudit-gate=evidence")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["AUC 1.000, at least 0.735 > budget 0.6 (default)*"])


def test_twelve_results_share_the_error(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    # Twelve samples are then too few to be sure.
    twelve = plain_folder.run("--privaudit-gate=evidence", "-k", "attack-III-threshold")
    twelve.assert_outcomes(passed=1)
    twelve.stdout.fnmatch_lines(["*pass, n too small to tell"])


def test_a_sequential_audit_stops_when_it_can_decide(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, GATED)
    arguments = ["--privaudit-scenarios=III", "--privaudit-attacks=threshold,distribution"]
    result = audit_folder.run(
        *arguments,
        "--privaudit-sequential",
        "--privaudit-batch-size=4",
        "--privaudit-budget=0.55",
        "--privaudit-json=o.json",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = results(audit_folder, "o.json")
    first = next(iter(found.values()))
    assert first["verdict"] == "fail"
    assert first["sequential"]["n_pairs"] < 12
    assert first["sequential"]["path"][-1]["low"] >= 0.55
    assert first["n_queries"] < 24 + 24
    if not audit_folder.workers:  # two workers may decide at the same time
        result.assert_outcomes(failed=1, skipped=1)
        result.stdout.fnmatch_lines(
            ["*already decided: attack-III-threshold failed after * of 12 pairs; nothing more*"]
        )


def test_one_model_that_leaks_does_not_decide_for_another(plain_folder: AuditFolder) -> None:
    both = """
@pytest.fixture(scope="session", params=["leaking", "safe"])
def target_model(request, members):
    if request.param == "safe":
        return privaudit.ObliviousTarget()
    return privaudit.MemorizingTarget(members)
"""
    plain_folder.write(both, "def test_leak(membership_attack, target_model): pass")
    result = plain_folder.run(*ONE, "--privaudit-sequential", "--privaudit-batch-size=4")
    result.assert_outcomes(failed=2)  # one leaks, of the other twelve pairs cannot tell
    result.stdout.fnmatch_lines(["*AUC *straddles budget 0.6 (default)*"])


@pytest.mark.slow_under_xdist
def test_a_sequential_audit_that_runs_out_of_pairs_is_not_green(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, GATED)
    result = audit_folder.run(*ONE, "--privaudit-sequential")
    result.assert_outcomes(failed=1)
    assert results(audit_folder)["attack-III-threshold"]["verdict"] == "inconclusive"


FOREIGN = """
@pytest.fixture(scope="session")
def non_members():
    samples = emoji_sets.twemoji("non_member")[:N]
    return [privaudit.Sample(s.image, f"clip art, {s.caption}", id=s.id) for s in samples]
"""


def test_sets_from_two_sources_are_an_invalid_audit(audit_folder: AuditFolder) -> None:
    audit_folder.write(SAFE, FOREIGN, GATED)
    result = audit_folder.run(*ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["blind AUC * (at least *) > 0.55: members are told*"])
    result.stdout.fnmatch_lines(["invalid: attack-III-threshold: blind AUC*"])
    document = json.loads((audit_folder.path / "out.json").read_text())
    assert document["audits"][0]["not_completed"][0]["outcome"] == "invalid"


def test_an_expected_leak_does_not_excuse_an_invalid_audit(plain_folder: AuditFolder) -> None:
    expected = """
@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)
def test_leak(membership_attack):
    pass
"""
    plain_folder.write(LEAKING, FOREIGN, expected)
    assert plain_folder.run(*ONE).ret == pytest.ExitCode.TESTS_FAILED


CLAIMED = """
@pytest.mark.privacy_claim(epsilon=0.2, delta=1e-3)
@pytest.mark.privacy_budget(1.0)
def test_leak(membership_attack):
    pass
"""
COINS = """
@pytest.fixture(scope="session")
def coin_split():
    return privaudit.split_by_coin(emoji_sets.twemoji("member")[:2 * N], 1)

@pytest.fixture(scope="session")
def members(coin_split):
    return coin_split.members

@pytest.fixture(scope="session")
def non_members(coin_split):
    return coin_split.non_members
"""


def test_a_claim_that_the_attack_disproves_fails(audit_folder: AuditFolder) -> None:
    audit_folder.write(LEAKING, COINS, CLAIMED)
    result = audit_folder.run(*ONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["epsilon >= * > claimed 0.2 at delta 0.001: attack-III tells*"])
    result.stdout.fnmatch_lines(["epsilon >= * at delta 0.001, claimed 0.2 (one-run bound*"])


def test_a_claim_that_cannot_be_checked_is_not_green(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, CLAIMED)
    result = plain_folder.run(*ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["a privacy_claim without a coin_split cannot be checked*"])
    plain_folder.write(LEAKING, COINS, CLAIMED)
    for others in (["--privaudit-sequential"], ["--privaudit-scenarios=I"]):
        result = plain_folder.run(*ONE, *others)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["a privacy_claim is checked by attack-III and attack-IV*"])
    plain_folder.write(LEAKING, CLAIMED.replace("epsilon=0.2", "epsilon=-1"))
    result = plain_folder.run(*ONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *privacy_claim(epsilon=-1) must be a number in*"])
