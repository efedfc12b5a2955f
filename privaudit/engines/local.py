"""Queries answered in this process, batch by batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from privaudit.engines.batch_size import BatchSize, is_out_of_memory
from privaudit.engines.task import QueryFeatures, compare
from privaudit.errors import EncoderError, GeneratorError
from privaudit.fingerprint import pace_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from privaudit.engines.task import Task
    from privaudit.queries import Query
    from privaudit.store import Store

__all__ = ["LocalEngine", "pace_key"]


class LocalEngine:
    """The engine that needs nothing but this process."""

    n_workers = 1

    def __init__(self) -> None:
        self.features = QueryFeatures()

    def run(
        self,
        task: Task,
        queries: Sequence[Query],
        store: Store,
        report: Callable[[int], None],
    ) -> None:
        """Put the similarities of all queries into the store.

        A batch is embedded and reduced as it comes, so memory does not grow with the number of
        queries, and what was answered before a failure is kept. Queries that another process
        is answering are waited for, not answered again.

        Parameters
        ----------
        task
            The model and the measure.
        queries
            What to ask, none twice.
        store
            Where the answers are, and go.
        report
            Called after each batch with the number of images generated.
        """
        image_keys, value_keys = task.keys(queries)
        missing = set(store.absent(value_keys))
        of_image = {
            image: i
            for i, (image, value) in enumerate(zip(image_keys, value_keys, strict=True))
            if value in missing
        }
        earlier = store.texts([pace_key(task.generator.fingerprint)])
        known = next((int(text.split()[0]) for text in earlier.values()), None)
        pace: float | None = None
        batch = BatchSize(task.generator, task.batch_size, known)

        def absent(images: Sequence[str]) -> list[str]:
            of_value = {value_keys[of_image[image]]: image for image in images}
            return [of_value[value] for value in store.absent(list(of_value))]

        while of_image:
            with store.claim(list(of_image), batch.size, absent) as claimed:
                if not claimed:
                    done = set(of_image) - set(absent(list(of_image)))
                    of_image = {k: i for k, i in of_image.items() if k not in done}
                    continue
                part = [queries[of_image[key]] for key in claimed]
                started = time.perf_counter()
                try:
                    images, made = generate(task, part, claimed, store)
                    rows = compare(task, part, images, self.features)
                except (GeneratorError, EncoderError) as error:
                    if not is_out_of_memory(error):
                        raise
                    batch.halve(error)
                    continue
                store.put_arrays(
                    {value_keys[of_image[k]]: row for k, row in zip(claimed, rows, strict=True)},
                    persistent=task.persistent,
                )
            if made == len(part) and (pace is None or made == batch.size):
                pace = (time.perf_counter() - started) / made
                batch.took(made, pace)
            for key in claimed:
                del of_image[key]
            report(made)
        if pace is not None and task.keeps_images:
            store.put_texts({pace_key(task.generator.fingerprint): f"{batch.size} {pace}"})


def generate(
    task: Task, queries: Sequence[Query], keys: Sequence[str], store: Store
) -> tuple[list[Image.Image], int]:
    """Fetch images from the store and generate those it lacks; count the latter."""
    found = [store.image(key) if task.keeps_images else None for key in keys]
    missing = [i for i, image in enumerate(found) if image is None]
    if missing:
        made = task.generator.generate(
            [queries[i].prompt for i in missing], [queries[i].seed for i in missing]
        )
        for i, image in zip(missing, made, strict=True):
            found[i] = image
            if task.keeps_images:
                store.put_image(keys[i], image)
    return [image for image in found if image is not None], len(missing)
