"""What audits ask of folders of pictures, written down for whoever draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.audit.estimate import Estimate
from privaudit.store import Store
from privaudit.targets import PictureFolder
from privaudit.targets.query_list import listed, write_lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from privaudit.engines.task import Task
    from privaudit.targets import Query

__all__ = ["QueryLists"]


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
