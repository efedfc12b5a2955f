"""The queries that have no answer yet."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from privaudit.engines.task import files
from privaudit.fingerprint import fingerprint_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.engines.task import Task
    from privaudit.store import Store
    from privaudit.targets.queries import Answer, Query

__all__ = ["Missing", "refusal_key"]


def refusal_key(image: str) -> str:
    """Return what a refusal is kept under, by the key of the image that was asked for."""
    return fingerprint_text(f"refusal {image}")


class Missing:
    """What is left to do of a task's queries.

    Parameters
    ----------
    task
        The model and the measure.
    queries
        What to ask, none twice.
    store
        Where the answers are, and go. What is left is found out now: where it will be asked,
        inside :meth:`privaudit.store.Store.alone`.
    """

    def __init__(self, task: Task, queries: Sequence[Query], store: Store) -> None:
        self.task, self.queries = task, queries
        self._store = store
        self._images, self._values = task.keys(queries)
        absent = set(store.absent(self._values))
        self._left = {
            image: i
            for i, (image, value) in enumerate(zip(self._images, self._values, strict=True))
            if value in absent
        }

    def __len__(self) -> int:
        """Return the number of queries left."""
        return len(self._left)

    def first(self, n: int) -> list[int]:
        """Return the positions of the first n queries that are left."""
        return list(islice(self._left.values(), n))

    def stored(self, positions: Sequence[int]) -> dict[int, Image.Image]:
        """Return the images of these queries that an earlier run left, by position."""
        if not self.task.keeps_images:
            return {}
        found = ((i, self._store.image(self._images[i])) for i in positions)
        return {i: image for i, image in found if image is not None}

    def keep(self, files: Mapping[int, bytes]) -> None:
        """Keep images, by the position of their query, see :func:`privaudit.engines.task.files`."""
        for position, file in files.items():
            self._store.put_image(self._images[position], file)

    def heard(self, answers: Mapping[int, Answer]) -> None:
        """Keep answers as they come, and which were refusals: they may have been paid for."""
        refused = {
            refusal_key(self._images[position]): answer.refusal
            for position, answer in answers.items()
            if answer.refusal is not None
        }
        if refused:
            self._store.put_texts(refused, persistent=self.task.target.persistent)
        self.keep(files(self.task, {i: answer.image for i, answer in answers.items()}))

    def answer(self, positions: Sequence[int], rows: Sequence[NDArray[np.float32]]) -> None:
        """Keep the similarities of queries, which are then no longer missing."""
        self._store.put_arrays(
            {self._values[i]: row for i, row in zip(positions, rows, strict=True)},
            persistent=self.task.persistent,
        )
        for i in positions:
            del self._left[self._images[i]]
