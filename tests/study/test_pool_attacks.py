"""The attacks that compare a sample with all answers: on drawn pools, against loops, and in vain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from privaudit.attacks import make_attack
from privaudit.attacks import pool as pools
from privaudit.attacks.pool import SAME, distances, nearest
from privaudit.errors import ScoreError
from privaudit.measurements import Features
from privaudit.measurements.pool import Appearance, Pool
from privaudit.statistics import auc
from privaudit.study.attacks.generated import GeneratedAttack
from privaudit.study.attacks.monte_carlo import MonteCarloAttack, balanced_median
from privaudit.study.attacks.nearest import GanLeaksAttack, MatsumotoAttack
from privaudit.study.attacks.pool import low_quantile
from tests.parts.attacks import POOLED

N, M, D = 40, 3, 48
LABELS = np.arange(2 * N) < N
MIX = np.random.default_rng(9).standard_normal((D, 32)) / np.sqrt(D)
"""What an encoder of the drawn pictures is."""
VARIANTS = [
    MonteCarloAttack(kernel=kernel, radius=radius)  # type: ignore[arg-type]
    for kernel in ("fraction", "log-distance")
    for radius in ("median", "quantile")
]


def appearance(pixels: Any) -> Appearance:
    pixels = np.asarray(pixels, dtype=np.float32)
    width = MIX[: pixels.shape[1]]
    return Appearance(pixels, np.float32(np.tanh(4 * (pixels - 0.5) @ width)))


def features(samples: Any, answers: Any) -> Features:
    n = len(samples)
    pool = Pool(appearance(samples), appearance(answers), M)
    return Features(np.zeros((n, 1)), np.zeros(n), pool=pool)


def drawn(seed: int, redrawn: float, blur: float = 0.05) -> Features:
    """Draw N members, a share of which a model redraws, and N non-members, whom it never does."""
    draws = np.random.default_rng(seed)
    samples = draws.uniform(0, 1, (2 * N, D))
    answers = draws.uniform(0, 1, (2 * N, M, D))
    known = np.arange(2 * N) < redrawn * N
    answers[known] = samples[known, None] + blur * draws.standard_normal((known.sum(), M, D))
    return features(samples, answers.reshape(-1, D))


def noisy(one: Features, seed: int, size: float = 1e-4) -> Features:
    draws = np.random.default_rng(seed)

    def moved(part: Appearance) -> Appearance:
        return Appearance(
            *(
                np.float32(x * (1 + size * draws.standard_normal(x.shape)))
                for x in (part.pixels, part.states)
            )
        )

    assert one.pool is not None
    return replace(one, pool=Pool(moved(one.pool.samples), moved(one.pool.answers), M))


def found(attack: Any, known: Features, asked: Features) -> float:
    scores = attack.fit(known, LABELS).score(asked)
    return auc(scores[LABELS], scores[~LABELS])


@pytest.mark.parametrize("name", POOLED)
def test_a_model_that_redraws_members_is_found(name: str) -> None:
    fitted = make_attack(name, 0).fit(drawn(0, 1.0), LABELS)
    scores = fitted.score(drawn(1, 1.0))
    assert auc(scores[LABELS], scores[~LABELS]) > 0.97
    right = (
        (scores[LABELS] > fitted.threshold).mean(),
        (scores[~LABELS] <= fitted.threshold).mean(),
    )
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("name", POOLED)
def test_half_of_the_members_redrawn_is_half_of_the_leak(name: str) -> None:
    assert found(make_attack(name, 0), drawn(0, 0.5), drawn(1, 0.5)) == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize("name", POOLED)
def test_a_model_that_redraws_nobody_is_at_chance(name: str) -> None:
    aucs = [found(make_attack(name, 0), drawn(s, 0), drawn(s + 500, 0)) for s in range(16)]
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.065 / np.sqrt(16)


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("redrawn", [0.0, 0.5, 1.0])
def test_feature_noise_of_one_in_ten_thousand_moves_no_auc(name: str, redrawn: float) -> None:
    for seed in range(2):
        known, asked = drawn(seed, redrawn), drawn(seed + 500, redrawn)
        plain = found(make_attack(name, 0), known, asked)
        moved = found(make_attack(name, 0), noisy(known, 1), noisy(asked, 2))
        assert abs(plain - moved) <= 0.001  # a pair in 1,600 is 0.0006


@pytest.mark.parametrize("name", POOLED)
def test_no_seed_matters(name: str) -> None:
    known, asked = drawn(0, 0.3), drawn(1, 0.3)
    first, *others = (make_attack(name, s).fit(known, LABELS).score(asked) for s in (0, 1, 2**40))
    for scores in others:
        np.testing.assert_array_equal(scores, first)


@pytest.mark.parametrize("name", POOLED)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=3)
def test_neither_order_nor_company_matters(name: str, seed: int) -> None:
    known, asked = drawn(seed, 0.5), drawn(seed + 1, 0.5)
    assert known.pool is not None
    assert asked.pool is not None
    draws = np.random.default_rng(seed)
    order, answers = draws.permutation(2 * N), draws.permutation(2 * N * M)

    def part(group: Appearance, rows: Any) -> Appearance:
        return Appearance(group.pixels[rows], group.states[rows])

    shuffled = replace(
        known, pool=Pool(part(known.pool.samples, order), part(known.pool.answers, answers), M)
    )
    few = Features(
        asked.vectors[3:9],
        asked.similarity[3:9],
        pool=Pool(part(asked.pool.samples, slice(3, 9)), asked.pool.answers, M),
    )
    one = make_attack(name, 0).fit(known, LABELS)
    other = make_attack(name, 0).fit(shuffled, LABELS[order])
    wanted = one.score(asked)
    near = 1e-3 * np.ptp(wanted)
    np.testing.assert_allclose(one.score(few), wanted[3:9], atol=1e-9)
    np.testing.assert_allclose(other.score(asked), wanted, atol=near)


@pytest.mark.parametrize("attack", [GanLeaksAttack(), MatsumotoAttack(), *VARIANTS])
@given(
    seed=st.integers(0, 10**6),
    shift=st.floats(-3, 3),
    factor=st.floats(0.2, 5),
)
@settings(max_examples=5)
def test_brightness_and_contrast_of_all_pictures_change_no_order(
    attack: Any, seed: int, shift: float, factor: float
) -> None:
    known, asked = drawn(seed, 0.5), drawn(seed + 1, 0.5)

    def brighter(one: Features) -> Features:
        assert one.pool is not None
        return features(
            one.pool.samples.pixels * factor + shift, one.pool.answers.pixels * factor + shift
        )

    plain = found(attack, known, asked)
    changed = found(attack, brighter(known), brighter(asked))
    assert changed == pytest.approx(plain, abs=0.002)  # float32 rounds what was moved


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 9),
    answers=st.integers(1, 30),
    block=st.integers(1, 40),
    share=st.floats(0, 0.9),
)
@settings(max_examples=50)
def test_distances_are_those_of_a_loop(
    seed: int, n: int, answers: int, block: int, share: float
) -> None:
    draws = np.random.default_rng(seed)
    one = features(draws.uniform(0, 1, (n, 12)), draws.uniform(0, 1, (answers, 12)))
    assert one.pool is not None
    one.pool.answers.pixels[0] = one.pool.samples.pixels[0]  # a copy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "AT_ONCE", block)
        ours = np.concatenate(list(distances(one.pool)))
        five = nearest(one.pool, 5)
        low = low_quantile(one.pool, share)
    by_scipy = cdist(one.pool.samples.pixels, one.pool.answers.pixels) / np.sqrt(12)
    wanted = np.maximum(by_scipy, SAME)
    np.testing.assert_allclose(ours, wanted, atol=1e-7)
    assert ours[0, 0] == SAME
    np.testing.assert_allclose(np.sort(five), np.sort(wanted)[:, :5], atol=1e-7)
    assert low == pytest.approx(np.quantile(wanted, share), abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=12))
def test_a_balanced_median_is_that_of_as_many_of_each_class(drawn: list[tuple[int, bool]]) -> None:
    values, labels = np.array([float(v) for v, _ in drawn]), np.array([b for _, b in drawn])
    if labels.all() or not labels.any():
        return
    members, others = values[labels], values[~labels]
    even = np.concatenate([np.repeat(members, len(others)), np.repeat(others, len(members))])
    assert balanced_median(values, labels) == np.median(even)


def loop(attack: MonteCarloAttack, one: Features, log: bool) -> list[float]:
    """Hilprecht et al. 2019, picture by picture."""
    assert one.pool is not None
    scores = []
    for sample in one.pool.samples.pixels.astype(float):
        total = 0.0
        for answer in one.pool.answers.pixels.astype(float):
            apart = max(float(np.sqrt(((sample - answer) ** 2).mean())), SAME)
            if apart <= attack.radius:
                total += -np.log(apart / attack.radius) if log else 1.0
        scores.append(total / len(one.pool.answers))
    return scores


@pytest.mark.parametrize("attack", VARIANTS)
@pytest.mark.parametrize("redrawn", [0.0, 0.4])
def test_monte_carlo_is_the_papers_sum(attack: MonteCarloAttack, redrawn: float) -> None:
    known, asked = drawn(3, redrawn), drawn(4, redrawn)
    attack.fit(known, LABELS)
    log = attack._kernel == "log-distance"
    np.testing.assert_allclose(attack.score(asked), loop(attack, asked, log), atol=1e-6)
    assert known.pool is not None
    every = cdist(known.pool.samples.pixels, known.pool.answers.pixels) / np.sqrt(D)
    radius = (
        np.median(every.min(axis=1)) if attack._heuristic == "median" else np.quantile(every, 0.001)
    )
    assert attack.radius == pytest.approx(radius, abs=1e-7)


@pytest.mark.parametrize("attack", VARIANTS)
def test_every_form_of_monte_carlo_finds_a_leak_and_is_stable(attack: MonteCarloAttack) -> None:
    known, asked = drawn(0, 1.0), drawn(1, 1.0)
    plain = found(attack, known, asked)
    # Of 80 samples asked three times, 0.1 % of the distances are 19: not all members have one.
    assert plain > (0.97 if attack._heuristic == "median" else 0.7)
    assert abs(plain - found(attack, noisy(known, 1), noisy(asked, 2))) <= 0.001


@pytest.mark.parametrize("m", [1, 3, 8])
def test_the_nearest_is_one_picture_and_the_other_attack_adds_up_to_five(m: int) -> None:
    asked = drawn(1, 0.5)
    assert asked.pool is not None
    ordered = np.sort(cdist(asked.pool.samples.pixels, asked.pool.answers.pixels)) / np.sqrt(D)
    asked = replace(asked, pool=replace(asked.pool, m=m))
    for attack, k in ((GanLeaksAttack(), 1), (MatsumotoAttack(), min(m, 5))):
        scores = attack.fit(drawn(0, 0.5), LABELS).score(asked)
        np.testing.assert_allclose(scores, -ordered[:, :k].sum(axis=1), atol=1e-6)


def test_no_member_teaches_the_classifier_of_generated_pictures() -> None:
    """Only the threshold knows them: other members in their place change no score."""
    known, asked = drawn(0, 0.5), drawn(1, 0.5)
    assert known.pool is not None
    states = known.pool.samples.states.copy()
    states[LABELS] = np.random.default_rng(5).standard_normal(states[LABELS].shape)
    samples = Appearance(known.pool.samples.pixels, states)
    other = replace(known, pool=Pool(samples, known.pool.answers, M))
    scores = [GeneratedAttack().fit(k, LABELS).score(asked) for k in (known, other)]
    np.testing.assert_array_equal(*scores)


def test_the_classifier_learns_from_the_pool_that_is_scored() -> None:
    """In III and IV it was fitted beside a shadow, whose answers must not teach it."""
    asked = drawn(1, 0.5)
    one, other = drawn(0, 0.5), drawn(7, 0.0)
    assert one.pool is not None
    assert other.pool is not None
    shadow = replace(one, pool=Pool(one.pool.samples, other.pool.answers, M))
    scores = [GeneratedAttack().fit(k, LABELS).score(asked) for k in (one, shadow)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", POOLED)
def test_exact_copies_are_found(name: str) -> None:
    assert found(make_attack(name, 0), drawn(0, 1.0, 0), drawn(1, 1.0, 0)) > 0.98


@pytest.mark.parametrize("name", POOLED)
def test_pictures_that_never_vary_are_a_coin_not_an_error(name: str) -> None:
    same = features(np.full((2 * N, D), 0.3), np.full((2 * N * M, D), 0.7))
    assert found(make_attack(name, 0), same, same) == 0.5


@pytest.mark.parametrize("name", POOLED)
def test_a_measurement_without_a_pool_is_refused(name: str) -> None:
    without = replace(drawn(0, 1.0), pool=None)
    with pytest.raises(ScoreError, match="compares samples with all answers"):
        make_attack(name, 0).fit(without, LABELS)
    with pytest.raises(ScoreError, match="compares samples with all answers"):
        make_attack(name, 0).fit(drawn(0, 1.0), LABELS).score(without)


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("group", ["samples", "answers"])
def test_one_class_and_nan_are_refused(name: str, group: str) -> None:
    known = drawn(0, 1.0)
    with pytest.raises(ScoreError, match="80 members and 0 non-members"):
        make_attack(name, 0).fit(known, np.ones(2 * N, dtype=bool))
    for kind in ("pixels", "states"):
        bad = drawn(0, 1.0)
        getattr(getattr(bad.pool, group), kind)[3, 2] = np.nan
        with pytest.raises(ScoreError, match=r"features of 1 of \d+ pictures are not finite"):
            make_attack(name, 0).fit(bad, LABELS)
        with pytest.raises(ScoreError, match=r"features of 1 of \d+ pictures are not finite"):
            make_attack(name, 0).fit(known, LABELS).score(bad)


@pytest.mark.parametrize("kernel", ["fraction", "log-distance"])
def test_a_radius_that_holds_no_answer_is_an_error_not_an_auc_of_a_half(kernel: Any) -> None:
    """A shadow that copies sets a radius that the target never comes near to."""
    fitted = MonteCarloAttack(kernel=kernel).fit(drawn(0, 1.0), LABELS)
    with pytest.raises(ScoreError, match="80 scores differ by no more than 0"):
        fitted.score(drawn(1, 0.0))


@pytest.mark.parametrize("name", POOLED)
def test_calibration_scores_show_no_more_than_there_is(name: str) -> None:
    aucs = []
    for seed in range(16):
        scores = make_attack(name, 0).fit(drawn(seed, 0), LABELS).calibration_scores
        aucs.append(auc(scores[LABELS], scores[~LABELS]))
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.065 / np.sqrt(16)
