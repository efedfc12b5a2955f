"""A history as a picture: AUC over releases with intervals, the budget, and where it stepped."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from privaudit.errors import HistoryError, MissingExtraError
from privaudit.history.steps import releases
from privaudit.report.history import get_verdict, release_label
from privaudit.report.verdicts import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from privaudit.history import Entry, Past, Release

__all__ = ["FORMATS", "draw_history", "history_figure"]

FORMATS = (".svg", ".png")
INK, BUDGET, QUIET = "#333333", "#7a1f1f", "#8a8a8a"
MARKS = {
    "pass": ("#2a6f5e", "o", "#2a6f5e"),
    "inconclusive": ("#14213d", "D", "white"),
    "fail": ("#c8501e", "s", "#c8501e"),
}
"""Colour, shape and filling by the result's verdict: grey print leaves the shapes."""
STEPS = {"up": ("^", "stepped up"), "down": ("v", "stepped down")}
WIDTH, PANEL = 8.0, 2.9
"""Inches of the figure, and of the height of one audit's panel."""
LABELS = 9
"""Releases that are named under a panel: more would run into each other."""
CHARACTERS = 88
"""Of a title's line."""
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "privaudit",
    # White, never transparent: on a page with a dark background it stays a readable sheet.
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def draw_history(entries: Sequence[Entry], path: Path, result: str | None = None) -> None:
    """Write the picture of a history.

    Parameters
    ----------
    entries
        The oldest first.
    path
        A file that ends in ``.svg`` or ``.png``; one that is there is written over.
    result
        Name of the result to follow; by default the highest of each audit's last entry.

    Raises
    ------
    HistoryError
        If the file's name has another ending, or it cannot be written.
    MissingExtraError
        If matplotlib is not there.
    """
    if path.suffix.lower() not in FORMATS:
        msg = f"--plot={path} ends in none of {', '.join(FORMATS)}: name a picture of such a kind"
        raise HistoryError(msg)
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("privaudit history --plot", "matplotlib", "study") from error
    dated = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    try:
        with matplotlib.rc_context(STYLE):
            history_figure(entries, result).savefig(path, dpi=130, metadata=dated)
    except OSError as error:
        msg = f"--plot={path} cannot be written ({error}): name a file in a folder that is there"
        raise HistoryError(msg) from error


def history_figure(entries: Sequence[Entry], result: str | None = None) -> Figure:
    """Draw a panel an audit: AUC of each release with its bounds, budget, steps.

    Parameters
    ----------
    entries, result
        As of :func:`draw_history`.
    """
    from matplotlib.figure import Figure

    audits = releases(entries, result)
    figure = Figure(figsize=(WIDTH, PANEL * len(audits) + 0.9), layout="constrained")
    panels = figure.subplots(len(audits), 1, squeeze=False)[:, 0]
    for panel, (name, (followed, those)) in zip(panels, audits.items(), strict=True):
        title = textwrap.wrap(f"{name}: {followed}", CHARACTERS)
        panel.set_title("\n".join(title), loc="left", color=INK)
        _draw(panel, those)
    panels[-1].set_xlabel("release: date, commit (or model), how often it was audited")
    handles: dict[str, Any] = {}
    for panel in panels:
        handles |= {
            label: one for one, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
    figure.legend(
        handles.values(), handles, loc="outside upper center", ncols=4, frameon=False, fontsize=9
    )
    return figure


def _draw(panel: Axes, those: Sequence[Release]) -> None:
    known = [(at, one, one.past) for at, one in enumerate(those) if one.past is not None]
    low = min([0.45, *(past.low for _, _, past in known)]) - 0.03
    panel.set_ylim(max(-0.03, low), 1.07)
    panel.set_xlim(-0.6, len(those) - 0.4)
    panel.set_ylabel("AUC with its interval\n(0.5: guessing, 1: certain)", fontsize=9)
    panel.axhline(0.5, color=QUIET, linewidth=0.9, linestyle=":", label="guessing")
    edges = [-0.6, *(at + 0.5 for at in range(len(those) - 1)), len(those) - 0.4]
    budgets = [one.entry.budget for one in those]
    panel.stairs(
        budgets, edges, baseline=None, color=BUDGET, linestyle="--", linewidth=1.4, label="budget"
    )
    for run in _comparable(those):
        aucs = [(at, one.past.auc) for at, one in run if one.past is not None]
        panel.plot(*zip(*aucs, strict=True), color=QUIET, linewidth=0.9, zorder=1)
    for at, one, past in known:
        _mark(panel, at, one, past)
    _name(panel, those)


def _comparable(those: Sequence[Release]) -> Iterator[list[tuple[int, Release]]]:
    """Yield the stretches of releases that were asked the same: a line joins no others."""
    run: list[tuple[int, Release]] = []
    for at, one in enumerate(those):
        if one.change == "other" and run:
            yield run
            run = []
        if one.past is not None:
            run.append((at, one))
    if run:
        yield run


def _mark(panel: Axes, at: int, one: Release, past: Past) -> None:
    verdict = get_verdict(one)
    colour, shape, face = MARKS.get(verdict, (INK, "X", INK))
    panel.errorbar(
        [at],
        [past.auc],
        yerr=[[max(0.0, past.auc - past.low)], [max(0.0, past.high - past.auc)]],
        color=colour,
        marker=shape,
        markersize=6,
        markerfacecolor=face,
        elinewidth=1.3,
        capsize=3,
        linestyle="none",
        label=written(verdict),
    )
    if one.change in STEPS:
        shape, words = STEPS[one.change]
        panel.axvline(at - 0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        panel.plot([at], [1.04], shape, color=INK, markersize=7, clip_on=False, label=words)
    elif one.change == "other":
        label = "not comparable with the release before"
        panel.axvline(at - 0.5, color=QUIET, linewidth=2.4, alpha=0.6, zorder=0, label=label)


def _name(panel: Axes, those: Sequence[Release]) -> None:
    """Write under the panel as many releases as have room, the newest in any case."""
    every = -(-len(those) // LABELS)
    shown = [at for at in range(len(those)) if (len(those) - 1 - at) % every == 0]
    labels = []
    for at in shown:
        lines = release_label(those[at]).split(" ")
        lines += [f"{those[at].times} times"] if those[at].times > 1 else []
        labels.append("\n".join(lines))
    panel.set_xticks(shown, labels, fontsize=8)
    panel.tick_params(axis="x", length=3)
    panel.grid(visible=True, axis="y", color="#e2e2e2", linewidth=0.6)
    panel.set_axisbelow(True)
