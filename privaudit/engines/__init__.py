"""Where queries are answered: in this process, or on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privaudit.engines.task import Task
    from privaudit.settings import SessionSettings
    from privaudit.store import Store
    from privaudit.targets.queries import Query

__all__ = ["Engine", "make_engine"]


class Engine(Protocol):
    """Puts the answers to queries into a store; which engine did it cannot change them.

    That is, on a CPU. On a GPU the last bits of an image depend on the batch size, which is
    searched by time unless it is set.

    Attributes
    ----------
    n_workers
        Batches it works on at one time.
    speedup
        How many times as fast it is as this process alone, roughly: for plans.
    """

    n_workers: int
    speedup: float

    def run(
        self, task: Task, queries: Sequence[Query], store: Store, report: Callable[[int], None]
    ) -> None:
        """Put what is measured of all queries into the store, see :class:`LocalEngine`."""
        ...


def make_engine(settings: SessionSettings) -> Engine:
    """Make the engine that the settings name.

    Raises
    ------
    MissingExtraError
        If its library is not installed.
    EngineError
        If its cluster cannot be reached.
    """
    if settings.ray is not None:
        from privaudit.engines.ray import RayEngine

        return RayEngine(*settings.ray)
    from privaudit.engines.local import LocalEngine

    return LocalEngine()
