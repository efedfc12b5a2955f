"""The AUC of a sequential audit is an estimate, not the share that stopped it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from privaudit.statistics import SequentialAUC


def stopped(outcomes: list[float], budget: float = 0.6, confidence: float = 0.8) -> SequentialAUC:
    test = SequentialAUC(budget, confidence)
    test.update(outcomes, [0.5] * len(outcomes))
    return test


@pytest.mark.parametrize("value", [0.3, 0.6, 0.9])
def test_over_every_sequence_of_ten_it_is_unbiased_to_the_last_digit(value: float) -> None:
    corrected = raw = 0.0
    verdicts = set()
    for outcomes in itertools.product((0.0, 1.0), repeat=10):
        won = int(sum(outcomes))
        weight = value**won * (1 - value) ** (10 - won)
        test = stopped(list(outcomes))
        corrected += weight * test.estimate
        raw += weight * test.auc
        verdicts.add(test.verdict)
    assert verdicts == {"fail", "pass", None}
    assert corrected == pytest.approx(value, abs=1e-12)
    assert abs(raw - value) > 0.001


def test_with_ties_it_is_nearly_so() -> None:
    shares = {0.0: 0.2, 0.5: 0.3, 1.0: 0.5}
    corrected = raw = 0.0
    for outcomes in itertools.product(shares, repeat=7):
        weight = math.prod(shares[x] for x in outcomes)
        test = stopped(list(outcomes), confidence=0.7)
        corrected += weight * test.estimate
        raw += weight * test.auc
    assert abs(corrected - 0.65) < min(0.005, abs(raw - 0.65))


def test_a_true_065_is_not_reported_as_075() -> None:
    draws = np.random.default_rng(3)
    tests = [
        stopped((draws.random(200) < 0.65).astype(float).tolist(), confidence=0.95)
        for _ in range(100)
    ]
    raw, corrected = ([getattr(t, name) for t in tests] for name in ("auc", "estimate"))
    error = np.std(corrected) / 10
    assert np.mean(corrected) == pytest.approx(0.65, abs=3 * error)
    failed = [t for t in tests if t.verdict == "fail"]
    assert len(failed) > 10
    assert np.mean([t.estimate for t in failed]) < np.mean([t.auc for t in failed]) - 0.02
    assert np.mean(raw) > np.mean(corrected)


def test_before_and_after() -> None:
    assert math.isnan(SequentialAUC(0.6).estimate)
    assert stopped([1.0]).estimate == 1.0
    assert stopped([0.5, 0.5]).estimate == 0.5
    # Nothing stops three pairs at 95 %: it is the mean.
    assert stopped([1.0, 0.0, 1.0], confidence=0.95).estimate == pytest.approx(2 / 3)
    chunks = SequentialAUC(0.6)
    outcomes = (np.random.default_rng(1).random(300) < 0.8).astype(float)
    for part in np.split(outcomes, 30):
        chunks.update(part, np.full(len(part), 0.5))
    assert chunks.estimate == stopped(outcomes.tolist(), confidence=0.95).estimate
