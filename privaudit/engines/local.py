"""Queries answered in this process, batch by batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from privaudit.batching import is_out_of_memory
from privaudit.engines.batch_size import BatchSize
from privaudit.engines.missing import Missing
from privaudit.engines.pace import Pace
from privaudit.errors import EncoderError, GeneratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privaudit.engines.task import Task
    from privaudit.store import Store
    from privaudit.targets.queries import Query

__all__ = ["LocalEngine"]


class LocalEngine:
    """The engine that needs nothing but this process."""

    n_workers = 1
    speedup = 1.0

    def run(
        self,
        task: Task,
        queries: Sequence[Query],
        store: Store,
        report: Callable[[int], None],
    ) -> None:
        """Put what is measured of all queries into the store.

        A batch is measured as it comes, so memory does not grow with the number of
        queries, and what was answered before a failure is kept. Queries that another process
        is answering are waited for, not answered again.

        Parameters
        ----------
        task, queries, store
            As of :class:`privaudit.engines.missing.Missing`.
        report
            Called with the number of images generated, after each batch and before a failure.
        """
        missing = Missing(task, queries, store)
        known = Pace.read(store, task.target.fingerprint)
        batch = BatchSize(task.target, task.batch_size, known)
        while missing:
            with missing.claim(batch.size) as part:
                if not part:
                    continue
                started = time.perf_counter()
                asked, images = {i: queries[i] for i in part}, missing.stored(part)
                n_stored = len(images)
                try:
                    try:
                        task.answer(asked, batch.size, images, missing.heard)
                    finally:  # what was answered before a failure is kept
                        n_made = len(images) - n_stored
                        if n_made:
                            report(n_made)
                    rows = task.measure(asked, images)
                except (GeneratorError, EncoderError) as error:
                    if not is_out_of_memory(error):
                        raise
                    batch.halve(error)
                    continue
                missing.answer(part, rows)
            if n_made == len(part):
                batch.took(n_made, (time.perf_counter() - started) / n_made)
        if batch.pace is not None and task.keeps_images:
            batch.pace.write(store, task.target.fingerprint)
