"""Queries answered by the actors of a Ray cluster, on one machine or many.

Ray decides where its actors run and carries models, queries and images to and from them. They
share nothing: the store belongs to the process that runs the audit, so it needs no filesystem
that all machines see, and that process does no more than write down what the actors made.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import socket
import sys
import time
import warnings
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from privaudit.batching import is_out_of_memory
from privaudit.engines.batch_size import BatchSize
from privaudit.engines.local import LocalEngine
from privaudit.engines.missing import Missing
from privaudit.engines.pace import Pace
from privaudit.engines.task import Task, files
from privaudit.errors import (
    EncoderError,
    EngineError,
    GeneratorError,
    MissingExtraError,
    PrivauditError,
    first_line,
)
from privaudit.targets.capabilities import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.store import Store
    from privaudit.targets.queries import Query

__all__ = ["RayEngine"]

LIVES = 3
"""Workers that a batch may be on when they die, before it is held to be the cause."""


class RayEngine:
    """The engine that spreads the batches of a plan over a cluster.

    Parameters
    ----------
    address
        A running cluster, as ``ray.init`` has it; with ``None`` the one in ``$RAY_ADDRESS``, or
        the one that ``ray start`` left on this machine, or else a new one here for as long as the
        process lives. Where the process has called ``ray.init`` itself, that is used.
    n_workers
        Actors; with ``None`` one for each GPU of the cluster or, without GPUs, each CPU. Each
        holds the model once.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    EngineError
        If the cluster cannot be reached.
    """

    def __init__(self, address: str | None = None, n_workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("--privaudit-engine=ray", "ray", "ray") from error
        import torch

        if not ray.is_initialized():
            try:
                _check_reachable(address)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Ray's own affairs
                    ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
            except (OSError, RuntimeError, ValueError) as error:
                msg = (
                    f"Ray cluster {address!r} cannot be reached ({first_line(error)}): "
                    "check --privaudit-engine"
                )
                raise EngineError(msg) from error
        resources = ray.cluster_resources()
        self._on_gpu = resources.get("GPU", 0) >= 1
        slots = int(resources.get("GPU" if self._on_gpu else "CPU", 1))
        self.n_workers = n_workers or max(1, slots)
        # A worker has one of the cores that this process alone would have all of.
        cores = 1 if self._on_gpu else torch.get_num_threads()
        self.speedup = self.n_workers / cores
        self.n_lost = 0
        """Workers that died with a batch of queries, which another worker then answered."""
        self._pools: dict[tuple[str, str], _Pool] = {}

    def run(
        self, task: Task, queries: Sequence[Query], store: Store, report: Callable[[int], None]
    ) -> None:
        """Put what is measured of all queries into the store, see :class:`LocalEngine.run`.

        A target that stays here is asked from this process.

        Raises
        ------
        EngineError
            If workers keep dying of one batch.
        """
        if capabilities_of(task.target).stays_here:
            LocalEngine().run(task, queries, store, report)
            return
        if not Missing(task, queries, store):
            return
        known = Pace.read(store, task.target.fingerprint)
        size = BatchSize(task.target, task.batch_size, known, self.n_workers)
        with store.alone(task.target.fingerprint):
            missing = Missing(task, queries, store)
            self._answer(missing, missing.first(len(missing)), size, report)
        if size.pace is not None and task.keeps_images:
            seconds = size.pace.seconds * self.speedup / self.n_workers
            size.pace._replace(seconds=seconds).write(store, task.target.fingerprint)

    def close(self) -> None:
        """Let go of all actors; the cluster goes on."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _answer(
        self,
        missing: Missing,
        positions: Sequence[int],
        size: BatchSize,
        report: Callable[[int], None],
    ) -> None:
        def batches() -> Iterator[_Batch]:
            left = iter(positions)
            while batch := list(islice(left, size.size)):  # the right size by then
                yield _Batch(batch)

        def ask(actor: Any, batch: _Batch) -> Any:
            return actor.answer.remote(
                {i: missing.queries[i] for i in batch.queries}, missing.stored(batch.queries)
            )

        def keep(batch: _Batch, answer: _Answer) -> None:
            missing.keep(answer.files)
            if answer.n_made:
                report(answer.n_made)
            if answer.failure is not None:
                raise answer.failure
            missing.answer(batch.queries, answer.rows)
            if answer.size < len(batch.queries):
                size.limit(answer.size)
            elif answer.n_made == len(batch.queries):
                size.took(answer.n_made, answer.seconds / answer.n_made)

        pool = self._pool(missing.task)
        try:
            pool.map(batches(), ask, keep)
        except BaseException:
            self.close()  # some actors are still at work on what nobody waits for
            raise
        finally:
            self.n_lost += pool.n_lost
            pool.n_lost = 0

    def _pool(self, task: Task) -> _Pool:
        """Return the actors that hold a model and a measurement, the last ones if they do."""
        key = (task.target.fingerprint, task.measurement.identity)
        if key not in self._pools:
            self.close()  # a GPU has room for one model
            self._pools[key] = _Pool(task, self.n_workers, on_gpu=self._on_gpu)
        return self._pools[key]


