"""The attacks that compare with all answers, in whole audits: what they cost, see and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.attacks import make_attack, registry
from privaudit.audit.baseline import facts_of, needed
from privaudit.errors import SettingError
from privaudit.record import SampleSet
from privaudit.statistics import auc
from privaudit.store import Store
from privaudit.testing import MemorizingTarget
from tests.parts.attacks import POOLED
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import results
from tests.parts.drawn import Model, Pixels, drawn_samples

FIRST = registry.default_names()[0]
SETTINGS = AuditSettings(duplicate_limit=2.0, queries=2, scenarios="I")
SAMPLES = drawn_samples(80)


def audited(
    model: Any, *attacks: str, store: Store | None = None, samples: Any = SAMPLES, **changes: Any
) -> Audit:
    inputs = AuditInputs(
        target_model=model,
        members=samples[:40],
        non_members=samples[40:],
        image_encoder=Pixels(),
        shadow_model=MemorizingTarget(drawn_samples(30, 1)),
        shadow_members=drawn_samples(30, 1),
        shadow_non_members=drawn_samples(30, 2),
    )
    settings = SETTINGS.replace(attacks=",".join(attacks), **changes)
    return Audit(inputs, settings, Store(None) if store is None else store)


@pytest.fixture(scope="module")
def leaking() -> tuple[Audit, Model]:
    """Audit a model that hands out its members, by all of them, in I and III."""
    model = Model(SAMPLES[:40])
    audit = audited(model, FIRST, *POOLED, scenarios="I,III")
    for scenario in ("I", "III"):
        for name in (FIRST, *POOLED):
            audit.result(scenario, name)
    return audit, model


def test_a_leak_is_seen_by_each_in_the_same_table(leaking: tuple[Audit, Model]) -> None:
    document = json.loads(leaking[0].record().to_json())
    assert [result["attack"] for result in document["results"]] == [FIRST, *POOLED] * 2
    aucs = {(one["scenario"], one["attack"]): one["auc"] for one in document["results"]}
    assert min(aucs.values()) > 0.95, aucs


@pytest.mark.slow  # a dozen sets
def test_over_many_sets_a_model_that_remembers_nobody_is_at_chance() -> None:
    aucs: dict[str, list[float]] = {name: [] for name in POOLED}
    labels = np.arange(40) < 20
    for seed in range(12):
        audit = audited(Model([], seed), *POOLED, samples=drawn_samples(80, 10 + seed))
        experiment = audit.sets("I")
        sets = experiment.calibration, experiment.evaluation
        known, asked = audit.scorer(experiment)._both(*sets)
        for name in POOLED:
            scores = make_attack(name, 0).fit(known, labels).score(asked)
            aucs[name].append(auc(scores[labels], scores[~labels]))
    for name, found in aucs.items():
        assert abs(np.mean(found) - 0.5) < 3 * 0.092 / np.sqrt(12), name


def test_a_pool_adds_no_image_and_changes_no_other_result(leaking: tuple[Audit, Model]) -> None:
    audit, asked = leaking
    model = Model(SAMPLES[:40])
    plain = audited(model, FIRST, scenarios="I,III")
    for scenario in ("I", "III"):
        one, other = (a.result(scenario, FIRST) for a in (plain, audit))
        assert (one.auc, one.threshold) == (other.auc, other.threshold)
        assert one.member_scores == other.member_scores
        assert one.non_member_scores == other.non_member_scores
    assert model.calls == asked.calls
    assert "pool" in audit.models.measurement.describe()
    assert "pool" not in plain.models.measurement.describe()


@pytest.mark.slow  # two audits more
def test_a_store_of_another_audit_has_the_images_and_not_the_answer(
    leaking: tuple[Audit, Model], tmp_path: Path
) -> None:
    store, model = Store(tmp_path), Model(SAMPLES[:40])
    audited(model, FIRST, store=store).result("I", FIRST)
    model.calls = 0
    audit = audited(model, *POOLED, store=store)
    for name in POOLED:
        assert audit.result("I", name).member_scores == leaking[0].result("I", name).member_scores
    assert model.calls == 0


def test_one_target_has_one_pool_for_both_of_its_sets() -> None:
    audit = audited(Model(SAMPLES[:20]), POOLED[0])
    experiment = audit.sets("I")
    known, asked = audit.scorer(experiment)._both(experiment.calibration, experiment.evaluation)
    assert known.pool is not None
    assert asked.pool is not None
    assert len(known.pool.samples) == len(asked.pool.samples) == 40
    assert len(known.pool.answers) == 160
    np.testing.assert_array_equal(known.pool.answers.pixels, asked.pool.answers.pixels)
    apart = audit.sets("III")
    shadow, target = audit.scorer(apart)._both(apart.calibration, apart.evaluation)
    assert shadow.pool is not None
    assert target.pool is not None
    assert (len(shadow.pool.answers), len(target.pool.answers)) == (120, 160)


def test_a_baseline_of_others_is_not_refused_for_a_pool() -> None:
    samples = {name: SampleSet(count=1, digest="0") for name in ("members", "non_members")}
    without, beside = (
        facts_of(
            {"target_model": {}, "measurement": {"name": "m", **pool}},
            samples,
            {},
            "sixteen characters",
        )
        for pool in ({}, {"pool": {"pixels": 16}})
    )
    assert needed(beside, "attack-I", FIRST) == needed(without, "attack-I", FIRST)
    for name in (*POOLED, "combined"):
        assert needed(beside, "attack-I", name) != needed(without, "attack-I", name)


@pytest.mark.parametrize("name", POOLED)
def test_a_sequential_audit_is_refused_before_anything_is_drawn(name: str) -> None:
    model = Model(SAMPLES[:40])
    with pytest.raises(SettingError, match=f"{name} compares each sample with the answers to all"):
        audited(model, name, sequential=True).result("I", name)
    assert model.calls == 0


FINE_TUNED = """
@pytest.fixture(scope="session")
def image_encoder():
    return privaudit.load_encoder("efficientnet-lite0", device="cpu")

