"""What so many samples tell, and how many more would."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from privaudit.statistics import (
    auc,
    auc_bound,
    auc_interval,
    detectable_auc,
    samples_needed,
)


@pytest.mark.parametrize(
    ("m", "n", "reference"), [(60, 60, 0.5), (200, 200, 0.6), (30, 300, 0.6), (300, 30, 0.6)]
)
def test_told_4_times_in_5_is_at_least_that(m: int, n: int, reference: float) -> None:
    value = detectable_auc(m, n, reference)
    assert value is not None
    draws, shift = np.random.default_rng(1), norm.ppf(value) * math.sqrt(2)
    told = [
        auc_interval(draws.normal(shift, 1, m), draws.normal(0, 1, n)).low > reference
        for _ in range(400)
    ]
    # It was 69.5 to 74.5 %: a one-sided statement about a two-sided interval.
    assert np.mean(told) >= 0.8 - 2 * math.sqrt(0.16 / 400)
    assert np.mean(told) <= 0.95


def test_detectable_is_monotone_and_may_be_nothing() -> None:
    assert detectable_auc(2, 2, 0.9) is None
    assert detectable_auc(1000, 1000, 0.6) < detectable_auc(100, 100, 0.6)  # type: ignore[operator]
    one, two = (detectable_auc(100, 100, 0.6, two_sided=sides) for sides in (False, True))
    assert one is not None
    assert two is not None
    assert one < two


def scores_of(value: float, m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of two normals, so that the AUC and the variance are what they should be."""
    members, non_members = (norm.ppf((np.arange(k) + 0.5) / k) for k in (m, n))
    return members + norm.ppf(value) * math.sqrt(2), non_members


@pytest.mark.parametrize(
    ("m", "n", "grow"), [(10, 1000, "members"), (1000, 10, "non-members"), (40, 40, "both")]
)
@pytest.mark.parametrize("value", [0.5, 0.7])
def test_the_class_that_must_grow_is_named(m: int, n: int, grow: str, value: float) -> None:
    reach = float(norm.ppf(0.95))
    needed = samples_needed(*scores_of(value, m, n), budget=0.6, reach=reach, power=0.5)
    assert needed is not None
    assert needed.grow == grow
    # With power one half the bound itself is at the budget then, and not with a tenth less.
    for share, decides in ((1.1, True), (0.9, False)):
        sizes = [
            k if grow not in ("both", name) else int(share * more)
            for k, more, name in (
                (m, needed.members, "members"),
                (n, needed.non_members, "non-members"),
            )
        ]
        more = scores_of(value, *sizes)
        low, high = (auc_bound(*more, reach, lower=side) for side in (True, False))
        assert (low > 0.6 or high <= 0.6) == decides


def test_where_no_number_of_samples_is_known() -> None:
    assert samples_needed([1.0, 1.0], [1.0, 1.0], 0.6, 1.6) is None
    assert samples_needed([2.0, 3.0], [0.0, 1.0], 0.6, 1.6) is None
    at_budget = [0.0, 2.0], [1.0, 1.0]
    assert auc(*at_budget) == 0.5
    assert samples_needed(*at_budget, 0.5, 1.6) is None
    assert samples_needed(*at_budget, 0.5 + 1e-5, 1.6) is None
