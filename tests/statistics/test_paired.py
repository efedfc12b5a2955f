"""Changes of an AUC: against DeLong's formula by loops, against simulation, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics import (
    AucChange,
    ResultScores,
    auc,
    auc_bound,
    auc_change,
    change_bounds,
    change_reach,
    detectable_rise,
)

whole = st.integers(-5, 5)
few = settings(max_examples=25)


@st.composite
def two_models(draw: st.DrawFn) -> tuple[ResultScores, ResultScores]:
    """Scores of the same samples by two models, with ties."""
    m, n = draw(st.integers(2, 15)), draw(st.integers(2, 15))
    rows = draw(st.lists(st.tuples(whole, whole), min_size=m + n, max_size=m + n))
    return tuple(  # type: ignore[return-value]
        ResultScores(
            {f"m{i}": float(row[k]) for i, row in enumerate(rows[:m])},
            {f"n{i}": float(row[k]) for i, row in enumerate(rows[m:])},
        )
        for k in (0, 1)
    )


def renamed(result: ResultScores) -> ResultScores:
    return ResultScores(
        {f"other {name}": score for name, score in result.members.items()},
        {f"other {name}": score for name, score in result.non_members.items()},
    )


def drawn(
    draws: np.random.Generator, n: int, values: tuple[float, float], correlation: float
) -> list[ResultScores]:
    """Normal scores of the same 2n samples by models with these AUCs."""
    common, own = draws.normal(size=(2 * n, 1)), draws.normal(size=(2 * n, 2))
    scores = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    scores[:n] += norm.ppf(values) * math.sqrt(2)
    ids = [str(i) for i in range(2 * n)]
    return [
        ResultScores(
            dict(zip(ids[:n], scores[:n, k], strict=True)),
            dict(zip(ids[n:], scores[n:, k], strict=True)),
        )
        for k in (0, 1)
    ]


def by_loops(old: ResultScores, new: ResultScores) -> float:
    """DeLong's correlation of two AUCs, from his structural components, written out."""

    def components(result: ResultScores) -> tuple[list[float], list[float]]:
        members, others = result.members.values(), result.non_members.values()
        wins = [[(a > b) + 0.5 * (a == b) for b in others] for a in members]
        return [float(np.mean(row)) for row in wins], [
            float(np.mean(column)) for column in zip(*wins, strict=True)
        ]

    pairs = list(zip(components(old), components(new), strict=True))
    total = sum(np.cov(np.array(pair), ddof=0) / len(pair[0]) for pair in pairs)
    if total[0, 0] == 0 or total[1, 1] == 0:
        return 0.0
    return float(total[0, 1] / math.sqrt(total[0, 0] * total[1, 1]))


@few
@given(two_models())
def test_the_correlation_is_delongs_less_five_samples(
    models: tuple[ResultScores, ResultScores],
) -> None:
    old, new = models
    k = min(len(old.members), len(old.non_members))
    found = auc_change(old, new)
    assert found.n_shared == len(old.members) + len(old.non_members)
    assert found.correlation == pytest.approx(by_loops(old, new) * k / (k + 5), abs=1e-9)


@few
@given(two_models(), st.floats(0.6, 0.99))
def test_swapped_models_swap_the_change(
    models: tuple[ResultScores, ResultScores], confidence: float
) -> None:
    rise, fall = auc_change(*models, confidence), auc_change(*reversed(models), confidence)
    assert fall.change == pytest.approx(-rise.change)
    assert (fall.low, fall.high) == pytest.approx((-rise.high, -rise.low), abs=1e-9)
    assert fall.p_value == pytest.approx(1 - rise.p_value, abs=1e-9)
    assert -1 <= rise.low <= rise.change <= rise.high <= 1
    assert rise.change == pytest.approx(rise.new - rise.old)
    assert rise.low < rise.high


@few
@given(two_models())
def test_ranks_alone_count(models: tuple[ResultScores, ResultScores]) -> None:
    old, new = models
    stretched = ResultScores(
        {name: math.exp(score) for name, score in new.members.items()},
        {name: math.exp(score) for name, score in new.non_members.items()},
    )
    assert auc_change(old, stretched) == auc_change(old, new)


