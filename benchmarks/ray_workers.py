"""Two Ray workers over one, one thread each, on the same machine.

``python benchmarks/ray_workers.py`` answers the queries of 32+32 emoji, m = 3, with the
over-fitted model of ``audits/``, by one actor and by two, in alternation. Actors that are up
and have drawn their first batch are timed; starting them is not, and is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
from common import SPREAD, show, spread
from throughput import Bench

from privaudit import PipelineTarget
from privaudit.engines.ray import RayEngine
from privaudit.engines.task import Task
from privaudit.measurements import ReconstructionSimilarity
from privaudit.store import Store

BATCH = 16


def main() -> None:
    """Time one worker and two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    chosen = parser.parse_args()
    bench = Bench(32, chosen.steps)
    target = PipelineTarget(bench.pipeline, **bench.call)
    measurement = ReconstructionSimilarity(bench.encoder, "cosine", "channel")
    task = Task(target, measurement, BATCH)
    # As many whole batches as both numbers of workers divide.
    queries = bench.queries[: 12 * BATCH]
    ray.init(num_cpus=2, log_to_driver=False)
    took: dict[int, list[float]] = {1: [], 2: []}
    starting: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(chosen.runs):
        for n in (1, 2):
            started = time.perf_counter()
            engine = RayEngine(n_workers=n)
            engine.run(task, queries[: 4 * BATCH], Store(None), lambda _: None)
            starting[n].append(time.perf_counter() - started)
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                engine.run(task, queries, Store(Path(folder)), lambda _: None)
                took[n].append(time.perf_counter() - started)
            engine.close()
    ratios = [one / two for one, two in zip(took[1], took[2], strict=True)]
    print(f"{len(queries)} images, {chosen.steps} steps, batch {BATCH}, {chosen.runs} runs")
    show([["one worker / two", *spread(ratios, ".2f")]], ["ratio", *SPREAD])
    for n in (1, 2):
        print(
            f"{n} workers: {np.median(took[n]):.1f} s, "
            f"after {np.median(starting[n]):.1f} s to start and draw four batches"
        )


if __name__ == "__main__":
    main()
