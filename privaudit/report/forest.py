"""A plot in plain text: one row an audit, its AUC with bounds, and the budget across all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Row", "forest"]

WIDTH = 40
"""Characters of the axis."""


@dataclass(frozen=True)
class Row:
    """One line of the plot.

    Attributes
    ----------
    label
        What stands before it.
    auc, low, high
        In [0, 1]; ``None`` for a row without a result.
    words
        What stands after it.
    """

    label: str
    auc: float | None
    low: float | None = None
    high: float | None = None
    words: str = ""


def forest(rows: Sequence[Row], budget: float | None) -> Iterator[str]:
    """Yield the lines of the plot: a scale, then the rows.

    It is in ASCII: ``|`` is the budget, ``*`` an AUC, ``-`` its bounds.

    Parameters
    ----------
    rows
        From top to bottom.
    budget
        Where the line of the budget is, if there is one.

    Examples
    --------
    >>> for line in forest([Row("step 500", 0.7, 0.6, 0.8, "FAIL"), Row("step 9", None)], 0.6):
    ...     print(line)
              0.50                                1.00
    step 500          |-------*-------                 0.700 (0.600-0.800) FAIL
    step 9            |
    """
    known = [value for row in rows for value in (row.auc, row.low) if value is not None]
    left = min(0.5, *known, 0.5) if known else 0.5
    left = int(left * 10) / 10  # a tenth, so that two plots are alike
    wide = max((len(row.label) for row in rows), default=0)

    def place(value: float) -> int:
        return round((value - left) / (1 - left) * (WIDTH - 1))

    yield f"{'':{wide}}  {left:<{WIDTH - 4}.2f}1.00"
    for row in rows:
        line = [" "] * WIDTH
        if row.low is not None and row.high is not None:
            for at in range(place(row.low), place(row.high) + 1):
                line[at] = "-"
        if budget is not None:
            line[place(budget)] = "|"
        if row.auc is not None:
            line[place(row.auc)] = "*"
        numbers = "" if row.auc is None else f" {row.auc:.3f}"
        if row.low is not None and row.high is not None:
            numbers += f" ({row.low:.3f}-{row.high:.3f})"
        yield f"{row.label:{wide}}  {''.join(line)}{numbers} {row.words}".rstrip()