def _check_reachable(address: str | None) -> None:
    """Knock at the cluster's door, where Ray itself would go on knocking for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()


@dataclass
class _Batch:
    """Positions of queries that are answered together."""

    queries: Sequence[int]
    lives: int = LIVES


@dataclass(frozen=True)
class _Answer:
    """What an actor says of a batch."""

    rows: list[NDArray[np.float32]]
    """Similarities."""
    files: dict[int, bytes]
    """What was generated, as the store keeps it."""
    n_made: int
    size: int
    """Queries that memory had room for in one call."""
    seconds: float
    failure: PrivauditError | None
    """What ended the work on it; what was generated before is there all the same."""


@dataclass
class _Pool:
    """Actors of one model. Those that die are replaced, and what they were at is done again.

    Whatever Ray has room for works: an actor gets batches once it is up, so one that waits for
    a machine to come back holds nothing up.
    """

    task: Task
    n_workers: int
    on_gpu: bool
    _starting: dict[Any, Any] = field(default_factory=dict)
    _idle: list[Any] = field(default_factory=list)
    _actors: list[Any] = field(default_factory=list)
    _failures: int = 0
    n_lost: int = 0

    def __post_init__(self) -> None:
        import ray
        from ray import cloudpickle

        # As bytes: a worker has to know where modules are before it can unpickle what is of them.
        self._shared = ray.put(cloudpickle.dumps(self.task))
        for _ in range(self.n_workers):
            self._start()

    def map(
        self,
        batches: Iterator[_Batch],
        ask: Callable[[Any, _Batch], Any],
        keep: Callable[[_Batch, _Answer], None],
    ) -> None:
        """Have every batch answered, and keep each answer as it comes."""
        import ray

        again: list[_Batch] = []
        running: dict[Any, tuple[Any, _Batch]] = {}
        while True:
            while self._idle and (batch := again.pop() if again else next(batches, None)):
                actor = self._idle.pop()
                running[ask(actor, batch)] = (actor, batch)
            if self._idle and not running:
                return
            (done,), _ = ray.wait([*running, *self._starting], num_returns=1)
            if done in self._starting:
                self._greet(done)
                continue
            actor, batch = running.pop(done)
            try:
                answer = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what the model raised, not where it ran
            except ray.exceptions.RayError as error:
                self._lose(batch, error)
                again.append(batch)
            else:
                self._idle.append(actor)
                keep(batch, answer)

    def close(self) -> None:
        """Let go of the actors."""
        import ray

        for actor in self._actors:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(actor)

    def _lose(self, batch: _Batch, error: Exception) -> None:
        """Replace a worker that died, unless it is the batch that kills them."""
        self.n_lost += 1
        batch.lives -= 1
        if not batch.lives:
            msg = (
                f"{LIVES} workers died of one batch of {len(batch.queries)} queries "
                f"({type(error).__name__}): lower --privaudit-batch-size, or see the logs of Ray"
            )
            raise EngineError(msg) from error
        self._start()

    def _start(self) -> None:
        import ray

        actor_class = ray.remote(
            num_gpus=1 if self.on_gpu else 0, num_cpus=0 if self.on_gpu else 1
        )(_Worker)
        actor = actor_class.remote(sys.path, self._shared)
        self._actors.append(actor)
        self._starting[actor.ready.remote()] = actor

    def _greet(self, ready: Any) -> None:
        """Put a new actor to work, or start another one if it died before it was up."""
        import ray

        actor = self._starting.pop(ready)
        try:
            ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures >= LIVES * self.n_workers:
                msg = (
                    f"{self._failures} workers died before they were ready "
                    f"({first_line(error)}): see the logs of Ray"
                )
                raise EngineError(msg) from error
            self._start()
        else:
            self._idle.append(actor)


class _Worker:
    """One actor: a model and a measurement, with what it has seen of the query images."""

    def __init__(self, path: Sequence[str], task: bytes) -> None:
        import ray
        import torch
        from ray import cloudpickle

        # pytest has put the folders of audit files and conftest.py into the path.
        sys.path += [folder for folder in path if folder not in sys.path]

        # Two workers with as many threads each as there are cores take five times as long.
        cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
        if cores >= 1:
            torch.set_num_threads(int(cores))
        try:
            self._task: Task = cloudpickle.loads(task)
        except ImportError as error:
            msg = (
                f"a worker on {platform.node()} cannot import what the model needs "
                f"({first_line(error)}): install it there, or put it where all machines of the "
                "cluster find it"
            )
            raise EngineError(msg) from error

    def ready(self) -> None:
        """Answer once the model is there."""

    def answer(self, queries: dict[int, Query], known: dict[int, Image.Image]) -> _Answer:
        """Generate what is not known, and measure; in smaller batches if memory runs out."""
        size = BatchSize(self._task.target, len(queries))
        images, n_known = dict(known), len(known)
        rows: list[NDArray[np.float32]] = []
        failure: PrivauditError | None = None
        while not rows and failure is None:
            started = time.perf_counter()
            try:
                self._task.answer(queries, size.size, images)
                rows = self._task.measure(queries, images)
            except (GeneratorError, EncoderError) as error:
                try:
                    if not is_out_of_memory(error):
                        raise
                    size.halve(error)
                except PrivauditError as last:
                    failure = last
        made = dict(islice(images.items(), n_known, None))
        # Files are made here: one process could not make those of 64 GPUs.
        kept = files(self._task, made)
        took = time.perf_counter() - started
        return _Answer(rows, kept, len(made), size.size, took, failure)
