"""Bounds that hold for all results of an audit at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics import (
    ResultScores,
    auc,
    auc_bound,
    simultaneous_lower_bounds,
)
from privaudit.statistics.planning import _all_under

K = 12


def audit(
    draws: np.random.Generator, n: int, value: float, correlation: float = 0.6
) -> dict[str, ResultScores]:
    """Twelve results of one audit, each with this AUC, whose scores share the samples."""
    common, own = draws.normal(size=(2 * n, 1)), draws.normal(size=(2 * n, K))
    scores = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    scores[:n] += norm.ppf(value) * math.sqrt(2)
    ids = [str(i) for i in range(2 * n)]
    return {
        f"result {k}": ResultScores(
            dict(zip(ids[:n], scores[:n, k], strict=True)),
            dict(zip(ids[n:], scores[n:, k], strict=True)),
        )
        for k in range(K)
    }


def upper_bounds(results: dict[str, ResultScores], confidence: float = 0.95) -> dict[str, float]:
    """Each AUC's bound at the full confidence, as ``certify`` decides by: all must hold."""
    reach = float(norm.ppf(confidence))
    return {
        name: auc_bound(list(r.members.values()), list(r.non_members.values()), reach, lower=False)
        for name, r in results.items()
    }


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_the_critical_value_is_that_of_equally_correlated_normals(correlation: float) -> None:
    bounds = simultaneous_lower_bounds(audit(np.random.default_rng(1), 3000, 0.6, correlation))
    # Ranks are a little less correlated than the scores (Pearson 1907).
    ranks = 6 / math.pi * math.asin(correlation / 2)
    assert bounds.correlation == pytest.approx(ranks, abs=0.03)
    assert _all_under(bounds.critical_value, K, bounds.correlation) == pytest.approx(0.95, abs=5e-3)


@pytest.mark.slow
def test_the_error_over_the_whole_audit_is_kept() -> None:
    draws, wrong, uncorrected = np.random.default_rng(0), 0, 0
    for _ in range(80):
        results = audit(draws, 60, 0.6)
        wrong += max(simultaneous_lower_bounds(results).bounds.values()) > 0.6
        alone = [
            auc_bound(list(r.members.values()), list(r.non_members.values()), 1.645, lower=True)
            for r in results.values()
        ]
        uncorrected += max(alone) > 0.6
    assert wrong / 80 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 80)
    assert uncorrected / 80 > 0.12  # what the correction is for


def test_a_clean_model_is_certified_at_400() -> None:
    draws = np.random.default_rng(0)
    clean = [max(upper_bounds(audit(draws, 400, 0.5)).values()) for _ in range(20)]
    edge = [upper_bounds(audit(draws, 400, 0.6))["result 0"] for _ in range(20)]
    assert np.mean(np.array(clean) <= 0.6) >= 0.8
    assert np.mean(np.array(edge) <= 0.6) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 20)


levels = st.lists(st.integers(0, 4), min_size=3, max_size=12)


@settings(max_examples=25)
@given(st.lists(st.tuples(levels, levels), min_size=1, max_size=5), st.floats(0.6, 0.99))
def test_never_worse_than_bonferroni_nor_better_than_alone(
    sides: list[tuple[list[int], list[int]]], confidence: float
) -> None:
    results = {
        str(i): ResultScores(
            {f"m{j}": float(x) for j, x in enumerate(a)},
            {f"n{j}": float(x) for j, x in enumerate(b)},
        )
        for i, (a, b) in enumerate(sides)
    }
    together = simultaneous_lower_bounds(results, confidence)
    shared = float(norm.ppf(1 - (1 - confidence) / len(sides)))
    for name, (a, b) in zip(results, sides, strict=True):
        low = together.bounds[name]
        assert low >= auc_bound(a, b, shared, lower=True) - 1e-12
        assert low <= auc_bound(a, b, float(norm.ppf(confidence)), lower=True) + 1e-12
        assert low <= auc(a, b) <= upper_bounds(results, confidence)[name]
    assert together == simultaneous_lower_bounds(results, confidence)


def test_results_of_different_samples_pay_for_each_other() -> None:
    results = audit(np.random.default_rng(2), 200, 0.6, 0.9)
    apart = {
        name: ResultScores(
            {f"{name}/{i}": x for i, x in result.members.items()},
            {f"{name}/{i}": x for i, x in result.non_members.items()},
        )
        for name, result in results.items()
    }
    shared, separate = simultaneous_lower_bounds(results), simultaneous_lower_bounds(apart)
    assert separate.correlation == 0
    assert separate.critical_value > shared.critical_value + 0.3
    # A result whose scores do not vary deviates by itself, too.
    flat = {"flat": ResultScores({"0": 1.0, "1": 1.0}, {"200": 1.0, "201": 1.0})}
    alone = {"one": results["result 0"]}
    both = simultaneous_lower_bounds(alone | flat)
    assert both.bounds["flat"] == 0.0
    assert both.critical_value > simultaneous_lower_bounds(alone).critical_value


def test_mistakes_are_named() -> None:
    with pytest.raises(ScoreError, match="0 results"):
        simultaneous_lower_bounds({})
    one = {"I": ResultScores({"a": 1.0, "b": 2.0}, {"c": float("nan"), "d": 0.0})}
    with pytest.raises(ScoreError, match="1 of 2 non-member scores are not finite"):
        simultaneous_lower_bounds(one)
    with pytest.raises(SettingError, match=r"confidence=0\.4 is outside"):
        simultaneous_lower_bounds(one, 0.4)
