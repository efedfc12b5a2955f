"""The threshold attack at every threshold, and where τ of the calibration set is (figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks import registry
from privaudit.statistics import success_rate_interval
from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, add_rows
from privaudit.study.table import CONFIDENCE, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from privaudit.study.owner import Owner

__all__ = ["ThresholdSweep"]

POINTS = 81


class ThresholdSweep(Axis):
    """Success rate of the threshold attack at each threshold."""

    name = "thresholds"
    question = "Is the threshold of the calibration set a good one for the target?"
    x_label = "threshold on the mean patch similarity"
    draws = False

    def table(self, owner: Owner) -> Table:
        """Compute a row at τ, and the curve around it, for each scenario."""
        table = Table(self.name, self.question, self.x_label)
        (attack,) = registry.similarity_names()
        own = attack in owner.settings.attacks
        audit = owner.audit() if own else owner.audit(attacks=(attack,))
        for scenario in self.scenarios(owner):
            n = len(table.rows)
            add_rows(table, Cell(f"attack-{scenario}", audit), [scenario], [attack])
            if len(table.rows) == n:
                continue
            result = audit.result(scenario, attack)
            members, others = (
                np.fromiter(scores.values(), float)
                for scores in (result.member_scores, result.non_member_scores)
            )
            every = np.concatenate([members, others])
            at = np.unique(np.quantile(every, np.linspace(0, 1, POINTS)))
            found = [success_rate_interval(members, others, float(t), CONFIDENCE) for t in at]
            table.curves[scenario] = {
                "x": at.tolist(),
                "success": [one.estimate for one in found],
                "low": [one.low for one in found],
                "high": [one.high for one in found],
                "tau": [result.threshold],
            }
        table.notes.append("τ was fixed on the calibration set: in III and IV, the shadow model's")
        return table

    def draw(self, table: Table, figure: Figure) -> None:
        """Draw the curve of each scenario with its τ."""
        from privaudit.study.plots import draw_sweep

        draw_sweep(figure, table)
