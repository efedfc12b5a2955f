"""How many samples: known to the attacker, and evaluated. No new image is drawn."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.audit.sets import LabelledSet
from privaudit.statistics import detectable_auc
from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, LeftOut, add_rows
from privaudit.study.table import CONFIDENCE, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.figure import Figure

    from privaudit.audit.sets import Sets
    from privaudit.samples import Sample
    from privaudit.study.owner import Owner

__all__ = ["Calibration", "Samples"]

SIZES = (5, 10, 20, 40, 80, 160, 320, 640)


class Calibration(Axis):
    """Fewer known members, or fewer samples of the shadow model; the same are evaluated."""

    name = "calibration"
    question = "How many samples must the attacker calibrate on?"
    x_label = "calibration members (as many non-members)"
    log = True
    draws = False

    def table(self, owner: Owner) -> Table:
        """Calibrate on nested parts of the audit's own calibration sets."""
        table = Table(self.name, self.question, self.x_label)
        audit = owner.audit()
        for scenario in self.scenarios(owner):
            known = audit.sets(scenario).calibration
            most = min(len(known.members), len(known.non_members))
            for size in sorted({*(size for size in SIZES if size < most), most}):
                cell = Cell(str(size), audit, float(size), change=_calibrated_on(size, owner))
                add_rows(table, cell, [scenario], owner.settings.attacks)
        paper = owner.settings.protocol == "paper"
        asked = ", asked of one shadow model that knew all of them" if paper else ""
        table.notes.append(
            "the AUC of the threshold attack depends on no calibration, its success rate does"
        )
        table.notes.append(
            "the evaluation set is the audit's own; in I and II the attacker calibrates on known "
            f"members of the target{asked}, in III and IV on samples of a shadow model that stays "
            "the same"
        )
        return table


def _calibrated_on(size: int, owner: Owner) -> Callable[[Sets], Sets]:
    def change(sets: Sets) -> Sets:
        known = sets.calibration
        part = LabelledSet(
            known.target,
            _shuffled(known.members, owner)[:size],
            _shuffled(known.non_members, owner)[:size],
        )
        return dataclasses.replace(sets, calibration=part)

    return change


def _shuffled(samples: Sequence[Sample], owner: Owner) -> list[Sample]:
    """Return samples in a seeded order that their ids alone decide."""
    known = sorted(samples, key=lambda sample: sample.id)
    order = np.random.default_rng(owner.settings.seed).permutation(len(known))
    return [known[i] for i in order]


class Samples(Axis):
    """Audits of fewer of the same samples, beside what so many can show."""

    name = "samples"
    question = "How many members and non-members does an audit need?"
    x_label = "evaluated samples (the smaller class)"
    log = True
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield audits of nested parts of both classes, the whole last."""
        own = owner.audit().models.samples
        most = min(len(own.members), len(own.non_members))
        if most < 2 * SIZES[2]:
            msg = f"{most} samples of the smaller class are too few for a part of them"
            raise LeftOut(msg)
        share = owner.settings.calibration
        share = share if share < 1 else share / most
        sides = _shuffled(own.members, owner), _shuffled(own.non_members, owner)
        for size in (size for size in SIZES[2:] if size < most):
            part: dict[str, Any] = {
                "members": sides[0][:size],
                "non_members": sides[1][:size],
                "coin_split": None,  # it is of all samples
                "sample_groups": None,
            }
            audit = owner.audit(part, calibration=min(share, 0.5))
            yield Cell(f"{size} + {size}", audit, float(size))
        yield Cell(f"{len(own.members)} + {len(own.non_members)}", owner.audit(), float(most))

    def table(self, owner: Owner) -> Table:
        """Say of each row how many were evaluated, and add the power curve."""
        table = super().table(owner)
        table.notes.append(
            "cells are named by the members and non-members that are there; in I and II some of "
            "them calibrate, and the others are evaluated"
        )
        table.rows = [
            dataclasses.replace(row, x=float(min(row.members, row.non_members)))
            for row in table.rows
        ]
        if table.rows:
            most = max(int(row.x or 0) for row in table.rows)
            sizes = sorted({round(n) for n in np.geomspace(10, max(most, 11), 25)})
            curve = [(n, detectable_auc(n, n, 0.5, CONFIDENCE, two_sided=False)) for n in sizes]
            told = [(float(n), auc) for n, auc in curve if auc is not None]
            table.curves["detectable with 80 % power"] = {
                "x": [n for n, _ in told],
                "auc": [auc for _, auc in told],
            }
        return table

    def draw(self, table: Table, figure: Figure) -> None:
        """Draw the power curve into each panel."""
        from privaudit.study.plots import draw_numbers

        draw_numbers(figure, table, log=True, curves=True)
