"""What the benchmarks share: a table, the spread of a few runs, and a process of one's own."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
SPREAD = ("min", "median", "max")


def show(rows: Iterable[Sequence[object]], headers: Sequence[str]) -> None:
    """Print a table as the pages of docs/ have it, each number as it is written."""
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def spread(values: Sequence[float], form: str) -> list[str]:
    """Return the least, the median and the largest value, see :data:`SPREAD`, in that format."""
    return [format(v, form) for v in (min(values), float(np.median(values)), max(values))]


def fresh_python(*arguments: object) -> str:
    """Run Python on these arguments in a process of its own, in the repository's root.

    Returns
    -------
    str
        The last line it printed; empty if it printed nothing.

    Raises
    ------
    RuntimeError
        If it failed; the message ends with what it wrote to standard error.
    """
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603
    if done.returncode:
        msg = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)
    return (done.stdout.splitlines() or [""])[-1]


@contextmanager
def shares(into: dict[str, list[float]]) -> Iterator[None]:
    """Add up the time spent in the parts of an audit."""
    from privaudit import PipelineTarget
    from privaudit.encoders.cache import FeatureCache
    from privaudit.engines import missing
    from privaudit.measurements.pixels import PixelSimilarity
    from privaudit.store import Store

    parts = {
        "generating": (PipelineTarget, "generate"),
        "encoding": (FeatureCache, "encode"),
        "comparing pixels": (PixelSimilarity, "rows"),
        "making files": (missing, "files"),
        "storing images": (Store, "put_image"),
        "storing values": (Store, "put_arrays"),
    }
    kept = {}
    took = dict.fromkeys(parts, 0.0)

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed_call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took[name] += time.perf_counter() - start

        return timed_call

    for name, (owner, method) in parts.items():
        kept[name] = getattr(owner, method)
        setattr(owner, method, wrap(name, kept[name]))
    try:
        yield
    finally:
        for name, (owner, method) in parts.items():
            setattr(owner, method, kept[name])
            into.setdefault(name, []).append(took[name])
