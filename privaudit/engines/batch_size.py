"""How many queries to put in one call: found by doing the work, halved when memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.errors import GeneratorError, PrivauditError

if TYPE_CHECKING:
    from privaudit.generators import Generator

__all__ = ["BatchSize", "is_out_of_memory"]

SMALLEST_GUESS, LARGEST_GUESS = 16, 256
WORTH_DOUBLING = 0.95
"""A doubled batch is kept if an image takes less than this share of the time it took before."""
TRIES = 2
"""Batches of one size before it is judged: the first call of a size also warms up."""


class BatchSize:
    """The size of the next batch.

    Parameters
    ----------
    generator
        Rounds sizes to those that leave its images unchanged.
    wanted
        A fixed size; with ``None``, sizes are doubled from 16 for as long as an image takes
        less time. The batches measured are those of the audit: none is generated for it.
    known
        The size found by an earlier search, which then ends before it begins.
    """

    def __init__(self, generator: Generator, wanted: int | None, known: int | None = None) -> None:
        self._generator = generator
        self._searching = wanted is None and known is None
        self._seconds: dict[int, list[float]] = {}
        self.size = generator.batch_size(wanted or known or SMALLEST_GUESS)

    def took(self, n: int, seconds: float) -> None:
        """Hear how long each query of a batch of n took, and choose the size of the next one."""
        if not self._searching or n != self.size:
            return
        tried = self._seconds.setdefault(n, [])
        tried.append(seconds)
        if len(tried) < TRIES:
            return
        before = [size for size in self._seconds if size < n]
        if before and min(tried) > WORTH_DOUBLING * min(self._seconds[max(before)]):
            self.size, self._searching = max(before), False
        elif 2 * n > LARGEST_GUESS:
            self._searching = False
        else:
            self.size = self._generator.batch_size(2 * n)

    def halve(self, error: Exception) -> None:
        """Choose a smaller size after memory ran out.

        Raises
        ------
        GeneratorError
            If there is no smaller size.
        """
        smaller = self._generator.batch_size(max(1, self.size // 2))
        if smaller >= self.size:
            msg = (
                f"out of memory with a batch of {self.size}, the smallest there is: free memory, "
                f"or audit smaller images ({error})"
            )
            raise GeneratorError(msg) from error
        self.size, self._searching = smaller, False


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is a lack of memory on any device."""
    while error is not None:
        text = str(error).lower()
        # torch has a class for a GPU's, and a plain RuntimeError for a CPU's.
        if (
            isinstance(error, MemoryError)
            or type(error).__name__ == "OutOfMemoryError"
            or (
                isinstance(error, RuntimeError)
                and not isinstance(error, PrivauditError)  # whose text is that of its cause
                and ("out of memory" in text or "can't allocate memory" in text)
            )
        ):
            return True
        error = error.__cause__
    return False
