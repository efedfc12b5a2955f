"""What the benchmarks share: a table, the spread of a few runs, and a process of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