@few
@given(two_models(), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_rise_is_shown_where_its_p_value_says_so(
    models: tuple[ResultScores, ResultScores], error: float
) -> None:
    p = auc_change(*models).p_value
    reach = float(norm.isf(error))
    low, _ = change_bounds(*models, reach, reach)
    if abs(p - error) > 1e-6:
        assert (low > 0) == (p < error)


@few
@given(two_models())
def test_other_samples_are_two_independent_aucs(
    models: tuple[ResultScores, ResultScores],
) -> None:
    old, new = models
    found = auc_change(renamed(old), new, 0.9)
    assert (found.correlation, found.n_shared) == (0.0, 0)
    reach = float(norm.ppf(0.95))
    below = found.new - auc_bound(
        list(new.members.values()), list(new.non_members.values()), reach, lower=True
    )
    above = found.old - auc_bound(
        list(old.members.values()), list(old.non_members.values()), reach, lower=False
    )
    assert found.low == pytest.approx(max(-1, found.change - math.hypot(below, above)))


def test_a_part_of_the_samples_in_common_pairs_that_part() -> None:
    old, new = drawn(np.random.default_rng(3), 60, (0.6, 0.6), 0.8)
    half = ResultScores(
        {name if int(name) % 2 else f"x{name}": s for name, s in old.members.items()},
        {name if int(name) % 2 else f"x{name}": s for name, s in old.non_members.items()},
    )
    whole_, part, none = (auc_change(o, new) for o in (old, half, renamed(old)))
    assert (whole_.n_shared, part.n_shared, none.n_shared) == (120, 60, 0)
    assert 0 < part.correlation < whole_.correlation
    assert whole_.high - whole_.low < part.high - part.low < none.high - none.low


def test_samples_that_changed_sides_widen_the_interval() -> None:
    # A member of one release that is a non-member of the next pushes both AUCs apart.
    old, new = drawn(np.random.default_rng(3), 60, (0.6, 0.6), 0.8)
    crossed = ResultScores(old.non_members, old.members)
    found = auc_change(crossed, new)
    assert found.correlation < -0.3
    apart = auc_change(renamed(crossed), new)
    assert found.standard_error > apart.standard_error


@pytest.mark.parametrize("n", [2, 30])
def test_where_both_are_apart_nothing_is_proved(n: int) -> None:
    apart = ResultScores(
        {f"m{i}": 1.0 + i for i in range(n)}, {f"n{i}": -float(i) for i in range(n)}
    )
    found = auc_change(apart, apart)
    assert (found.change, found.p_value, found.correlation) == (0.0, 0.5, 0.0)
    assert found.low == pytest.approx(-(1 - 0.025 ** (1 / n)))
    assert found.high == pytest.approx(1 - 0.025 ** (1 / n))


def test_from_chance_to_apart_is_shown_by_enough_samples() -> None:
    draws = np.random.default_rng(0)
    for n, shown in ((3, False), (30, True)):
        old, _ = drawn(draws, n, (0.5, 0.5), 0.5)
        new = ResultScores(
            {name: 9.0 + i for i, name in enumerate(old.members)},
            {name: -float(i) for i, name in enumerate(old.non_members)},
        )
        found = auc_change(old, new)
        assert found.new == 1.0
        assert (found.low > 0) == shown
        assert (found.p_value < 0.025) == shown


def test_constant_scores_prove_neither_a_rise_nor_a_fall() -> None:
    old, _ = drawn(np.random.default_rng(0), 200, (0.55, 0.5), 0.5)
    flat = ResultScores(dict.fromkeys(old.members, 1.0), dict.fromkeys(old.non_members, 1.0))
    found = auc_change(old, flat)
    assert found.low < -0.5
    assert found.high > 0.4


def test_mistakes_are_named() -> None:
    good = ResultScores({"a": 1.0, "b": 2.0}, {"c": 0.0, "d": 3.0})
    with pytest.raises(ScoreError, match="1 of 2 member scores are not finite"):
        auc_change(good, ResultScores({"a": math.nan, "b": 2.0}, {"c": 0.0, "d": 3.0}))
    with pytest.raises(ScoreError, match="1 member and 2 non-member"):
        auc_change(ResultScores({"a": 1.0}, {"c": 0.0, "d": 3.0}), good)
    with pytest.raises(SettingError, match="confidence=1 is outside"):
        auc_change(good, good, 1)
    with pytest.raises(ScoreError, match="0 results"):
        change_reach({})
    with pytest.raises(SettingError, match=r"confidence=0\.4 is outside"):
        change_reach({"I": (good, good)}, 0.4)


# -- by simulation


def share_shown(
    n: int, values: tuple[float, float], correlation: float, *, paired: bool, rounds: int = 400
) -> float:
    draws, shown = np.random.default_rng(11), 0
    for _ in range(rounds):
        old, new = drawn(draws, n, values, correlation)
        pair = (old if paired else renamed(old), new)
        shown += change_bounds(*pair, *[float(norm.ppf(0.95))] * 2)[0] > 0
    return shown / rounds


def test_power_grows_with_pairing() -> None:
    unpaired = share_shown(60, (0.55, 0.65), 0.9, paired=False, rounds=120)
    paired = share_shown(60, (0.55, 0.65), 0.9, paired=True, rounds=120)
    closer = share_shown(60, (0.55, 0.65), 0.97, paired=True, rounds=120)
    assert unpaired + 0.3 < paired < closer


def test_samples_of_each_class_show_the_rise_that_is_promised() -> None:
    old, new = drawn(np.random.default_rng(5), 200, (0.55, 0.55), 0.8)
    found: AucChange = auc_change(old, new)
    rise = detectable_rise(found, float(norm.ppf(0.95)))
    assert 0.02 < rise < 0.15
    assert share_shown(200, (0.55, 0.55 + rise), 0.8, paired=True, rounds=120) == pytest.approx(
        0.8, abs=0.12
    )


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("value", [0.55, 0.9])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [20, 60])
def test_false_alarms_stay_at_the_stated_level(n: int, correlation: float, value: float) -> None:
    shown = share_shown(n, (value, value), correlation, paired=True, rounds=2000)
    assert shown <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def audit(draws: np.random.Generator, n: int) -> dict[str, tuple[ResultScores, ResultScores]]:
    """Six results of two clean models, whose scores share the samples."""
    common = draws.normal(size=(2 * n, 1))
    pairs = {}
    ids = [str(i) for i in range(2 * n)]
    model = [0.5 * common + draws.normal(size=(2 * n, 1)) for _ in range(2)]
    for k in range(6):
        both = []
        for each in model:
            scores = (each + 0.7 * draws.normal(size=(2 * n, 1)))[:, 0]
            both.append(
                ResultScores(
                    dict(zip(ids[:n], scores[:n], strict=True)),
                    dict(zip(ids[n:], scores[n:], strict=True)),
                )
            )
        pairs[str(k)] = (both[0], both[1])
    return pairs


