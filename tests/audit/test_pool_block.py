"""The pool beside the blocks that `combined` reads: seen, complete, and never by membership."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.attacks import make_attack
from privaudit.attacks.pool import SAME, nearness
from privaudit.audit.scoring import beside_pool, in_one_pool
from privaudit.audit.sets import LabelledSet
from privaudit.measurements.pool import Appearance, Pool
from privaudit.statistics import auc
from privaudit.store import Store
from tests.parts.drawn import Model, Pixels, drawn_samples

SETTINGS = AuditSettings(duplicate_limit=2.0, queries=2, scenarios="I", attacks="combined")
SAMPLES = drawn_samples(80)
LABELS = np.arange(40) < 20


class Mistaken(Model):
    """Draws what it remembers, nearly, and each time for somebody else's caption."""

    def __init__(self, remembered: list[Any], asked: list[Any], salt: int = 0) -> None:
        super().__init__([], salt)
        # Captions of members and of non-members are mistaken alike: they tell nothing.
        drawn = [remembered[(7 * i + 3) % len(remembered)] for i in range(len(asked))]
        self._for = {
            sample.caption: other.image
            for sample, other in zip(asked, drawn, strict=True)
            if other is not sample
        }
        self.fingerprint = f"mistaken {len(remembered)} of {salt}"

    def _noise(self, prompt: str, seed: int) -> Image.Image:
        noise = super()._noise(prompt, seed)
        drawn = self._for.get(prompt)
        return noise if drawn is None else Image.blend(drawn, noise, 0.1)


def audited(model: Any, samples: Any = SAMPLES, base: Any = None, **changes: Any) -> Audit:
    inputs = AuditInputs(
        target_model=model,
        members=samples[:40],
        non_members=samples[40:],
        image_encoder=Pixels(),
        base_model=base,
        shadow_model=Mistaken(drawn_samples(30, 1), drawn_samples(30, 1), 1),
        shadow_members=drawn_samples(30, 1),
        shadow_non_members=drawn_samples(30, 2),
    )
    return Audit(inputs, SETTINGS.replace(**changes), Store(None))


@pytest.fixture(scope="module")
def mistaken() -> Audit:
    return audited(Mistaken(SAMPLES[:40], SAMPLES), attacks="threshold,combined")


