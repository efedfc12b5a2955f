"""Tables in plain text that fit a terminal: what does not fit is left out by columns, and said."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["render_table"]


def render_table(
    rows: Sequence[Mapping[str, str]],
    columns: Sequence[tuple[str, str]],
    dispensable: Sequence[str],
    width: int,
) -> Iterator[str]:
    r"""Yield the lines of a table.

    Parameters
    ----------
    rows
        Cells by the names of columns.
    columns
        Name and alignment (``"left"``, ``"right"``), from left to right.
    dispensable
        Columns that a narrow terminal leaves out, the first one first.
    width
        Columns of the terminal.

    Examples
    --------
    >>> rows = [{"attack": "threshold", "AUC": "0.512", "n": "94+66"}]
    >>> columns = [("attack", "left"), ("AUC", "right"), ("n", "right")]
    >>> print(*render_table(rows, columns, ["n"], 18), sep="\n")
    attack       AUC
    ---------  -----
    threshold  0.512
    left out for want
    of width: n
    """
    from tabulate import tabulate

    left_out: list[str] = []
    while True:
        shown = [column for column in columns if column[0] not in left_out]
        cells = [[row[name] for name, _ in shown] for row in rows]
        lines = tabulate(
            cells,
            [name for name, _ in shown],
            disable_numparse=True,
            colalign=[side for _, side in shown],
        ).splitlines()
        spare = [name for name in dispensable if name not in left_out]
        if max(map(len, lines)) <= width or not spare:
            break
        left_out.append(spare[0])
    yield from lines
    if left_out:
        yield from textwrap.wrap(f"left out for want of width: {', '.join(left_out)}", width)
