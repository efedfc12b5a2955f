"""How many queries to put in one call: found by doing the work, halved when memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.engines.pace import Pace
from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from privaudit.targets import Target

__all__ = ["BatchSize"]

SMALLEST_GUESS, LARGEST_GUESS = 16, 256
WORTH_DOUBLING = 0.95
"""A doubled batch is kept if an image takes less than this share of the time it took before."""


class BatchSize:
    """The size of the next batch.

    Parameters
    ----------
    target
        Rounds sizes to those that leave its images unchanged.
    wanted
        A fixed size; with ``None``, sizes are doubled from 16 for as long as an image takes
        less time. The batches measured are those of the audit: none is generated for it.
    known
        What an earlier search found, with which this one ends before it begins.
    n_workers
        Processes that generate at one time. A size is judged after one batch more than that: the
        first call of a size also warms up, and at least one of these is no first one.
    """

    def __init__(
        self,
        target: Target,
        wanted: int | None,
        known: Pace | None = None,
        n_workers: int = 1,
    ) -> None:
        self._target = target
        self._found = known.batch_size if known else None
        self._searching = wanted is None and self._found is None
        self._tries = n_workers + 1
        self._seconds: dict[int, list[float]] = {}
        self._last: float | None = None
        self.size = target.batch_size(wanted or self._found or SMALLEST_GUESS)

    @property
    def pace(self) -> Pace | None:
        """What the next run may begin with, if anything was heard."""
        return None if self._last is None else Pace(self._found, self._last)

    def took(self, n: int, seconds: float) -> None:
        """Hear how long each image of a batch of n took, and choose the size of the next one."""
        if self._last is None or n == self.size:
            self._last = seconds
        if not self._searching or n != self.size:
            return
        tried = self._seconds.setdefault(n, [])
        tried.append(seconds)
        if len(tried) < self._tries:
            return
        before = [size for size in self._seconds if size < n]
        if before and min(tried) > WORTH_DOUBLING * min(self._seconds[max(before)]):
            self._end(max(before))
        elif self._target.batch_size(2 * n) in range(n + 1, LARGEST_GUESS + 1):
            self.size = self._target.batch_size(2 * n)
        else:
            self._end(n)

    def limit(self, size: int) -> None:
        """Hear that memory has room for this many and no more."""
        if size < self.size:
            self._end(size)

    def _end(self, size: int) -> None:
        """End the search with a size, or what an earlier one found where memory is short."""
        self.size = size
        if self._searching:
            self._found = size
        elif self._found is not None:
            self._found = min(self._found, size)
        self._searching = False

    def halve(self, error: Exception) -> None:
        """Choose a smaller size after memory ran out.

        Raises
        ------
        GeneratorError
            If there is no smaller size.
        """
        smaller = self._target.batch_size(max(1, self.size // 2))
        if smaller >= self.size:
            msg = (
                f"out of memory with a batch of {self.size}, the smallest there is: free memory, "
                f"or audit smaller images ({error})"
            )
            raise GeneratorError(msg) from error
        self.limit(smaller)