def test_one_decision_for_all_results_costs_less_than_bonferroni() -> None:
    pairs = audit(np.random.default_rng(2), 100)
    reach = change_reach(pairs)
    assert norm.ppf(0.95) < reach < norm.ppf(1 - 0.05 / 6)
    assert change_reach({"0": pairs["0"]}) == pytest.approx(norm.ppf(0.95))
    assert change_reach(pairs) == reach
    # What moves no sample is independent of the others: models that agree to the last bit.
    same = {name: (new, new) for name, (_, new) in pairs.items()}
    assert change_reach(same) == pytest.approx(norm.ppf(0.95 ** (1 / 6)), abs=0.02)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_error_over_the_whole_audit_is_kept() -> None:
    draws, wrong, uncorrected = np.random.default_rng(1), 0, 0
    for _ in range(400):
        pairs = audit(draws, 60)
        reach = change_reach(pairs)
        wrong += any(change_bounds(*pair, reach, reach)[0] > 0 for pair in pairs.values())
        uncorrected += any(
            change_bounds(*pair, *[float(norm.ppf(0.95))] * 2)[0] > 0 for pair in pairs.values()
        )
    assert wrong / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert uncorrected / 400 > 0.1  # what the correction is for


def test_aucs_are_those_of_the_scores() -> None:
    old, new = drawn(np.random.default_rng(9), 30, (0.7, 0.8), 0.5)
    found = auc_change(old, new)
    for value, result in ((found.old, old), (found.new, new)):
        assert value == auc(list(result.members.values()), list(result.non_members.values()))
