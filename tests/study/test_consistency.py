"""FSCA on drawn similarities: a leak, none, noise, seeds, and no CLIP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit.attacks import make_attack
from privaudit.errors import ScoreError
from privaudit.measurements import Features
from privaudit.measurements import captions as measured
from privaudit.statistics import auc
from privaudit.study.attacks.consistency import BLOCK
from tests.parts.attacks import BY_CLIP

N, M = 60, 3
LABELS = np.arange(2 * N) < N
NAME = BY_CLIP[0]


def drawn(seed: int, gain: float, n: int = N) -> Features:
    """Draw what a CLIP's cosines look like, where members' answers are a little more alike."""
    draws = np.random.default_rng(seed)
    own = draws.standard_normal((2 * n, 1)) + draws.standard_normal((2 * n, M))
    own[:n] += gain
    text = draws.standard_normal((2 * n, M)) * 0.5
    block = [-np.sort(-one, axis=1) for one in (0.7 + 0.05 * own, 0.01 * text)]
    # What the others read tells nothing.
    noise = draws.standard_normal((2 * n, 4))
    return Features(noise, noise[:, 0], blocks={BLOCK: np.concatenate(block, axis=1)})


def found(known: Features, asked: Features, seed: int = 0) -> float:
    scores = make_attack(NAME, seed).fit(known, LABELS).score(asked)
    of = np.arange(len(asked)) < len(asked) // 2
    return auc(scores[of], scores[~of])


def test_measurement_and_attack_mean_the_same_block() -> None:
    assert BLOCK == measured.BLOCK


def test_a_leak_is_found_and_its_size_shows() -> None:
    aucs = [found(drawn(0, gain), drawn(1, gain)) for gain in (0.5, 1.5, 4.0)]
    assert aucs == sorted(aucs)
    assert aucs[-1] > 0.97
    fitted = make_attack(NAME, 0).fit(drawn(0, 4.0), LABELS)
    assert ((fitted.score(drawn(1, 4.0)) > fitted.threshold) == LABELS).mean() > 0.9
    assert np.isfinite(fitted.calibration_scores).all()


@pytest.mark.slow  # networks, two dozen times
def test_without_a_leak_it_is_at_chance() -> None:
    aucs = [found(drawn(s, 0), drawn(s + 500, 0)) for s in range(24)]
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.053 / np.sqrt(24)


@pytest.mark.slow  # networks, four times
def test_noise_of_one_in_ten_thousand_moves_no_auc() -> None:
    def noisy(one: Features, seed: int) -> Features:
        block = one.blocks[BLOCK]
        factor = 1 + 1e-4 * np.random.default_rng(seed).standard_normal(block.shape)
        return replace(one, blocks={BLOCK: block * factor})

    for gain in (0.0, 1.5):
        known, asked = drawn(3, gain), drawn(4, gain, n=90)
        moved = found(noisy(known, 0), noisy(asked, 1))
        # A pair in 8,100 is 0.00012: a few may change places.
        assert abs(found(known, asked) - moved) <= 0.001


@pytest.mark.slow  # networks, six times
def test_the_seed_hardly_matters() -> None:
    known, asked = drawn(5, 1.0), drawn(6, 1.0)
    assert np.std([found(known, asked, seed) for seed in range(6)]) <= 0.01


def test_without_a_clip_it_says_so() -> None:
    blind = replace(drawn(0, 1.0), blocks={})
    with pytest.raises(ScoreError, match="--privaudit-clip"):
        make_attack(NAME, 0).fit(blind, LABELS)
    fitted = make_attack(NAME, 0).fit(drawn(0, 1.0), LABELS)
    with pytest.raises(ScoreError, match="--privaudit-clip"):
        fitted.score(blind)
