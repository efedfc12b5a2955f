"""Thresholds for a false positive rate that a new non-member is to have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import SettingError
from privaudit.statistics import threshold_at_fpr

several = st.lists(st.integers(-9, 9), min_size=2, max_size=40)


@given(several, st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_leave_one_out_the_rate_is_kept_and_no_lower_threshold_keeps_it(
    scores: list[int], target: float
) -> None:
    # Exchangeable: each of n + 1 scores is the new one once.
    alarms = []
    for i in range(len(scores)):
        threshold = threshold_at_fpr(scores[:i] + scores[i + 1 :], target)
        if threshold is None:
            assert target * len(scores) < 1
            return
        alarms.append(scores[i] > threshold)
    assert np.mean(alarms) <= target
    if len(set(scores)) == len(scores):
        assert np.mean(alarms) > target - 1 / len(scores) - 1e-9


@pytest.mark.parametrize("n", [99, 100, 150, 199, 1000])
def test_one_percent_is_expected_of_new_samples(n: int) -> None:
    draws = np.random.default_rng(n)
    rates = []
    for _ in range(2000):
        threshold = threshold_at_fpr(draws.random(n), 0.01)
        assert threshold is not None
        rates.append(1 - threshold)  # of uniform scores, exactly
    assert np.mean(rates) <= 0.01 + 3 * np.std(rates) / np.sqrt(2000)
    assert np.mean(rates) >= 0.005


def test_too_few_promise_nothing() -> None:
    assert threshold_at_fpr(np.arange(98), 0.01) is None
    assert threshold_at_fpr(np.arange(99), 0.01) == 98
    assert threshold_at_fpr(np.arange(998), 0.001) is None
    assert threshold_at_fpr([1.0], 1.0) == -np.inf
    for target in (0.0, 1.5):
        with pytest.raises(SettingError, match="is outside"):
            threshold_at_fpr([1.0], target)
