"""What an axis is: a question, the cells that answer it, and how they are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from privaudit.study.cells import Cell, LeftOut, add_rows
from privaudit.study.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from matplotlib.figure import Figure

    from privaudit.study.owner import Owner

__all__ = ["Axis"]


class Axis:
    """One question of the study; a subclass says by which cells it is answered.

    Attributes
    ----------
    name
        By which ``--only`` knows it, and its files are called.
    question
        What it asks, a sentence.
    x_label
        What the cells differ by, with its unit.
    log
        Whether a numeric x is drawn on a logarithmic scale.
    draws
        Whether it asks models for images that no other axis asks for.
    only
        The scenarios that it looks at, where those are not all.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    x_label: ClassVar[str]
    log: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    only: ClassVar[tuple[str, ...] | None] = None

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the cells, or why one is left out, in order.

        Raises
        ------
        LeftOut
            If the axis does not apply to what the owner brought.
        """
        raise NotImplementedError

    def scenarios(self, owner: Owner) -> tuple[str, ...]:
        """Return the scenarios that the axis looks at, in order."""
        return tuple(s for s in owner.scenarios if self.only is None or s in self.only)

    def table(self, owner: Owner) -> Table:
        """Answer the question.

        Raises
        ------
        LeftOut
            If the axis does not apply to what the owner brought.
        """
        table = Table(self.name, self.question, self.x_label)
        scenarios = self.scenarios(owner)
        if not scenarios:
            wanted = " or ".join(f"attack-{name}" for name in self.only or owner.settings.scenarios)
            raise LeftOut(f"needs {wanted}, and the audit lacks inputs for it")
        for cell in self.cells(owner):
            add_rows(table, cell, scenarios, owner.settings.attacks)
        table.rows.sort(key=lambda row: row.x or 0.0)  # stable: labels keep their order
        return table

    def draw(self, table: Table, figure: Figure) -> None:
        """Draw a table that has rows: a panel a scenario, a line or a mark an inference model."""
        from privaudit.study.plots import draw_categories, draw_numbers

        numeric = all(row.x is not None for row in table.rows)
        (draw_numbers if numeric else draw_categories)(figure, table, log=self.log)

    def pictures(self, owner: Owner, table: Table, folder: Path) -> list[str]:
        """Write further pictures beside the plot, and return the names of their files."""
        del owner, table, folder
        return []
