"""The one list of axes: their names are spelled here, in the order in which they are run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from privaudit.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privaudit.study.axes.base import Axis

__all__ = ["HOMES", "axes_named", "axis_names"]

HOMES = (
    ("main", "main:Main"),
    ("thresholds", "thresholds:ThresholdSweep"),
    ("encoders", "measures:Encoders"),
    ("metric", "measures:Metric"),
    ("token-axis", "measures:TokenAxis"),
    ("aggregation", "measures:Aggregation"),
    ("calibration", "sizes:Calibration"),
    ("samples", "sizes:Samples"),
    ("queries", "asking:Queries"),
    ("steps", "drawing:Steps"),
    ("guidance", "drawing:Guidance"),
    ("schedulers", "drawing:Schedulers"),
    ("prompts", "asking:Prompts"),
    ("epochs", "models:Epochs"),
    ("defences", "models:Defences"),
    ("shadows", "models:Shadows"),
)
"""Name, and the module of this package with the class: those that draw nothing new first."""


def axis_names() -> tuple[str, ...]:
    """Return the names of all axes, in order."""
    return tuple(name for name, _ in HOMES)


def axes_named(names: Iterable[str] | None = None) -> list[Axis]:
    """Make axes by their names, in the order of the list.

    Parameters
    ----------
    names
        By default all.

    Raises
    ------
    SettingError
        If there is no axis of a name; the message lists those there are.
    """
    wanted = set(axis_names() if names is None else names)
    unknown = sorted(wanted - set(axis_names()))
    if unknown or not wanted:
        what = f"axis {', '.join(map(repr, unknown))} is unknown" if unknown else "no axis is named"
        msg = f"{what}: choose from {', '.join(axis_names())}"
        raise SettingError(msg)
    made = []
    for name, home in HOMES:
        if name in wanted:
            module, _, kind = home.partition(":")
            found = importlib.import_module(f"privaudit.study.axes.{module}")
            made.append(getattr(found, kind)())
    return made
