"""The plots of a study: intervals are drawn, and what differs in colour differs in shape too."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from privaudit.errors import MissingExtraError
from privaudit.study.table import HALF

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from privaudit.study.table import Row, Table

__all__ = [
    "check_matplotlib",
    "draw_categories",
    "draw_numbers",
    "draw_scenarios",
    "draw_sweep",
    "figure_files",
]

STYLES = (
    ("#14213d", "o", "-"),
    ("#c8501e", "s", "--"),
    ("#2a9d8f", "^", "-."),
    ("#8c6bb1", "D", ":"),
)
"""Colour, mark and line of each inference model: dark, middle, light and middle in grey print."""
WIDTH, PANEL = 6.4, 2.35
"""Inches of a figure, and of the height of a panel with numbers."""
FONT: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "privaudit",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
GUESS: dict[str, Any] = {"color": "#7f7f7f", "linewidth": 1.0, "zorder": 1}


def check_matplotlib() -> None:
    """Find out before anything is drawn whether plots can be made.

    Raises
    ------
    MissingExtraError
        If matplotlib is not there.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("privaudit study", "matplotlib", "study") from error


@contextlib.contextmanager
def figure_files(folder: Path, name: str) -> Iterator[Figure]:
    """Yield an empty figure, and write ``NAME.svg`` and ``NAME.png`` of what was drawn on it."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(FONT):
        figure = Figure(layout="constrained")
        yield figure
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})


# ---------------------------------------------------------------------------- kinds of plots


def draw_numbers(figure: Figure, table: Table, *, log: bool = False, curves: bool = False) -> None:
    """Draw a panel a scenario: AUC over a numeric x, a line an inference model.

    Parameters
    ----------
    figure
        Empty.
    table
        Whose rows all have an x.
    log
        Whether x is on a logarithmic scale.
    curves
        Whether the table's curves are drawn into each panel.
    """
    panels = _panels(figure, table.scenarios, PANEL, share="y")
    for panel, scenario in panels:
        for place, attack in enumerate(table.attacks):
            rows = [r for r in table.rows if (r.scenario, r.attack) == (scenario, attack)]
            _line(panel, rows, attack, place, len(table.attacks), log=log)
        if curves:
            for name, curve in table.curves.items():
                panel.plot(curve["x"], curve["auc"], color="#555555", lw=1, ls=(0, (1, 1)))
                panel.plot([], [], color="#555555", lw=1, ls=(0, (1, 1)), label=name)
        _number_axis(panel, [row.x or 0.0 for row in table.rows], log=log)
        panel.axhline(0.5, **GUESS)
    _limit([row for row in table.rows if row.x is not None], [panel for panel, _ in panels], "y")
    figure.supxlabel(table.x_label, fontsize=10)
    figure.supylabel("AUC with 95 % interval", fontsize=10)
    _legend(figure, panels[0][0])


def draw_categories(figure: Figure, table: Table, *, log: bool = False) -> None:
    """Draw a panel a scenario: AUC of each cell from top to bottom, a mark an inference model.

    What stands beside the rows, such as a loss, has a panel of its own.
    """
    from matplotlib.ticker import MaxNLocator

    del log
    known = dict.fromkeys(n for r in table.rows for n, v in r.beside.items() if v is not None)
    beside = [name for name in known if HALF not in name]
    height = 0.85 + 0.14 * len(table.cells) * (1 + len(table.attacks))
    panels = _panels(figure, [*table.scenarios, *beside], height, share="labels")
    places = {cell: -i for i, cell in enumerate(table.cells)}
    auc = [panel for panel, name in panels if name in table.scenarios]
    for panel, name in panels:
        panel.grid(visible=False, axis="y")
        panel.set_yticks(list(places.values()), list(places))
        panel.set_ylim(min(places.values()) - 0.6, 0.6)
        if name in beside:
            _beside(panel, {row.cell: row for row in table.rows}, name, places)
            panel.margins(x=0.15)
            panel.xaxis.set_major_locator(MaxNLocator(3))
            continue
        panel.axvline(0.5, **GUESS)
        for place, attack in enumerate(table.attacks):
            for row in table.rows:
                if (row.scenario, row.attack) == (name, attack):
                    at = places[row.cell] - _dodge(place, len(table.attacks), 0.5)
                    _mark(panel, at, (row.auc, row.auc_low, row.auc_high), place)
            _mark_label(panel, attack, place)
        panel.set_xlabel("AUC with 95 % interval")
    _limit(table.rows, auc, "x")
    _legend(figure, auc[0])


def draw_scenarios(figure: Figure, table: Table) -> None:
    """Draw AUC, success rate and TPR at 1 % FPR of each scenario, side by side.

    A scenario that several cells look at has a place for each, named by all cells but the first.
    """
    names = {"auc": "AUC", "success": "success rate", "tpr": "TPR at 1 % FPR"}
    shown = [n for n in names if any(getattr(row, n) is not None for row in table.rows)]
    pairs = dict.fromkeys((row.scenario, row.cell) for row in table.rows)
    asked = sorted(pairs, key=lambda pair: table.scenarios.index(pair[0]))  # cells stay in order
    labels = [f"attack-{s}" + ("" if c == table.cells[0] else f",\n{c}") for s, c in asked]
    height = 1.1 + 0.17 * len(asked) * (1 + len(table.attacks))
    figure.set_size_inches(WIDTH, height)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    places = {place: -i for i, place in enumerate(asked)}
    for panel, name in zip(panels, shown, strict=True):
        panel.grid(visible=False, axis="y")
        for place, attack in enumerate(table.attacks):
            for row in (r for r in table.rows if r.attack == attack):
                values = tuple(getattr(row, name + end) for end in ("", "_low", "_high"))
                at = places[row.scenario, row.cell]
                if values[0] is not None:
                    _mark(panel, at - _dodge(place, len(table.attacks), 0.5), values, place)
                elif place == 0:
                    panel.text(0.5, at, "n < 100", ha="center", va="center", color="#555555")
            _mark_label(panel, attack, place)
        if name != "tpr":
            panel.axvline(0.5, **GUESS)
        panel.set_xlim(-0.03 if name == "tpr" else _least(table.rows), 1.02)
        panel.set_xlabel(f"{names[name]},\n95 % interval")
        panel.set_yticks(list(places.values()), labels)
        panel.set_ylim(min(places.values()) - 0.6, 0.6)
    _legend(figure, panels[0])


def draw_sweep(figure: Figure, table: Table) -> None:
    """Draw the success rate at each threshold, with τ of the calibration set."""
    panels = _panels(figure, table.scenarios, PANEL, share="y")
    for panel, scenario in panels:
        curve = table.curves[scenario]
        panel.fill_between(curve["x"], curve["low"], curve["high"], color="#c9d3e3", lw=0)
        panel.plot(curve["x"], curve["success"], color="#14213d", label="at each threshold")
        panel.axvline(curve["tau"][0], color="#c8501e", ls="--", label="τ of the calibration set")
        panel.axhline(0.5, **GUESS)
    figure.supxlabel(table.x_label, fontsize=10)
    figure.supylabel("success rate with 95 % interval", fontsize=10)
    _legend(figure, panels[0][0])


# ---------------------------------------------------------------------------- parts of them


def _beside(panel: Axes, rows: Mapping[str, Row], name: str, places: Mapping[str, int]) -> None:
    """Draw what stands beside the rows of each cell, with its interval where it has one."""
    there = {cell: v for cell, row in rows.items() if (v := row.beside.get(name)) is not None}
    halves = [rows[cell].beside.get(name + HALF) or 0.0 for cell in there]
    at = [places[cell] for cell in there]
    panel.errorbar(
        list(there.values()), at, xerr=halves, fmt="D", color="#14213d", ms=5, elinewidth=1.1
    )
    panel.set_xlabel("mean with 95 % interval" if any(halves) else "mean")


def _panels(
    figure: Figure, names: Sequence[str], height: float, *, share: str
) -> list[tuple[Axes, str]]:
    """Lay out two panels a row, and name them."""
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure.set_size_inches(WIDTH if columns > 1 else 0.7 * WIDTH, height * rows + 0.7)
    drawn = figure.subplots(rows, columns, squeeze=False, sharey=share == "y")
    cells = list(drawn.ravel())
    for panel in cells[len(names) :]:
        panel.set_visible(False)
    for place, (panel, name) in enumerate(zip(cells, names, strict=False)):
        panel.set_title(f"attack-{name}" if name in ("I", "II", "III", "IV") else name)
        if share == "labels" and place % columns:
            panel.tick_params(labelleft=False)
    return list(zip(cells, names, strict=False))


def _dodge(place: int, of: int, width: float) -> float:
    """Return how far beside its place the mark of one of several is drawn."""
    return width * ((place + 0.5) / of - 0.5)


def _line(panel: Axes, rows: Sequence[Row], label: str, place: int, of: int, *, log: bool) -> None:
    """Draw one inference model's AUCs over x, with their intervals."""
    colour, mark, dash = STYLES[place % len(STYLES)]
    xs = [row.x or 0.0 for row in rows]
    wide = max(xs) - min(xs) if xs else 0.0
    beside = _dodge(place, of, 0.05)
    ratio = max(xs) / min(xs) if log and xs else 1.0
    at = [x * ratio**beside if log else x + beside * wide for x in xs]
    aucs = [row.auc for row in rows]
    errors = [
        [max(0.0, row.auc - row.auc_low) for row in rows],
        [max(0.0, row.auc_high - row.auc) for row in rows],
    ]
    panel.errorbar(
        at,
        aucs,
        yerr=errors,
        color=colour,
        marker=mark,
        linestyle=dash,
        markersize=4.5,
        linewidth=1.2,
        elinewidth=0.9,
        markerfacecolor="white" if place % 2 else colour,
        label=label,
    )


