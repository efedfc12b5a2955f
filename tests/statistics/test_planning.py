"""What is said of a gate beforehand, against simulation and against every ordering."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from privaudit.errors import SettingError
from privaudit.statistics import (
    ResultScores,
    auc_bound,
    false_red_rate,
    least_for_a_verdict,
    samples_to_decide,
    simultaneous_lower_bounds,
)
from tests.statistics.test_simultaneous import upper_bounds


def clean_aucs(m: int, n: int, k: int, correlation: float, audits: int, seed: int) -> np.ndarray:
    """AUCs of k results of clean models, shape (audits, k)."""
    draws = np.random.default_rng(seed)
    common = draws.normal(size=(audits, m + n, 1))
    scores = math.sqrt(correlation) * common
    scores = scores + math.sqrt(1 - correlation) * draws.normal(size=(audits, m + n, k))
    ranks = rankdata(scores, axis=1)
    return np.asarray((ranks[:, :m].sum(axis=1) - m * (m + 1) / 2) / (m * n))


@pytest.mark.parametrize(("m", "n"), [(50, 50), (100, 100), (20, 200)])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_false_red_rate_is_what_simulation_finds(m: int, n: int, correlation: float) -> None:
    aucs = clean_aucs(m, n, 12, correlation, audits=2000, seed=3)
    ranks = 6 / math.pi * math.asin(correlation / 2)
    for budget, observed in ((0.55, None), (0.6, None), (0.6, 0.62)):
        rate = false_red_rate(m, n, budget, 12, ranks, auc=observed)
        red = aucs.max(axis=1) > budget if observed is None else aucs.max(axis=1) >= observed
        assert rate == pytest.approx(red.mean(), abs=0.04)


def test_the_false_red_rate_counts_whole_pairs() -> None:
    # Every ordering of 8 + 8: how many have more than 48 of the 64 pairs.
    above = [sum(members) - 28 > 48 for members in itertools.combinations(range(16), 8)]
    assert false_red_rate(8, 8, 0.75) == pytest.approx(np.mean(above), abs=0.002)
    assert false_red_rate(2, 2, 0.75) == false_red_rate(2, 2, 0.9)


@pytest.mark.slow
def test_so_many_samples_decide_both_ways() -> None:
    n = samples_to_decide(0.6, 12, 6 / math.pi * math.asin(0.3))
    assert n is not None
    draws, passed, failed = np.random.default_rng(0), 0, 0
    ids = [str(i) for i in range(2 * n)]
    for _ in range(40):
        common, own = draws.normal(size=(2 * n, 1)), draws.normal(size=(2 * n, 12))
        scores = math.sqrt(0.6) * common + math.sqrt(0.4) * own
        leak = np.array([norm.ppf(0.7) * math.sqrt(2)] + [0.0] * 11)
        for shift in (0.0, leak):
            members = scores[:n] + shift
            results = {
                str(k): ResultScores(
                    dict(zip(ids[:n], members[:, k], strict=True)),
                    dict(zip(ids[n:], scores[n:, k], strict=True)),
                )
                for k in range(12)
            }
            if np.ndim(shift) == 0:
                passed += max(upper_bounds(results).values()) <= 0.6
            else:
                failed += max(simultaneous_lower_bounds(results).bounds.values()) > 0.6
    assert passed / 40 >= 0.8 - 3 * math.sqrt(0.16 / 40)
    assert failed / 40 >= 0.8 - 3 * math.sqrt(0.16 / 40)
    assert samples_to_decide(0.6, 12, leak=0.65) > n  # type: ignore[operator]
    assert samples_to_decide(0.6, leak=0.6 + 1e-6) is None


@pytest.mark.parametrize("budget", [0.6, 0.75])
def test_below_the_least_no_ordering_leads_to_a_verdict(budget: float) -> None:
    least, reach = least_for_a_verdict(budget), norm.ppf(0.95)
    for n in range(2, 6):
        orderings = itertools.combinations(range(2 * n), n)
        sides = [(list(m), sorted(set(range(2 * n)) - set(m))) for m in orderings]
        fails = any(auc_bound(*side, reach, lower=True) > budget for side in sides)
        passes = any(auc_bound(*side, reach, lower=False) <= budget for side in sides)
        assert fails == (n >= least.to_fail)
        assert passes == (n >= least.to_pass)
    apart = np.arange(least.to_fail) + 100.0, np.arange(least.to_fail)
    assert auc_bound(*apart, reach, lower=True) > budget


def test_mistakes_are_named() -> None:
    for said, arguments in (
        ("budget=0.5 is outside", (50, 50, 0.5)),
        ("k=0", (50, 50, 0.6, 0)),
        ("correlation=2 is outside", (50, 50, 0.6, 2, 2)),
        ("0 members and 50 non-members", (0, 50, 0.6)),
    ):
        with pytest.raises(SettingError, match=said):
            false_red_rate(*arguments)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"leak=0\.55 is outside"):
        samples_to_decide(0.6, leak=0.55)
    with pytest.raises(SettingError, match=r"power=0\.3 is outside"):
        samples_to_decide(0.6, power=0.3)