def appearance(pixels: Any) -> Appearance:
    pixels = np.asarray(pixels, dtype=np.float32)
    return Appearance(pixels, np.float32(3 * pixels[:, :5] + 1))


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("at_once", [5, 2**22])
def test_nearness_is_that_of_a_loop(m: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.attacks.pool.AT_ONCE", at_once)
    draws = np.random.default_rng(m)
    pool = Pool(appearance(draws.random((6, 12))), appearance(draws.random((6 * m, 12))), m)
    pool.answers.pixels[0] = pool.samples.pixels[0]
    pool.samples.pixels[5], pool.answers.pixels[4] = 0.5, 0.2  # of one colour
    samples, answers = pool.samples.pixels, pool.answers.pixels
    apart = np.maximum(np.sort(cdist(samples, answers) / np.sqrt(12))[:, :m], SAME)
    alike = np.zeros((6, 6 * m))
    varied = np.arange(6 * m) != 4
    alike[:5, varied] = 1 - cdist(samples[:5], answers[varied], "correlation")
    alike = np.sort(alike)[:, ::-1][:, :m]
    columns = [-apart[:, 0], -apart.mean(axis=1), alike[:, 0], alike.mean(axis=1)]
    np.testing.assert_allclose(nearness(pool), np.stack(columns, axis=1), atol=1e-6)


def test_what_is_drawn_for_somebody_else_is_seen(mistaken: Audit) -> None:
    combined = mistaken.result("I", "combined")
    assert combined.auc > 0.95
    assert combined.verdict == "fail"
    assert mistaken.result("I", "threshold").auc < 0.7
    assert combined.blocks == ["encoder", "pixels", "pool", "structure"]
    assert mistaken.result("I", "threshold").blocks == []


def test_it_asks_for_no_image_more() -> None:
    asked = []
    for attacks in ("threshold", "combined"):
        model = Model(SAMPLES[:40])
        audited(model, attacks=attacks).result("I", attacks)
        asked.append(model.calls)
    assert asked[0] == asked[1] > 0


def test_the_membership_of_whom_it_evaluates_is_not_read(mistaken: Audit) -> None:
    """Call the evaluated members non-members, and the other way round: no score changes."""
    experiment = mistaken.sets("I")
    known, asked = experiment.calibration, experiment.evaluation
    swapped = LabelledSet(asked.target, asked.non_members, asked.members)
    scorer = mistaken.scorer(experiment)
    one, other = (scorer.scores("combined", known, labelled) for labelled in (asked, swapped))
    np.testing.assert_allclose(one.members, other.non_members, atol=1e-9)
    np.testing.assert_allclose(one.non_members, other.members, atol=1e-9)
    assert one.threshold == pytest.approx(other.threshold)


def test_the_calibration_set_sees_the_answers_to_the_evaluation_set_and_a_shadow_its_own(
    mistaken: Audit,
) -> None:
    experiment = mistaken.sets("I")
    scorer = mistaken.scorer(experiment)
    known, _ = scorer._both(experiment.calibration, experiment.evaluation)
    alone = scorer.features(experiment.calibration.target, experiment.calibration.samples)
    both, own = beside_pool(known).blocks["pool"], beside_pool(alone).blocks["pool"]
    assert (both >= own - 1e-6).all()
    assert (both > own + 1e-3).any()
    apart = mistaken.sets("III")
    shadow, target = scorer_of(mistaken, "III")._both(apart.calibration, apart.evaluation)
    np.testing.assert_array_equal(
        beside_pool(shadow).blocks["pool"],
        nearness(
            replace(
                shadow.pool,
                answers=scorer_of(mistaken, "III")
                .features(apart.calibration.target, apart.calibration.samples)
                .pool.answers,
            )
        ),
    )
    assert len(target.pool.answers) == 2 * 80  # type: ignore[union-attr]


def scorer_of(audit: Audit, scenario: str) -> Any:
    return audit.scorer(audit.sets(scenario))


def test_what_the_base_draws_for_somebody_is_subtracted() -> None:
    """One that was fine-tuned on nobody, and draws alike, leaves nothing over."""
    model = Mistaken(SAMPLES[:40], SAMPLES)
    base = Mistaken(SAMPLES[:40], SAMPLES)
    base.fingerprint = "base"
    audit = audited(model, base=base)
    experiment = audit.sets("I")
    scorer = audit.scorer(experiment)
    both = [beside_pool(f) for f in scorer._both(experiment.calibration, experiment.evaluation)]
    for features in both:
        np.testing.assert_array_equal(features.blocks["pool over base"], 0)
        assert features.base_pool is not None
        assert len(features.base_pool.answers) == 160
    other = audited(model, base=Model([], 5))
    scorer = other.scorer(other.sets("I"))
    over = beside_pool(scorer._both(experiment.calibration, experiment.evaluation)[0])
    assert (over.blocks["pool over base"][:20, 0] > 0.1).mean() > 0.8  # its members


def test_without_a_leak_it_is_at_chance() -> None:
    aucs = []
    for seed in range(6):
        audit = audited(Model([], seed), samples=drawn_samples(80, 20 + seed))
        experiment = audit.sets("I")
        both = audit.scorer(experiment)._both(experiment.calibration, experiment.evaluation)
        known, asked = map(beside_pool, both)
        scores = make_attack("combined", 0).fit(known, LABELS).score(asked)
        aucs.append(auc(scores[LABELS], scores[~LABELS]))
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.092 / np.sqrt(6)


def test_a_sequential_audit_leaves_the_pool_out_and_says_so() -> None:
    audit = audited(Model(SAMPLES[:40]), sequential=True, budget=0.6, gate="evidence")
    assert audit.result("I", "combined").blocks == ["encoder", "pixels", "structure"]
    assert "pool" not in audit.models.measurement.describe()
    said = "combined leaves out the answers to others: a sequential audit stops before it has all"
    assert said in audit.record().notes
    assert said not in audited(Model(SAMPLES[:40])).models.notes()


def test_noise_and_order_of_the_answers_change_nothing() -> None:
    audit = audited(Mistaken(SAMPLES[:20] + SAMPLES[20:30], SAMPLES))
    experiment = audit.sets("I")
    known, asked = audit.scorer(experiment)._both(experiment.calibration, experiment.evaluation)

    def found(*both: Any) -> tuple[Any, float]:
        one, other = (beside_pool(features) for features in both)
        scores = make_attack("combined", 0).fit(one, LABELS).score(other)
        return scores, auc(scores[LABELS], scores[~LABELS])

    def changed(features: Any, change: Any) -> Any:
        pool = features.pool
        answers = Appearance(change(pool.answers.pixels), change(pool.answers.states))
        return replace(features, pool=Pool(pool.samples, answers, pool.m))

    scores, plain = found(known, asked)
    again, _ = found(known, asked)
    np.testing.assert_array_equal(again, scores)
    order = np.random.default_rng(0).permutation(len(known.pool.answers))  # type: ignore[union-attr]
    shuffled, _ = found(*(changed(f, lambda rows: rows[order]) for f in (known, asked)))
    np.testing.assert_allclose(shuffled, scores, atol=1e-6)
    draws = np.random.default_rng(1)

    def noise(rows: Any) -> Any:
        return np.float32(rows * (1 + 1e-4 * draws.standard_normal(rows.shape)))

    assert abs(found(changed(known, noise), changed(asked, noise))[1] - plain) <= 0.001


def test_models_that_are_not_one_share_no_pool() -> None:
    """Only of one target: `in_one_pool` is told, and puts the base's together too."""
    audit = audited(Model(SAMPLES[:40]), base=Model([], 9))
    experiment = audit.sets("I")
    scorer = audit.scorer(experiment)
    one = scorer.features(experiment.calibration.target, experiment.calibration.samples)
    other = scorer.features(experiment.evaluation.target, experiment.evaluation.samples)
    both = in_one_pool(one, other)
    assert [len(f.base_pool.answers) for f in (one, *both)] == [80, 160, 160]  # type: ignore[union-attr]
