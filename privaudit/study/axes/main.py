"""Scenario × inference model: the paper's main tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.figure import Figure

    from privaudit.study.owner import Owner
    from privaudit.study.table import Table

__all__ = ["Main"]


class Main(Axis):
    """The audit itself, with all its results."""

    name = "main"
    question = "How well does each attack tell members from non-members?"
    x_label = "cell"
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the one audit."""
        yield Cell("the audit", owner.audit())

    def table(self, owner: Owner) -> Table:
        """Say also why scenarios are missing."""
        table = super().table(owner)
        for scenario in owner.settings.scenarios:
            lacking = owner.lacking(scenario)
            if lacking:
                table.left_out[f"attack-{scenario}"] = f"lacks {', '.join(lacking)}"
        return table

    def draw(self, table: Table, figure: Figure) -> None:
        """Draw AUC, success rate and TPR of each scenario side by side."""
        from privaudit.study.plots import draw_scenarios

        draw_scenarios(figure, table)