def _number_axis(panel: Axes, xs: Sequence[float], *, log: bool) -> None:
    """Tick what was measured, as far as the numbers have room."""
    from matplotlib.ticker import NullLocator

    known = sorted(set(xs))
    least = 0.045 * max(len(f"{x:g}") for x in known) * (known[-1] - known[0])
    if log:
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
    kept: list[float] = []
    for x in known:
        if not kept or (x >= 1.45 * kept[-1] if log else x >= kept[-1] + least):
            kept.append(x)
    panel.set_xticks(kept, [f"{x:g}" for x in kept])


def _mark(panel: Axes, at: float, values: Any, place: int) -> None:
    colour, mark, _ = STYLES[place % len(STYLES)]
    value, low, high = values
    panel.errorbar(
        [value],
        [at],
        xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
        color=colour,
        marker=mark,
        markersize=5,
        elinewidth=1.1,
        markerfacecolor="white" if place % 2 else colour,
    )


def _mark_label(panel: Axes, label: str, place: int) -> None:
    colour, mark, _ = STYLES[place % len(STYLES)]
    face = "white" if place % 2 else colour
    panel.plot([], [], color=colour, marker=mark, ls="none", markerfacecolor=face, label=label)


def _least(rows: Sequence[Row]) -> float:
    lows = [min(row.auc_low, row.success_low) for row in rows]
    return max(0.0, min([0.45, *lows]) - 0.02)


def _limit(rows: Sequence[Row], panels: Sequence[Axes], which: str) -> None:
    """Give all panels one range of AUCs, which ends at 1."""
    low = max(0.0, min([0.45, *(row.auc_low for row in rows)]) - 0.02)
    for panel in panels:
        (panel.set_ylim if which == "y" else panel.set_xlim)(low, 1.02)


def _legend(figure: Figure, panel: Axes) -> None:
    """Put one legend above all panels, where it covers nothing."""
    handles, labels = panel.get_legend_handles_labels()
    if len(labels) > 1:
        columns = 2 if sum(map(len, labels)) > 50 else len(labels)
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=10
        )
