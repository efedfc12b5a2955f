"""How the target draws: steps, guidance, scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from privaudit.audit import Audit
    from privaudit.study.owner import Owner
    from privaudit.study.table import Table

__all__ = ["Guidance", "Schedulers", "Steps"]

STEPS = (30, 50, 100, 200)
"""Of the paper's figure 5."""
GUIDANCE = (1.0, 3.0, 5.0, 7.5)
SCHEDULERS = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
)
SHOWN = 3
"""Members, and as many non-members, of which the strip shows a picture."""


def reaching(owner: Owner, **settings: Any) -> Audit:
    """Make an audit with another value of a setting of the pipeline's call, named first.

    Raises
    ------
    LeftOut
        If that setting cannot reach the target.
    """
    audit, name = owner.audit(**settings), next(iter(settings))
    if name in audit.models.without_effect():
        kind = type(owner.inputs.target_model).__name__
        msg = f"target_model is a {kind}, which no {name} reaches: give a diffusers pipeline"
        raise LeftOut(msg)
    return audit


class Steps(Axis):
    """The same noise, removed in more steps."""

    name = "steps"
    question = "Does a target that draws in more denoising steps leak more?"
    x_label = "denoising steps"
    log = True
    only = ("I", "III")  # the paper asks it of III; 380 steps a sample are many

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the audit's own steps, if they are known, and the paper's."""
        own = owner.settings.num_inference_steps
        for steps in sorted({*STEPS, *([] if own is None else [own])}):
            audit = reaching(owner, num_inference_steps=steps, queries=1)
            yield Cell(str(steps), audit, float(steps))

    def table(self, owner: Owner) -> Table:
        """Say that each sample is asked for once."""
        table = super().table(owner)
        table.notes.append("each sample is asked for once (m = 1), whatever the audit's budget")
        return table

    def pictures(self, owner: Owner, table: Table, folder: Path) -> list[str]:
        """Write a strip of the same seeds' pictures."""
        from privaudit.study.strip import write_strip

        if not table.rows:
            return []
        columns = {f"{cell.label} steps": cell.audit for cell in self.cells(owner)}
        return write_strip(columns, table.scenarios[0], SHOWN, folder / "steps-pictures.png")


class Guidance(Axis):
    """Weaker and stronger guidance by the prompt."""

    name = "guidance"
    question = "Does stronger guidance by the prompt show more of the members?"
    x_label = "guidance scale"

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the audit's own guidance, if it is known, and four more."""
        own = owner.settings.guidance_scale
        for scale in sorted({*GUIDANCE, *([] if own is None else [own])}):
            yield Cell(f"{scale:g}", reaching(owner, guidance_scale=scale), float(scale))


class Schedulers(Axis):
    """Other ways through the same noise levels, at the audit's own number of steps."""

    name = "schedulers"
    question = "Does it matter which scheduler the target draws with?"
    x_label = "scheduler"

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the pipeline's own, and four more."""
        others = [(name, reaching(owner, scheduler=name)) for name in SCHEDULERS]
        yield Cell("its own", owner.audit())
        for name, audit in others:
            yield Cell(name.removesuffix("Scheduler"), audit)
