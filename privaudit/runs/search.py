"""The last of many checkpoints within a budget, looked for by bisection."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["last_within", "most_looks"]

T = TypeVar("T")


def last_within(candidates: Sequence[T], look: Callable[[T], bool | None]) -> T | None:
    """Find, by bisection, a candidate within the budget whose next usable one is not.

    What is found was itself looked at and is within the budget, whatever the others are. It is
    the last one within if leaks only grow with training. Where they do not, a later candidate
    that was not looked at may be within too: the answer errs to the safe side.

    Parameters
    ----------
    candidates
        In the order of training.
    look
        Tells whether a candidate is within the budget; ``None`` if it cannot be used, and
        another is looked at in its place. No candidate is looked at twice.

    Returns
    -------
    candidate or None
        ``None`` if none that was looked at is within.

    Examples
    --------
    >>> looked = []
    >>> def within(step):
    ...     looked.append(step)
    ...     return step <= 700
    >>> last_within(range(100, 1100, 100), within), looked
    (700, [500, 800, 600, 700])
    """
    unknown = list(range(len(candidates)))
    found = None
    while unknown:
        place = unknown[(len(unknown) - 1) // 2]
        within = look(candidates[place])
        if within is None:
            unknown.remove(place)
        elif within:
            found = candidates[place]
            unknown = [other for other in unknown if other > place]
        else:
            unknown = [other for other in unknown if other < place]
    return found


def most_looks(n: int) -> int:
    """Return the largest number of looks that n usable candidates take, ⌈log₂(n + 1)⌉.

    Examples
    --------
    >>> most_looks(10)
    4
    """
    return n.bit_length()
