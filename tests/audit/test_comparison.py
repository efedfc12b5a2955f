"""Two audits beside each other: what is red, what is refused, and what costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import privaudit
from privaudit.audit.baseline import Terms
from privaudit.errors import BaselineError, SettingError
from privaudit.record import AuditRecord, Comparison
from privaudit.statistics import AucChange
from tests.parts.drawn import Model, Pixels, audit, drawn_samples

N = 120
SAMPLES = drawn_samples(N)
MEMBERS = SAMPLES[: N // 2]


@pytest.fixture(scope="module")
def records() -> dict[str, AuditRecord]:
    """Audits of a clean model, its retrained copy, one that leaks a little, and one that leaks."""
    models = {
        "clean": Model([], 1),
        "retrained": Model([], 2),
        "half": Model(MEMBERS[::2], 1),
        "leaking": Model(MEMBERS, 1),
    }
    return {name: audit(model, SAMPLES) for name, model in models.items()}


def beside(old: AuditRecord, new: AuditRecord, **terms: Any) -> Comparison:
    found = privaudit.compare(old, new, **terms).results[0].comparison
    assert found is not None
    return found


def test_a_chain_of_releases_goes_the_right_way(records: dict[str, AuditRecord]) -> None:
    clean, retrained = records["clean"], records["retrained"]
    for old, new, verdict in (
        ("clean", "retrained", "pass"),
        ("clean", "half", "fail"),
        ("half", "leaking", "fail"),
        ("leaking", "half", "pass"),
        ("leaking", "clean", "pass"),
        ("leaking", "leaking", "pass"),
    ):
        found = beside(records[old], records[new])
        assert found.verdict == verdict, (old, new)
        assert found.paired
        assert found.change == pytest.approx(
            records[new].results[0].auc - records[old].results[0].auc
        )
        assert found.bounds.low <= found.change <= found.bounds.high
        assert (found.p_value < 0.05) == (verdict == "fail")
        assert found.auc == records[old].results[0].auc
    compared = privaudit.compare(clean, retrained)
    assert compared.results[0].auc_verdict == retrained.results[0].auc_verdict
    assert compared.baseline is not None
    assert not compared.baseline.same_model


def test_a_rise_turns_an_audit_red_whose_budget_is_kept(records: dict[str, AuditRecord]) -> None:
    new = audit(Model(MEMBERS[::2], 1), SAMPLES, max_auc=1)
    assert new.verdict == "pass"
    compared = privaudit.compare(records["clean"], new)
    assert compared.verdict == "fail"
    assert compared.results[0].auc_verdict == "pass"
    assert AuditRecord.from_json(compared.to_json()) == compared


def test_the_same_model_is_compared_without_doubt(records: dict[str, AuditRecord]) -> None:
    found = beside(records["clean"], records["clean"])
    assert found.same_model
    assert (found.change, found.bounds.low, found.bounds.high) == (0.0, 0.0, 0.0)
    # Certified too, however small the tolerance, and with samples that could show nothing.
    assert (
        beside(records["clean"], records["clean"], gate="certify", max_rise=0.0).verdict == "pass"
    )
    few = audit(
        Model([], 1), [*SAMPLES[:8], *SAMPLES[60:68]], blind_limit=1, gate="point", budget=1
    )
    assert beside(few, few).verdict == "pass"
    other = audit(
        Model([], 2), [*SAMPLES[:8], *SAMPLES[60:68]], blind_limit=1, gate="point", budget=1
    )
    assert beside(few, other).verdict == "inconclusive"


def change(value: float) -> AucChange:
    return AucChange(0.5, 0.5 + value, value, value - 0.03, value + 0.03, 0.95, 0.1, 0.02, 0.5, 9)


@pytest.mark.parametrize(
    ("gate", "max_rise", "value", "verdict"),
    [
        # No tolerance: a rise is red when it is shown, whatever the gate.
        ("point", None, 0.02, "pass"),
        ("point", None, 0.04, "fail"),
        ("evidence", None, 0.02, "pass"),
        ("certify", None, 0.02, "pass"),
        ("certify", None, 0.04, "fail"),
        # A point difference over the tolerance is not red if it may be none at all.
        ("point", 0.02, 0.025, "pass"),
        ("point", 0.02, 0.04, "inconclusive"),
        ("point", 0.02, 0.06, "fail"),
        ("point", 0.05, 0.04, "pass"),
        ("evidence", 0.02, 0.04, "pass"),
        ("evidence", 0.02, 0.06, "fail"),
        ("certify", 0.02, -0.02, "pass"),
        ("certify", 0.02, 0.0, "inconclusive"),
        ("certify", 0.02, 0.06, "fail"),
        ("certify", 0.0, -0.04, "pass"),
    ],
)
def test_what_each_gate_makes_of_a_change(
    gate: str, max_rise: float | None, value: float, verdict: str
) -> None:
    found = change(value)
    assert Terms(0.95, gate, max_rise).verdict(found, found.low, found.high, 0.4) == verdict


@pytest.mark.parametrize("gate", ["point", "evidence"])
def test_what_could_never_be_red_is_no_gate(gate: str) -> None:
    found = change(0.0)
    terms = Terms(0.95, gate, 0.1)
    assert terms.verdict(found, found.low, found.high, 0.09) == "inconclusive"
    assert terms.verdict(found, found.low, found.high, 0.11) == "pass"
    nan = float("nan")
    assert terms.verdict(change(nan), nan, nan, 0.4) == "fail"


@pytest.mark.parametrize(
    ("changes", "said", "way"),
    [
        ({"queries": 2}, "queries is 2, and was 1", "--privaudit-queries=1"),
        ({"seed": 1}, "seed is 1, and was 0", "--privaudit-seed=0"),
        ({"similarity": "euclidean"}, "similarity is euclidean, and was cosine", "=cosine"),
        ({"aggregation": "max"}, "aggregation is max, and was mean", "-aggregation=mean"),
        ({"calibration": 0.25}, "calibration is 0.25, and was 0.5", "--privaudit-calibration=0.5"),
    ],
)
def test_audits_that_asked_something_else_are_refused(
    records: dict[str, AuditRecord], changes: dict[str, Any], said: str, way: str
) -> None:
    new = audit(Model([], 2), SAMPLES, **changes)
    with pytest.raises(BaselineError, match=said) as error:
        privaudit.compare(records["clean"], new)
    assert way in str(error.value)


def test_another_encoder_is_refused_and_one_without_a_name_too(
    records: dict[str, AuditRecord],
) -> None:
    class Other(Pixels):
        fingerprint = "halves"

    class Nameless(Pixels):
        fingerprint = None  # type: ignore[assignment]

    with pytest.raises(BaselineError, match="encoder is halves, and was pixels"):
        privaudit.compare(records["clean"], audit(Model([]), SAMPLES, image_encoder=Other()))
    nameless = audit(Model([]), SAMPLES, image_encoder=Nameless())
    for pair in ((records["clean"], nameless), (nameless, records["clean"])):
        with pytest.raises(BaselineError, match=r"image_encoder .* has no fingerprint"):
            privaudit.compare(*pair)


def test_steps_and_guidance_that_ran_are_compared(records: dict[str, AuditRecord]) -> None:
    def stating(steps: int, guidance: float) -> AuditRecord:
        record = records["clean"]
        assert record.provenance is not None
        model = record.provenance.models["target_model"]
        called = {"call": {"num_inference_steps": steps, "guidance_scale": guidance}}
        models = record.provenance.models | {"target_model": model | called}
        return record.model_copy(
            update={"provenance": record.provenance.model_copy(update={"models": models})}
        )

    privaudit.compare(stating(10, 3.0), stating(10, 3.0))
    with pytest.raises(BaselineError, match="num_inference_steps is 20, and was 10") as error:
        privaudit.compare(stating(10, 3.0), stating(20, 3.0))
    assert "--privaudit-num-inference-steps=10" in str(error.value)
    with pytest.raises(BaselineError, match="guidance_scale is 5, and was 3"):
        privaudit.compare(stating(10, 3.0), stating(10, 5.0))
    with pytest.raises(BaselineError, match="guidance_scale is not known, and was 3"):
        privaudit.compare(stating(10, 3.0), records["clean"])


def test_other_samples_are_refused_unless_they_are_meant(
    records: dict[str, AuditRecord],
) -> None:
    others = audit(Model([], 1), drawn_samples(N, 9))
    with pytest.raises(BaselineError, match="other samples") as error:
        privaudit.compare(records["clean"], others)
    assert "baseline_samples='other'" in str(error.value)
    found = beside(records["clean"], others, samples="other")
    assert (found.paired, found.n_shared, found.correlation) == (False, 0, 0.0)
    assert found.verdict == "pass"
    # Half of the samples in common are compared as such.
    half = [*SAMPLES[:30], *drawn_samples(N, 9)[:30], *SAMPLES[60:90], *drawn_samples(N, 9)[30:60]]
    some = beside(records["clean"], audit(Model([], 1), half), samples="other")
    assert 0 < some.n_shared < N / 2
    assert not some.paired


def test_samples_with_other_captions_are_other_samples(records: dict[str, AuditRecord]) -> None:
    renamed = [SAMPLES[0].recaptioned("another caption"), *SAMPLES[1:]]
    with pytest.raises(BaselineError, match="other samples"):
        privaudit.compare(records["clean"], audit(Model([], 1), renamed))


def test_a_baseline_lacks_what_it_did_not_ask(records: dict[str, AuditRecord]) -> None:
    both = audit(Model([], 1), SAMPLES, attacks="threshold,distribution")
    with pytest.raises(BaselineError, match="has no attack-I-distribution, and has attack-I-thr"):
        privaudit.compare(records["clean"], both)
    compared = privaudit.compare(both, records["clean"])
    assert compared.baseline is not None
    assert compared.baseline.notes == [
        "the baseline has what this audit does not decide: attack-I-distribution"
    ]


@pytest.mark.slow
def test_results_of_one_audit_share_the_error() -> None:
    asked = {"attacks": "threshold,distribution,combined"}
    old, new = (audit(Model([], salt), SAMPLES, **asked) for salt in (1, 2))
    together = privaudit.compare(old, new)
    assert together.results[0].n_results == 3
    one = privaudit.compare(audit(Model([], 1), SAMPLES), audit(Model([], 2), SAMPLES)).results[0]
    first = together.results[0].comparison
    assert one.comparison is not None
    assert first is not None
    assert first.change == one.comparison.change
    assert first.bounds.low < one.comparison.bounds.low
    assert first.p_value == one.comparison.p_value


def test_an_audit_is_compared_as_it_runs(records: dict[str, AuditRecord]) -> None:
    found = audit(Model(MEMBERS[::2], 1), SAMPLES, baseline=records["clean"])
    later = privaudit.compare(records["clean"], records["half"])
    now, then = found.results[0].comparison, later.results[0].comparison
    assert now is not None
    assert then is not None
    # The order of the hashes differs with the key, and with it a last bit.
    assert (now.verdict, now.change, now.auc) == (then.verdict, then.change, then.auc)
    assert now.bounds.low == pytest.approx(then.bounds.low)
    assert now.p_value == pytest.approx(then.p_value)
    assert found.verdict == "fail"
    with pytest.raises(BaselineError, match="queries is 2"):
        audit(Model([], 1), SAMPLES, baseline=records["clean"], queries=2)
    with pytest.raises(SettingError, match="sequential"):
        audit(Model([], 1), SAMPLES, baseline=records["clean"], sequential=True)


def test_nothing_is_asked_of_a_model_that_cannot_be_compared(
    records: dict[str, AuditRecord],
) -> None:
    model = Model([], 5)
    with pytest.raises(BaselineError):
        audit(model, SAMPLES, baseline=records["clean"], seed=3)
    assert model.calls == 0


def test_an_unchanged_model_draws_nothing(tmp_path: Path) -> None:
    model = Model([], 1)
    first = audit(model, SAMPLES, store=tmp_path)
    asked = model.calls
    assert asked >= N
    second = audit(model, SAMPLES, store=tmp_path, baseline=first)
    assert second.provenance is not None
    assert second.provenance.images.generated == 0
    assert model.calls == asked + 1  # not of the audit: whether it is still the same model
    assert second.verdict == "pass"
    assert second.results[0].comparison is not None
    assert second.results[0].comparison.same_model


def test_a_red_baseline_and_other_versions_are_said(records: dict[str, AuditRecord]) -> None:
    compared = privaudit.compare(records["leaking"], records["clean"])
    assert compared.baseline is not None
    assert compared.baseline.notes == ["the baseline is of an audit that was FAIL"]
    old = records["clean"]
    assert old.provenance is not None
    versions = old.provenance.versions | {"torch": "1.0"}
    older = old.model_copy(
        update={"provenance": old.provenance.model_copy(update={"versions": versions})}
    )
    found = privaudit.compare(older, records["retrained"]).baseline
    assert found is not None
    assert "versions changed since the baseline" in found.notes[0]
    assert "torch 1.0 to " in found.notes[0]


def test_bad_arguments_are_typed_errors(records: dict[str, AuditRecord]) -> None:
    clean = records["clean"]
    for bad in ({"max_rise": 1}, {"max_rise": -0.1}, {"samples": "any"}, {"gate": "none"}):
        with pytest.raises(SettingError):
            privaudit.compare(clean, clean, **bad)  # type: ignore[arg-type]
    with pytest.raises(BaselineError, match="does not say what ran"):
        privaudit.compare(AuditRecord(name="x"), clean)
    with pytest.raises(SettingError, match="keep the AuditRecord"):
        audit(Model([]), SAMPLES, update_baseline=True)


@pytest.mark.slow
@pytest.mark.nightly
def test_retrained_copies_pass_and_leaks_do_not() -> None:
    """Twenty pairs of clean models, and as many in which one of five members is remembered."""
    draws = np.random.default_rng(3)
    passed = failed = 0
    for pair in range(20):
        old = audit(Model([], 2 * pair), SAMPLES)
        passed += beside(old, audit(Model([], 2 * pair + 1), SAMPLES)).verdict == "pass"
        known = [MEMBERS[i] for i in draws.choice(len(MEMBERS), 30, replace=False)]
        failed += beside(old, audit(Model(known, 2 * pair), SAMPLES)).verdict == "fail"
    assert passed >= 19
    assert failed >= 18