@pytest.fixture(scope="session")
def target_model():
    models = emoji_sets.MODELS
    return privaudit.SavedPipeline(models / "base", {weights}, device="cpu")

pytestmark = pytest.mark.privacy_budget(
    attacks={attacks!r}, scenarios="I", num_inference_steps=10, guidance_scale=3.0, queries=2,
)
"""
OVERFIT, DP = 'unet=models / "overfit" / "unet"', 'biases=models / "dp"'


@pytest.mark.slow  # pictures of a real pipeline
@pytest.mark.parametrize(("weights", "leaks"), [(OVERFIT, True), (DP, False)])
def test_a_real_fine_tune_that_memorises_and_one_that_does_not(
    plain_folder: AuditFolder, weights: str, leaks: bool
) -> None:
    chosen = FINE_TUNED.format(weights=weights, attacks=(FIRST, *POOLED))
    plain_folder.write(chosen, "N = 40", GATED)
    options = [] if leaks else ["--privaudit-budget=1"]  # so few samples only compare
    result = plain_folder.run("--privaudit-json=out.json", *options, subprocess=True)
    found = results(plain_folder)  # it fits the schema
    wanted = [f"attack-I-{name}" for name in (FIRST, *POOLED)]
    if leaks:  # what was redrawn is seen by a count, and an attack that misses it has no verdict
        wanted.remove("attack-I-zhang")
        result.stdout.fnmatch_lines(
            ["invalid: attack-I-zhang: * of 20 members were redrawn nearly*"]
        )
    assert list(found) == wanted
    nearest = found["attack-I-gan-leaks"]
    if leaks:
        assert nearest["auc"] > 0.8
        assert nearest["verdict"] == "fail"
        assert result.ret == pytest.ExitCode.TESTS_FAILED
    else:
        assert all(row["interval"]["low"] < 0.5 < row["interval"]["high"] for row in found.values())
    result.stdout.fnmatch_lines(["*attack-I *gan-leaks*"])
