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
        if not Missing(task, queries, store):
            return  # without a lock, so that a store may be one that can only be read
        known = Pace.read(store, task.target.fingerprint)
        batch = BatchSize(task.target, task.batch_size, known)
        with store.alone(task.target.fingerprint):
            missing = Missing(task, queries, store)
            while missing:
                self._answer(missing, batch, report)
        if batch.pace is not None and task.keeps_images:
            batch.pace.write(store, task.target.fingerprint)

    def _answer(self, missing: Missing, batch: BatchSize, report: Callable[[int], None]) -> None:
        """Answer one batch, or halve it if memory runs out."""
        part, task = missing.first(batch.size), missing.task
        started = time.perf_counter()
        asked, images = {i: missing.queries[i] for i in part}, missing.stored(part)
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
            return
        missing.answer(part, rows)
        if n_made == len(part):
            batch.took(n_made, (time.perf_counter() - started) / n_made)
