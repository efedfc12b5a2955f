"""Bounds on ε: valid whatever the scores look like, and as tight as published."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics import (
    Bonferroni,
    EpsilonBound,
    Fixed,
    Rule,
    TopShare,
    epsilon_from_rates,
    epsilon_one_run,
    least_samples,
)
from privaudit.statistics.epsilon import one_run_p_value
from privaudit.statistics.gaussian import gaussian_delta, gaussian_epsilon, gaussian_mu, refuted

# Where one fixed tie-break gave constant scores a bound above 0, and a thinned range.
SIZES = sorted({220, 340, 392, 404, 912, 1108, *range(60, 1201, 95)})
Ids = tuple[list[str], list[str]]


def coins(n: int, draws: int, seed: int) -> Iterator[tuple[np.ndarray, Ids]]:
    """Fair coins of n samples, and their ids on each side."""
    flips = np.random.default_rng([seed, n]).random((draws, n)) < 0.5
    names = np.array([f"{i:04d}.png" for i in range(n)])
    for heads in flips:
        yield heads, (names[heads].tolist(), names[~heads].tolist())


def share_above(
    truth: float, bound: Callable[[np.ndarray, Ids, np.random.Generator], EpsilonBound], draws: int
) -> dict[int, float]:
    """How often a bound is above the truth, at each size."""
    rng = np.random.default_rng(5)
    return {
        n: float(np.mean([bound(h, ids, rng).epsilon > truth for h, ids in coins(n, draws, 1)]))
        for n in SIZES
    }


def check_error(shares: dict[int, float], draws: int) -> None:
    """At most 5 % at each size, and over all of them, to three standard errors."""
    for n, share in shares.items():
        assert share <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / draws), (n, share)
    total = draws * len(shares)
    assert np.mean(list(shares.values())) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / total)


@pytest.mark.parametrize("rule", [Bonferroni(), TopShare()])
def test_constant_scores_prove_nothing_at_any_size(rule: Rule) -> None:
    def bound(heads: np.ndarray, ids: Ids, _: np.random.Generator) -> EpsilonBound:
        sides = np.zeros(heads.sum()), np.zeros((~heads).sum())
        return epsilon_one_run(*sides, delta=0.0, rule=rule, ids=ids)

    check_error(share_above(0.0, bound, draws=100), 100)


def test_randomised_response_with_two_levels_is_not_over_its_epsilon() -> None:
    keep = math.e / (1 + math.e)

    def bound(heads: np.ndarray, ids: Ids, rng: np.random.Generator) -> EpsilonBound:
        told = np.where(rng.random(len(heads)) < keep, heads, ~heads).astype(float)
        return epsilon_one_run(told[heads], told[~heads], delta=0.0, ids=ids)

    check_error(share_above(1.0, bound, draws=60), 60)


def test_without_ids_a_tie_is_a_wrong_guess() -> None:
    bound = epsilon_one_run([0.0] * 100, [0.0] * 100, delta=0.0)
    assert (bound.epsilon, bound.correct) == (0.0, 0)
    keep = np.random.default_rng(0).random(200) < 0.9
    told = np.where(keep, np.repeat([1.0, 0.0], 100), np.repeat([0.0, 1.0], 100))
    weakest = epsilon_one_run(told[:100], told[100:], delta=0.0, rule=TopShare())
    for salt in range(20):
        names = [f"{salt}/{i}" for i in range(200)]
        ids = (names[:100], names[100:])
        bound = epsilon_one_run(told[:100], told[100:], delta=0.0, ids=ids, rule=TopShare())
        assert bound.epsilon > weakest.epsilon


def test_the_order_of_the_samples_does_not_matter() -> None:
    heads, ids = next(coins(200, 1, 0))
    scores = np.random.default_rng(0).integers(0, 3, 200).astype(float)
    bound = epsilon_one_run(scores[heads], scores[~heads], delta=0.0, ids=ids)
    turned = epsilon_one_run(
        scores[heads][::-1], scores[~heads][::-1], delta=0.0, ids=(ids[0][::-1], ids[1][::-1])
    )
    assert turned == bound


# -- the Gaussian hypothesis


def test_the_gaussian_curve_is_the_supremum_over_events() -> None:
    # δ(ε) of two normals one μ apart, by a fine grid of thresholds.
    cuts = np.linspace(-10, 12, 200_001)
    for epsilon, mu in ((0.5, 0.3), (1.0, 1.0), (4.0, 1.5)):
        gain = stats.norm.sf(cuts - mu) - math.exp(epsilon) * stats.norm.sf(cuts)
        assert gaussian_delta(epsilon, mu) == pytest.approx(gain.max(), abs=1e-8)
        delta = gaussian_delta(epsilon, mu)
        assert gaussian_epsilon(mu, delta) == pytest.approx(epsilon, abs=1e-6)
        assert gaussian_mu(epsilon, delta) == pytest.approx(mu, abs=1e-6)


def test_the_walk_allows_what_a_gaussian_mechanism_does() -> None:
    # Two coins, both guessed by the sign of x - μ/2: v right has probability q².
    for mu in (0.5, 1.0, 2.0):
        q = stats.norm.cdf(mu / 2)
        for correct, chance in ((2, q * q), (1, 1 - (1 - q) ** 2)):
            assert not refuted(correct, 2, 2, np.array([mu]), chance * 0.999)[0]
    # With a single guess the bound is sharp: q / (1 - q) is what the curve allows.
    q = stats.norm.cdf(0.5)
    assert refuted(1, 1, 1, np.array([1.0]), q * 1.001)[0]


def gaussian_mechanism(n: int, epsilon: float, seed: int) -> tuple[np.ndarray, np.ndarray, Ids]:
    heads, ids = next(coins(n, 1, seed))
    scores = np.random.default_rng([seed, n, 9]).normal(size=n)
    scores += gaussian_mu(epsilon, 1e-5) * heads
    return scores[heads], scores[~heads], ids


def test_epsilon_4_is_bounded_as_tightly_as_issue_11_asks() -> None:
    bounds: dict[str, list[float]] = {"any": [], "gaussian": []}
    for seed in range(15):
        members, non_members, ids = gaussian_mechanism(1000, 4.0, seed)
        for hypothesis in ("any", "gaussian"):
            bound = epsilon_one_run(
                members, non_members, delta=1e-5, ids=ids, hypothesis=hypothesis
            )
            assert bound.epsilon <= 4.0
            assert bound.epsilon <= bound.provable
            bounds[hypothesis].append(bound.epsilon)
    assert np.mean(bounds["any"]) >= 1.4
    assert np.mean(bounds["gaussian"]) >= 1.8


def test_no_noise_at_all_is_refuted_by_few_canaries() -> None:
    # A fine-tune that forgot its noise tells all 500 canaries apart.
    heads, ids = next(coins(500, 1, 3))
    scores = heads.astype(float) + np.random.default_rng(0).normal(0, 0.01, 500)
    sides = scores[heads], scores[~heads]
    assert epsilon_one_run(*sides, delta=1e-5, ids=ids, hypothesis="gaussian").epsilon > 8
    assert epsilon_one_run(*sides, delta=1e-5, ids=ids).epsilon < 8


# -- what could be refuted


@pytest.mark.parametrize(("hypothesis", "claim"), [("any", 3.0), ("gaussian", 8.0)])
def test_least_samples_is_where_a_bound_passes_the_claim(hypothesis: str, claim: float) -> None:
    rule, delta = TopShare(1.0), 1e-6
    n = least_samples(claim, delta=delta, rule=rule, hypothesis=hypothesis)  # type: ignore[arg-type]
    assert n is not None
    for size, refutes in ((n + n % 2, True), (n - 2 - n % 2, False)):
        sides = np.ones(size // 2), np.zeros(size // 2)
        bound = epsilon_one_run(*sides, delta=delta, rule=rule, hypothesis=hypothesis)  # type: ignore[arg-type]
        assert (bound.epsilon > claim - 1e-4) == refutes
        assert bound.provable == bound.epsilon


def test_a_claim_of_8_needs_tens_of_thousands() -> None:
    # Six results share the error, half of the samples are guessed: issue 11's 28,500.
    level = 1 - 0.05 / 6
    needed = least_samples(8.0, delta=0.0, confidence=level, rule=TopShare())
    assert needed == pytest.approx(28_500, rel=0.01)
    assert least_samples(8.0, delta=1e-3, confidence=level) is None
    canaries = least_samples(8.0, delta=1e-5, hypothesis="gaussian")
    assert canaries is not None
    assert canaries <= 500


def test_a_window_of_sizes_is_not_stepped_over() -> None:
    # At δ = 1.007e-5 all right guesses refute 8 between some 26,000 and 33,000 coins only.
    def p_value(n: int) -> float:
        return one_run_p_value(n, n, n, 8.0, 1.007e-5)

    smallest = min(p_value(n) for n in range(18_000, 60_000, 2_000))
    assert p_value(16_384) > smallest * 1.02
    level = 1 - smallest * 1.005
    needed = least_samples(8.0, delta=1.007e-5, confidence=level, rule=TopShare(1.0))
    assert needed is not None
    assert p_value(needed) < 1 - level


def test_mistakes_are_named() -> None:
    for said, arguments in (
        ("delta=1 is outside", {"delta": 1}),
        ("confidence=0 is outside", {"delta": 0, "confidence": 0}),
        ("hypothesis='laplace' is unknown", {"delta": 0, "hypothesis": "laplace"}),
        ("no Gaussian mechanism is private at delta=0", {"delta": 0, "hypothesis": "gaussian"}),
    ):
        with pytest.raises(SettingError, match=said):
            epsilon_one_run([1], [0], **arguments)  # type: ignore[arg-type]
    for rule, share in ((TopShare, 0.0), (Bonferroni, (0.5, 2.0)), (Bonferroni, ())):
        with pytest.raises(SettingError):
            rule(share)  # type: ignore[operator]
    with pytest.raises(ScoreError, match="1 and 2 ids do not name"):
        epsilon_one_run([1], [0], delta=0, ids=(["a"], ["b", "c"]))
    with pytest.raises(ScoreError, match="1 ids are given twice"):
        epsilon_one_run([1], [0], delta=0, ids=(["a"], ["a"]))
    with pytest.raises(SettingError, match="claim=0 is outside"):
        least_samples(0, delta=0)


# -- as before


def test_one_run_p_value_written_out() -> None:
    # With delta 0 it is the binomial tail of randomised response.
    chance = math.exp(1.5) / (1 + math.exp(1.5))
    assert one_run_p_value(45, 50, 100, 1.5, 0) == pytest.approx(
        stats.binomtest(45, 50, chance, alternative="greater").pvalue
    )
    # And the correction of delta, term by term.
    tail = stats.binom.sf(44, 50, chance)
    slack = max(
        sum(stats.binom.pmf(45 - j, 50, chance) for j in range(1, i + 1)) / i for i in range(1, 46)
    )
    assert one_run_p_value(45, 50, 100, 1.5, 1e-3) == pytest.approx(tail + 2 * 100 * 1e-3 * slack)


def test_bounds_of_randomised_response_are_valid_and_not_empty() -> None:
    draws = np.random.default_rng(0)
    true, n, wrong = 2.0, 400, {"one run": 0, "fixed": 0, "rates": 0}
    keep = math.exp(true) / (1 + math.exp(true))
    largest = 0.0
    for _ in range(100):
        told = np.where(draws.random(2 * n) < keep, 1.0, 0.0)
        members, non_members = told[:n], 1 - told[n:]
        jitter = draws.random(2 * n) * 0.1
        one = epsilon_one_run(members + jitter[:n], non_members + jitter[n:], delta=0)
        fixed = epsilon_one_run(members, non_members, delta=0, rule=Fixed(0.5))
        two = epsilon_from_rates(members, non_members, delta=0, threshold=0.5)
        wrong["one run"] += one.epsilon > true
        wrong["fixed"] += fixed.epsilon > true
        wrong["rates"] += two.epsilon > true
        largest = max(largest, one.epsilon)
    assert max(wrong.values()) <= 100 * 0.05 + 3 * math.sqrt(100 * 0.05 * 0.95)
    assert largest > 1.2


def test_delta_only_lowers_it_and_no_leak_is_no_epsilon() -> None:
    draws = np.random.default_rng(3)
    members, non_members = draws.normal(3, 1, 200), draws.normal(0, 1, 200)

    def rates(a: np.ndarray, b: np.ndarray, delta: float) -> EpsilonBound:
        return epsilon_from_rates(a, b, delta=delta, threshold=1.5)

    for bound in (lambda a, b, delta: epsilon_one_run(a, b, delta=delta), rates):
        values = [bound(members, non_members, delta=d).epsilon for d in (0, 1e-4, 1e-2, 0.5)]
        assert values == sorted(values, reverse=True)
        assert values[0] > 1
        assert bound(non_members, non_members, delta=0).epsilon == 0
