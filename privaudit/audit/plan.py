"""What a session must generate, known before any of it is: how much, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.engines.pace import Pace
from privaudit.engines.task import image_keys
from privaudit.store import Store
from privaudit.targets import PictureFolder
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.query_list import listed, write_lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from privaudit.engines.task import Task
    from privaudit.targets import Query, Target

__all__ = ["Estimate", "QueryLists", "Unmade", "duration"]


class Unmade:
    """Stands for a shadow model that the audit will fine-tune: nothing of it can be stored yet.

    Parameters
    ----------
    why_again
        Why it is made again in each session, if it is known to be.
    """

    fingerprint = "unmade"
    persistent = False

    def __init__(self, why_again: str | None = None) -> None:
        self.why_again = why_again


@dataclass
class _Part:
    """What one model is asked."""

    label: str
    target: Target | Unmade
    wanted: dict[str, bool] = field(default_factory=dict)
    """Whether each image must be generated, by its key."""
    pace: float | None = None
    """Seconds an image takes, if anything is known of it."""

    @property
    def n_new(self) -> int:
        return sum(self.wanted.values())


class Estimate:
    """The images that all audits of a session need, each counted once.

    Parameters
    ----------
    store
        What is there already.
    speedup
        How many times as fast as this process the engine is.
    timed
        Whether the speed of a model is measured, where nothing is known of it.
    """

    def __init__(self, store: Store, speedup: float = 1.0, *, timed: bool = True) -> None:
        self.store = store
        self._speedup, self._timed = speedup, timed
        self._parts: dict[str, _Part] = {}
        self._paces: dict[str, float | None] = {}
        self.notes: list[str] = []
        """What else the user should know before the work begins, a sentence each."""
        self.at_most = False
        """Whether a sequential audit may stop before it has asked for all."""

    def __bool__(self) -> bool:
        """Tell whether anything was asked."""
        return bool(self._parts)

    def add(self, label: str, task: Task, queries: Sequence[Query]) -> None:
        """Add what one scenario asks one model, and find out how fast the model is.

        Parameters
        ----------
        label
            What to call the model.
        task
            The model, and how its images are compared.
        queries
            What it is asked.

        Raises
        ------
        GeneratorError
            If the model, of whose speed nothing is known, fails at a few denoising steps.
        """
        target = task.target
        name = label if isinstance(target, Unmade) else target.fingerprint
        part = self._parts.setdefault(name, _Part(label, target))
        if isinstance(target, Unmade):
            images = values = image_keys(target.fingerprint, queries)
            missing = set(values)
        else:
            images, values = task.keys(queries)
            missing = set(self.store.absent(values))
        for image, value in zip(images, values, strict=True):
            needed = value in missing and not (task.keeps_images and self.store.has_image(image))
            part.wanted[image] = part.wanted.get(image, False) or needed
        if part.n_new and part.pace is None:
            part.pace = self._pace(target)

    def add_rows(self, label: str, task: Task, queries: Sequence[Query], pictures: int) -> None:
        """Add what is measured of a model directly, with so many pictures drawn for each query.

        They are not kept: what is measured of them is.

        Parameters
        ----------
        label, task, queries
            As of :meth:`add`.
        pictures
            That the model draws for one query.
        """
        name = f"{task.target.fingerprint} {task.measurement.identity}"
        part = self._parts.setdefault(name, _Part(label, task.target))
        keys = task.keys(queries)[1]
        missing = set(self.store.absent(keys))
        part.wanted |= {f"{key} {n}": key in missing for key in keys for n in range(pictures)}
        if part.n_new and part.pace is None:
            part.pace = self._pace(task.target)

    @property
    def n_new(self) -> int:
        """Images to generate."""
        return sum(part.n_new for part in self._parts.values())

    @property
    def n_stored(self) -> int:
        """Images whose similarities, or which themselves, are in the store."""
        return sum(len(part.wanted) - part.n_new for part in self._parts.values())

    def seconds(self) -> float | None:
        """Estimate the time that is left, from earlier runs or a few denoising steps.

        Returns
        -------
        float or None
            ``None`` if nothing is known of a model's speed.
        """
        total = 0.0
        for part in self._parts.values():
            if not part.n_new:
                continue
            if part.pace is None:
                return None
            total += part.n_new * part.pace / self._speedup
        return total

    def _pace(self, target: Target | Unmade) -> float | None:
        earlier = Pace.read(self.store, target.fingerprint)
        if earlier is not None:
            return earlier.seconds
        able = capabilities_of(target)
        if able.seconds_per_image is None or not self._timed:
            return None
        # Fine-tunes of one base, such as the checkpoints of a run, are as fast: one is timed.
        pace = able.pace or target.fingerprint
        if pace not in self._paces:
            self._paces[pace] = able.seconds_per_image()
        return self._paces[pace]

    def lines(self) -> Iterator[str]:
        """Yield the estimate in words: the sum, each model, what will not be kept, and notes."""
        seconds = self.seconds() if self.n_new else 0.0
        most = "at most " if self.at_most else ""
        if not self.n_new:
            time = "nothing to wait for"
        elif seconds is None:
            time = "time unknown until the first batch"
        else:
            time = f"about {duration(seconds)}"
        yield (
            f"privaudit: {most}{self.n_new:,} images to generate, {self.n_stored:,} in the store, "
            f"{time}"
        )
        for part in self._parts.values():
            yield (
                f"  {part.label}: {part.n_new:,} to generate, "
                f"{len(part.wanted) - part.n_new:,} in the store"
            )
        for part in self._parts.values():
            if isinstance(part.target, Unmade):
                yield f"  {part.label} is fine-tuned first, which takes time of its own"
                if part.target.why_again is not None:
                    yield f"  {part.label} is made again in each session: {part.target.why_again}"
            elif not part.target.persistent:
                yield (
                    f"  images of {part.label} are not kept: give it an attribute fingerprint, a "
                    "string that changes whenever its images would"
                )
            notes = capabilities_of(part.target).plan_notes
            if notes is not None:
                yield from (f"  {part.label}: {note}" for note in notes(part.n_new))
        yield from (f"  {note}" for note in dict.fromkeys(self.notes))


def duration(seconds: float) -> str:
    """Say a duration as one would: in seconds, minutes, hours or days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


class QueryLists(Estimate):
    """An estimate that needs no picture, and knows what each folder of pictures is asked.

    Pytest gets it as a plugin without hooks, and makes it in place of the plan.
    """

    __name__ = "privaudit-query-lists"
    """What pytest registers it as."""

    def __init__(self) -> None:
        super().__init__(Store(None))
        self._asked: dict[Path, list[Query]] = {}

    def __bool__(self) -> bool:
        """Tell whether a folder was asked."""
        return bool(self._asked)

    def add(self, label: str, task: Task, queries: Sequence[Query]) -> None:
        """Note the queries of a folder of pictures; other models are asked when they are run."""
        if isinstance(task.target, PictureFolder):
            self._asked.setdefault(task.target.folder, []).extend(queries)

    def lines(self) -> Iterator[str]:
        """Yield nothing: the lists are the plan."""
        yield from ()

    def write(self) -> Iterator[str]:
        """Write the lists, and say of each where it is and how many pictures are to be drawn.

        Raises
        ------
        StoreError
            If one cannot be written.
        """
        for folder, queries in self._asked.items():
            rows = listed(queries)
            absent = sum(not (folder / row.file).exists() for row in rows)
            paths = write_lists(folder, rows)
            yield (
                f"{' and '.join(map(str, paths))}: {len(rows):,} pictures, of which {absent:,} "
                "are still to be drawn"
            )
