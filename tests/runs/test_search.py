"""The search for the last checkpoint within a budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.runs import last_within, most_looks


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 10, 31, 100])
def test_a_leak_that_grows_is_found_with_few_looks(n: int) -> None:
    for n_within in range(n + 1):
        looked: list[int] = []

        def look(place: int, looked: list[int] = looked, n_within: int = n_within) -> bool:
            looked.append(place)
            return place < n_within

        found = last_within(range(n), look)
        assert found == (n_within - 1 if n_within else None)
        assert len(looked) == len(set(looked)) <= most_looks(n)
    assert most_looks(10) <= 0.4 * 10


@given(st.lists(st.sampled_from([True, False, None]), max_size=40))
def test_whatever_the_shape_the_answer_was_seen_to_be_within(truth: list[bool | None]) -> None:
    looked: list[int] = []

    def look(place: int) -> bool | None:
        looked.append(place)
        return truth[place]

    found = last_within(range(len(truth)), look)
    assert len(looked) == len(set(looked))
    seen = [place for place in looked if truth[place]]
    assert found == (max(seen) if seen else None)
    # Every checkpoint between the answer and the first that is over was tried, in vain.
    over = [place for place in looked if truth[place] is False]
    start = -1 if found is None else found
    stop = min(over) if over else len(truth)
    assert start < stop
    assert all(place in looked for place in range(start + 1, stop))


def test_what_cannot_be_used_is_passed_over() -> None:
    truth = [True, None, True, None, None, None, False, None]
    assert last_within(range(8), truth.__getitem__) == 2
    assert last_within(range(3), lambda _: None) is None
    assert last_within([], lambda _: True) is None
