"""Gates, the sequential gate, invalid audits, claims."""

from __future__ import annotations

import json

import pytest

from tests.parts.audit_folder import COINS, GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import results

ONE = ["--privaudit-scenarios=III", "--privaudit-attacks=threshold", "--privaudit-json=out.json"]


FOREIGN = """
@pytest.fixture(scope="session")
def non_members():
    samples = emoji_sets.twemoji("non_member")[:N]
    return [privaudit.Sample(s.image, f"clip art, {s.caption}", id=s.id) for s in samples]
"""


CLAIMED = """
@pytest.mark.privacy_claim(epsilon=0.2, delta=1e-3)
@pytest.mark.privacy_budget(1.0)
def test_leak(membership_attack):
    pass
"""


def test_certify_does_not_pass_what_it_cannot_tell(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(*ONE, "--privaudit-gate=certify")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["AUC 0.* [[]0.*] straddles budget 0.6 (default): attack-III by threshold is undecided*"]
    )
    row = results(plain_folder)["attack-III-threshold"]
    assert (row["verdict"], row["supported"]) == ("inconclusive", False)


def test_evidence_passes_what_it_cannot_tell(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    evidence = (*ONE, "--privaudit-gate=evidence")
    plain_folder.run(*evidence).assert_outcomes(passed=1)
    plain_folder.run(*evidence, "--privaudit-sequential").assert_outcomes(passed=1)


def test_evidence_fails_on_the_lower_bound(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    result = plain_folder.run(*ONE, "--privaudit-gate=evidence")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["AUC 1.000, at least 0.779 > budget 0.6 (default)*"])


def test_evidence_is_not_green_where_no_model_could_be_red(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    # Six members against six, and twelve results: an AUC of 1 would not be shown to be over 0.6.
    six = plain_folder.run("--privaudit-gate=evidence", "-k", "attack-I-threshold")
    six.assert_outcomes(failed=1)
    six.stdout.fnmatch_lines(
        [
            "6+6 samples could not show that the AUC is over budget 0.6 (default), whatever the model*"
        ]
    )
    six.stdout.fnmatch_lines(["test_model.py::test_leak: INCONCLUSIVE, *"])
    chunks = plain_folder.run(
        "--privaudit-gate=evidence", "--privaudit-sequential", "-k", "attack-I-threshold"
    )
    chunks.assert_outcomes(failed=1)
    chunks.stdout.fnmatch_lines(["6 pairs could not show that the AUC is over budget 0.6*"])
    # By itself the result may have the whole error.
    alone = plain_folder.run(*ONE[1:], "--privaudit-scenarios=I", "--privaudit-gate=evidence")
    alone.stdout.fnmatch_lines(["AUC 1.000, at least 0.607 > budget 0.6 (default)*"])


def test_a_sequential_audit_stops_when_it_can_decide(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    arguments = ["--privaudit-scenarios=III", "--privaudit-attacks=threshold,distribution"]
    result = plain_folder.run(
        *arguments,
        "--privaudit-sequential",
        "--privaudit-batch-size=4",
        "--privaudit-budget=0.55",
        "--privaudit-json=o.json",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = results(plain_folder, "o.json")
    first = next(iter(found.values()))
    assert first["verdict"] == "fail"
    assert first["sequential"]["n_pairs"] < 12
    assert first["sequential"]["path"][-1]["low"] >= 0.55
    assert first["n_queries"] < 24 + 24
    if not plain_folder.workers:  # two workers may decide at the same time
        result.assert_outcomes(failed=1, skipped=1)
        result.stdout.fnmatch_lines(
            ["*already decided: attack-III-threshold failed after * of 12 pairs; nothing more*"]
        )


def test_one_model_that_leaks_does_not_decide_for_another(plain_folder: AuditFolder) -> None:
    both = """
@pytest.fixture(scope="session", params=["leaking", "safe"])
def target_model(request, members):
    if request.param == "safe":
        return privaudit.testing.ObliviousTarget()
    return privaudit.testing.MemorizingTarget(members)
"""
    plain_folder.write(both, "def test_leak(membership_attack, target_model): pass")
    result = plain_folder.run(*ONE, "--privaudit-sequential", "--privaudit-batch-size=4")
    result.assert_outcomes(failed=2)  # one leaks, of the other twelve pairs cannot tell
    result.stdout.fnmatch_lines(["*AUC *straddles budget 0.6 (default)*"])


def test_a_sequential_audit_that_runs_out_of_pairs_is_not_green(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    result = plain_folder.run(*ONE, "--privaudit-sequential")
    result.assert_outcomes(failed=1)
    assert results(plain_folder)["attack-III-threshold"]["verdict"] == "inconclusive"


def test_sets_from_two_sources_are_an_invalid_audit(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, FOREIGN, GATED)
    result = plain_folder.run(*ONE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["blind AUC * (at least *) > 0.55: members are told*"])
    result.stdout.fnmatch_lines(["invalid: attack-III-threshold: blind AUC*"])
    document = json.loads((plain_folder.path / "out.json").read_text())
    (audit,) = document["audits"]
    assert audit["not_completed"][0]["outcome"] == "invalid"
    # What was found out is written down too.
    assert audit["validity"]["reasons"][0].startswith("blind AUC")
    assert audit["provenance"]["models"]["image_encoder"]["identity"] == "pixels-8"
    assert audit["results"] == []


def test_an_expected_leak_does_not_excuse_an_invalid_audit(plain_folder: AuditFolder) -> None:
    expected = """
@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)
def test_leak(membership_attack):
    pass
"""
    plain_folder.write(LEAKING, FOREIGN, expected)
    assert plain_folder.run(*ONE).ret == pytest.ExitCode.TESTS_FAILED


def test_a_claim_that_the_attack_disproves_fails(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, COINS, CLAIMED)
    result = plain_folder.run(*ONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["epsilon >= * > claimed 0.2 at delta 0.001: attack-III distinguishes*"]
    )
    result.stdout.fnmatch_lines(["epsilon >= * at delta 0.001, claimed 0.2 (one-run bound*"])


def test_a_claim_may_name_the_result_that_checks_it(plain_folder: AuditFolder) -> None:
    two = (ONE[0], "--privaudit-attacks=threshold,distribution", ONE[2])
    bounds = {}
    for attack in ("", ', attack="III-threshold"'):
        plain_folder.write(LEAKING, COINS, CLAIMED.replace("delta=1e-3", f"delta=1e-3{attack}"))
        plain_folder.run(*two)
        found = results(plain_folder)
        bounds[attack] = found["attack-III-threshold"]["epsilon"]["epsilon"]
    # All the confidence is then its own, and the other checks nothing.
    assert bounds[', attack="III-threshold"'] > bounds[""] > 0
    assert found["attack-III-distribution"]["epsilon"] is None
    assert "the claim names III-threshold" in found["attack-III-distribution"]["epsilon_refused"]
    plain_folder.write(
        LEAKING, COINS, CLAIMED.replace("1e-3", '1e-3, attack="III-threshold", guesses=0.8')
    )
    plain_folder.run(*two)
    once = results(plain_folder)["attack-III-threshold"]
    # One share of the coins in place of five has the whole error to itself.
    assert once["epsilon"]["epsilon"] > bounds[', attack="III-threshold"']
    assert once["claim"]["guesses"] == 0.8
    plain_folder.write(LEAKING, COINS, CLAIMED.replace("1e-3", '1e-3, attack="IV-threshold"'))
    absent = plain_folder.run(*two)
    absent.assert_outcomes(errors=2)
    absent.stdout.fnmatch_lines(
        ["privacy_claim(attack='IV-threshold') is checked by a result that*"]
    )
    plain_folder.write(LEAKING, COINS, CLAIMED.replace("1e-3", '1e-3, attack="I-threshold"'))
    plain_folder.run(*two).stderr.fnmatch_lines(["*must be a result that can bound epsilon: III-*"])


def test_a_claim_that_nothing_here_could_refute_is_not_green(plain_folder: AuditFolder) -> None:
    claimed = CLAIMED.replace("epsilon=0.2, delta=1e-3", "epsilon=3, delta=1e-5")
    plain_folder.write(SAFE, COINS, claimed)
    result = plain_folder.run(*ONE)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*nothing could refute the claim of 3 by attack-III-threshold: 1* coins could"]
    )
    row = results(plain_folder)["attack-III-threshold"]
    assert (row["verdict"], row["auc_verdict"]) == ("inconclusive", "pass")
    assert row["epsilon"]["coins_needed"] > 24


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
    for bad, said in {
        "epsilon=-1": "*privacy_claim(epsilon=-1) must be a number in*",
        "epsilon=1, guesses=80": "*privacy_claim(guesses=80) must be a share of the coins*",
        "epsilon=1, guess=0.8": "*takes epsilon, delta, mechanism, attack, guesses",
    }.items():
        plain_folder.write(LEAKING, CLAIMED.replace("epsilon=0.2", bad))
        result = plain_folder.run(*ONE)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_a_budget_for_the_members_found_at_a_low_false_positive_rate(
    plain_folder: AuditFolder,
) -> None:
    marked = "@pytest.mark.privacy_budget(1.0, max_tpr='0.05@0.1')\n"
    plain_folder.write(LEAKING, marked, GATED)
    leaking = plain_folder.run(*ONE)
    leaking.assert_outcomes(failed=1)
    leaking.stdout.fnmatch_lines(
        [
            "TPR 100.0% > max_tpr 5.0% at an FPR of 0.1 (marker): attack-III finds 12 of 12 members*(FAIL, at least *%)",
            "test_model.py::test_leak: FAIL, 0 of 1 result over the budget of 1 (marker), 1 over*",
        ]
    )
    row = results(plain_folder)["attack-III-threshold"]
    assert (row["verdict"], row["auc_verdict"]) == ("fail", "pass")
    # Twelve calibration non-members promise no rate of 1 %.
    plain_folder.write(SAFE, marked.replace("@0.1", ""), GATED)
    few = plain_folder.run(*ONE)
    few.assert_outcomes(failed=1)
    few.stdout.fnmatch_lines(["max_tpr 5.0% at an FPR of 0.01 (marker) cannot be checked: 12*99*"])
    plain_folder.write(SAFE, marked, GATED)
    stopped = plain_folder.run(*ONE, "--privaudit-sequential")
    stopped.stdout.fnmatch_lines(["max_tpr needs all samples: a sequential audit stops*"])
