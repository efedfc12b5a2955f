"""Scenario × inference model: the paper's main tables, in its protocol too if there is a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.audit.threat_models import SCENARIOS
from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.figure import Figure

    from privaudit.study.owner import Owner
    from privaudit.study.table import Table

__all__ = ["Main"]

KNOWING = tuple(name for name, scenario in SCENARIOS.items() if scenario.knows_members)


class Main(Axis):
    """The audit itself, with all its results."""

    name = "main"
    question = "How well does each attack tell members from non-members?"
    x_label = "cell"
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the one audit, and I and II with the paper's shadow model where it can be made."""
        yield Cell("the audit", owner.audit())
        if owner.settings.protocol != "paper" and owner.inputs.fine_tune is not None:
            yield Cell("the paper's protocol", owner.audit(protocol="paper"), only=KNOWING)

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
