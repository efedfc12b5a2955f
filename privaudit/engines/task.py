"""What an engine is asked to do, and how one batch of it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.batching import in_threads
from privaudit.errors import GeneratorError, PrivauditError
from privaudit.fingerprint import fingerprint_text, fingerprint_values
from privaudit.store import as_file
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.queries import hide_prompts, naming_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.measurements import Measurement
    from privaudit.targets import Target
    from privaudit.targets.queries import Answer, Query

    Heard = Callable[[Mapping[int, Answer]], None]
    """Hears answers, each with the position of its query."""

__all__ = ["Task", "files", "generate", "image_keys"]


def image_keys(fingerprint: str, queries: Sequence[Query]) -> list[str]:
    """Name the images of a model of that fingerprint by all that determines them."""
    model = fingerprint_values(model=fingerprint)
    return [fingerprint_text(f"{model} {query.seed} {query.prompt}") for query in queries]


@dataclass(frozen=True)
class Task:
    """Which target answers queries, and what is measured of its answers."""

    target: Target
    measurement: Measurement
    batch_size: int | None
    """Queries in one call of the target; ``None`` to find out."""

    @property
    def persistent(self) -> bool:
        """Whether what is computed means the same in another process."""
        return self.target.persistent and self.measurement.persistent

    @property
    def asks(self) -> bool:
        """Whether the target must answer: one with more access measures the target itself."""
        return self.measurement.access == "black-box"

    @property
    def keeps_images(self) -> bool:
        """Whether generated images are stored."""
        worth = capabilities_of(self.target).worth_storing
        return self.asks and self.target.persistent and worth

    def keys(self, queries: Sequence[Query]) -> tuple[list[str], list[str]]:
        """Name the images of queries, and the rows that are measured of them."""
        images = image_keys(self.target.fingerprint, queries)
        rows = [
            fingerprint_text(f"{self.measurement.identity} {image} {query.sample.digest}")
            for image, query in zip(images, queries, strict=True)
        ]
        return images, rows

    def answer(
        self,
        queries: Mapping[int, Query],
        size: int,
        made: dict[int, Image.Image],
        heard: Heard | None = None,
    ) -> None:
        """Have the target answer the queries that have no image yet, see :func:`generate`."""
        if self.asks:
            generate(self.target, queries, size, made, heard)

    def measure(
        self, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Measure the answers to queries, one row each, in the order of the queries."""
        with naming_samples(queries.values()):
            return self.measurement.rows(self.target, queries, images)


def generate(
    target: Target,
    queries: Mapping[int, Query],
    size: int,
    made: dict[int, Image.Image],
    heard: Heard | None = None,
) -> None:
    """Have a target answer the queries that have no image yet, up to ``size`` in one call.

    Parameters
    ----------
    target
        Whom to ask.
    queries
        By position, none twice.
    size
        Queries in one call.
    made
        Images by position. Each is added as it comes, so that what was answered before a
        failure is there after it.
    heard
        Called with each answer as it comes, or with all where they come at one time, by position.

    Raises
    ------
    GeneratorError
        If the target raises, answers what it was not asked, or leaves a query unanswered.
    """
    name = type(target).__name__
    absent = [i for i in queries if i not in made]
    for start in range(0, len(absent), size):
        part = absent[start : start + size]
        places = {(queries[i].seed, queries[i].prompt): i for i in part}
        asked = [queries[i] for i in part]
        try:
            with naming_samples(asked):
                answers = target.answer(asked)
                together = [answers] if isinstance(answers, list) else None
                for some in together or ([answer] for answer in answers):
                    _take(name, some, places, made, heard)
        except (KeyboardInterrupt, PrivauditError):
            raise
        # Also SystemExit and pytest.skip: pytest would show the prompts, or skip the audit.
        except BaseException as error:
            msg = (
                f"{name} raised {type(error).__name__} on a batch of {len(part)} queries, the "
                f"first of sample {asked[0].sample.id!r}: {hide_prompts(str(error), asked)}"
            )
            raise GeneratorError(msg) from error
        if places:
            first = queries[min(places.values())].sample.id
            msg = (
                f"{name} left {len(places)} of {len(part)} queries without an answer, the first "
                f"of sample {first!r}: its answer() must yield one image for each"
            )
            raise GeneratorError(msg)


def _take(
    name: str,
    answers: Sequence[Answer],
    places: dict[tuple[int, str], int],
    made: dict[int, Image.Image],
    heard: Heard | None,
) -> None:
    """Find whose answers these are, and keep those before one that nobody asked for."""
    taken: dict[int, Answer] = {}
    try:
        for answer in answers:
            query = answer.query
            place = places.pop((query.seed, query.prompt), None)
            if place is None:
                msg = f"{name} answered twice, or unasked, for sample {query.sample.id!r}"
                raise GeneratorError(msg)
            taken[place] = answer
    finally:
        if heard is not None and taken:
            heard(taken)
        made |= {place: answer.image for place, answer in taken.items()}


def files(task: Task, made: Mapping[int, Image.Image]) -> dict[int, bytes]:
    """Return generated images as the store keeps them, or none if it is not to."""
    if not task.keeps_images:
        return {}
    return dict(zip(made, in_threads(as_file, made.values()), strict=True))
