"""An AUC is a count of pairs, and compares with the budget as one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import SettingError
from privaudit.statistics import PairCounts, auc, count_pairs

scores = st.lists(st.integers(-9, 9), min_size=1, max_size=40)


def with_wins(wins: int, m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """So many won pairs of m times n, none tied: each member is above its share."""
    non_members = np.arange(n) + 0.5
    per_member = [wins // m + (i < wins % m) for i in range(m)]
    return np.array(per_member, dtype=float), non_members


def ties_with_a_budget() -> list[tuple[int, int, int, str]]:
    """Every (wins, m, n) of small classes whose AUC is a budget of two decimals."""
    return [
        (hundredths * m * n // 100, m, n, f"0.{hundredths:02d}")
        for m, n in ((10, 10), (20, 20), (20, 25), (25, 40), (50, 50), (13, 100), (7, 300))
        for hundredths in range(51, 100)
        if hundredths * m * n % 100 == 0
    ]


def test_an_auc_equal_to_the_budget_does_not_exceed_it() -> None:
    ties = ties_with_a_budget()
    assert len(ties) > 200
    assert (240, 20, 20, "0.60") in ties
    for wins, m, n, budget in ties:
        sides = with_wins(wins, m, n)
        assert count_pairs(*sides) == PairCounts(wins, 0, m * n)
        assert not count_pairs(*sides).exceeds(float(budget))
        assert not count_pairs(*sides).exceeds(Decimal(budget))
        assert auc(*sides) == float(budget)  # so a plain comparison is right, too
        assert count_pairs(*with_wins(wins + 1, m, n)).exceeds(float(budget))


@given(scores, scores)
def test_counts_are_what_two_loops_count(members: list[int], non_members: list[int]) -> None:
    counts = count_pairs(members, non_members)
    assert counts.wins == sum(m > n for m in members for n in non_members)
    assert counts.ties == sum(m == n for m in members for n in non_members)
    assert counts.fraction == Fraction(2 * counts.wins + counts.ties, 2 * counts.pairs)
    assert counts.auc == auc(members, non_members) == float(counts.fraction)
    assert counts.exceeds(0.5) == (counts.fraction > Fraction(1, 2))


@pytest.mark.parametrize("budget", ["much", float("nan"), float("inf")])
def test_a_budget_that_is_no_number_is_refused(budget: object) -> None:
    with pytest.raises(SettingError, match="is not a number to compare an AUC with"):
        count_pairs([1.0], [0.0]).exceeds(budget)  # type: ignore[arg-type]


def test_a_numpy_budget_is_read_as_it_is_printed() -> None:
    sides = with_wins(240, 20, 20)
    assert not count_pairs(*sides).exceeds(np.float64(0.6))
    assert not count_pairs(*sides).exceeds(np.float32(0.6))
