"""AUC, success rate and TPR at a low FPR, against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import ScoreError
from privaudit.gate import decide
from privaudit.statistics import auc, success_rate, tpr_at_fpr

scores = st.lists(st.integers(-9, 9), min_size=1, max_size=40)


@given(scores, scores)
def test_auc_counts_pairs_and_half_the_ties(members: list[int], non_members: list[int]) -> None:
    pairs = [(m > n) + 0.5 * (m == n) for m in members for n in non_members]
    assert auc(members, non_members) == pytest.approx(np.mean(pairs))
    assert auc(members, non_members) == pytest.approx(1 - auc(non_members, members))
    assert auc(members, non_members) == auc(np.exp(members), np.exp(non_members))


@given(scores, scores, st.sampled_from([0.01, 0.1, 0.5]))
def test_tpr_is_the_best_that_keeps_the_fpr(
    members: list[int], non_members: list[int], target: float
) -> None:
    point = tpr_at_fpr(members, non_members, target)
    if len(non_members) * target < 1 - 1e-9:
        assert point is None
        return
    reachable = [
        np.mean(np.array(members) > t)
        for t in range(-11, 11)
        if np.mean(np.array(non_members) > t) <= target
    ]
    assert point is not None
    assert point.tpr == max(reachable)
    assert point.fpr <= target
    assert point.true_positives == round(point.tpr * len(members))


def test_success_rate_weighs_both_classes_alike() -> None:
    assert success_rate([1, 1, 0, 0], [0], 0.5) == 0.75


@pytest.mark.parametrize(("members", "said"), [([], "0 member"), ([np.nan, 1], "1 of 2 member")])
def test_empty_and_nan_are_refused(members: list[float], said: str) -> None:
    for statistic in (auc, lambda a, b: tpr_at_fpr(a, b, 0.5), lambda a, b: success_rate(a, b, 0)):
        with pytest.raises(ScoreError, match=said):
            statistic(members, [0.0, 1.0])


@given(st.floats(0, 1), st.floats(0.5, 1), st.floats(0.5, 1))
def test_verdicts_are_monotone_in_the_budget(value: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if decide(value, low) == "pass":
        assert decide(value, high) == "pass"


def test_nan_never_passes() -> None:
    assert decide(float("nan"), 1.0) == "fail"
    assert decide(0.6, 0.6) == "pass"
