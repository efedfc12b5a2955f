"""Where the time goes when everything is stored: ``pytest audits/``, once more.

``python benchmarks/warm_start.py`` fills a store of its own, runs the audits again five times and
once more under cProfile, and prints the wall times and what dominates them. Beside each run it
times the floor, in which privaudit has no part: a process that imports the libraries of the
audits' encoder and of their statistics.
"""

from __future__ import annotations

import argparse
import pstats
import tempfile
import time
from pathlib import Path
from typing import Any

from common import SPREAD, fresh_python, show, spread

FLOOR = "import pytest, timm, torch, sklearn.metrics"
PARTS = {
    "importing libraries": ("importlib", "_find_and_load"),
    "loading pipelines": ("pipeline.py", "load_pipeline"),
    "hashing files": ("fingerprint.py", "fingerprint_files"),
    "loading the encoder": ("load.py", "load_encoder"),
    "making the plan": ("planning.py", "_make"),
    "attacks, from store to verdict": ("audit.py", "result"),
}


def run(store: Path, *extra: str) -> float:
    """Run the audits, and return their seconds."""
    command = [*extra, "-m", "pytest", "audits/", "-q"]
    return timed([*command, f"--privaudit-store={store}", "-p", "no:cacheprovider"])


def timed(arguments: list[str]) -> float:
    """Run Python in a process of its own, and return its seconds."""
    started = time.perf_counter()
    fresh_python(*arguments)
    return time.perf_counter() - started


def seconds(stats: Any, file: str, function: str) -> float:
    """Return the cumulative time of the functions of that name in files of that name."""
    return sum(
        cumulative
        for (path, _, name), (_, _, _, cumulative, _) in stats.items()
        if name == function and file in path
    )


def main() -> None:
    """Time, profile and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store, profile = Path(scratch) / "store", Path(scratch) / "profile"
        first = run(store)
        again, floor = [], []
        for _ in range(chosen.runs):
            again.append(run(store))
            floor.append(timed(["-c", FLOOR]))
        run(store, "-m", "cProfile", "-o", str(profile))
        stats: Any = pstats.Stats(str(profile))
    figures = {
        "second run, s": again,
        "floor, s": floor,
        "second / first": [value / first for value in again],
        "second / floor": [value / least for value, least in zip(again, floor, strict=True)],
    }
    rows = [[name, *spread(values, ".3g")] for name, values in figures.items()]
    print(f"first run: {first:.0f} s")
    show(rows, ["", *SPREAD])
    print(f"under cProfile {stats.total_tt:.1f} s, of which (they overlap):")
    for name, (file, function) in PARTS.items():
        print(f"  {name}: {seconds(stats.stats, file, function):.1f} s")


if __name__ == "__main__":
    main()
