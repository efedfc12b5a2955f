"""Figures of a report, as SVG that stands in a page without CSS, scripts or global rules.

Matplotlib draws them; what it writes as ``style=`` becomes presentation attributes, ids get a
prefix, and each figure gets a title and a description for readers who do not see it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from privaudit.record import AttackResult, RunRecord

__all__ = ["Figure", "draw_forest", "draw_histogram", "draw_roc", "draw_run", "roc_on_grid"]

GRID = 120
"""Points of a curve, whatever the number of samples."""
BINS = 30
INK, BUDGET, QUIET = "#222222", "#7a1f1f", "#6b6b6b"
COLOURS = ("#0b4f8a", "#b3480f", "#2a6f5e", "#6a3d9a")
"""Of curves; they differ by their dashes, too."""
DASHES = ("-", "--", "-.", ":")
SHAPES = {"pass": "o", "fail": "s", "inconclusive": "D", "reported": "^"}
"""By verdict: grey print leaves the shapes."""
VERDICT_COLOURS = {"pass": "#2a6f5e", "fail": "#b3261e", "inconclusive": "#7a5b00", "reported": INK}
STYLE: dict[str, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "privaudit",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.edgecolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
}
PRESENTATION = frozenset(
    (
        *("fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity"),
        *("stroke-linecap", "stroke-linejoin", "stroke-dasharray", "stroke-dashoffset", "opacity"),
        *("font-size", "font-family", "font-weight", "font-style", "text-anchor", "clip-path"),
    )
)
"""Properties of CSS that SVG also has as attributes."""
FONT = re.compile(
    r"(?:(?P<style>italic|oblique)\s+)?(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+)px"
)
NUMBER = re.compile(r"-?\d+\.\d{3,}")
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Figure:
    """One figure, with its numbers.

    Attributes
    ----------
    title
        What it shows.
    sentence
        What to take away.
    svg
        Markup to stand in a page.
    columns, rows
        The numbers behind it, as text.
    """

    title: str
    sentence: str
    svg: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


# ---------------------------------------------------------------------------- the curves


def roc_on_grid(
    members: Sequence[float], non_members: Sequence[float], points: int = GRID
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a ROC curve at false positive rates that are evenly spaced on a log axis.

    Parameters
    ----------
    members, non_members
        Scores, shapes (n,) and (m,), the higher the likelier a member.
    points
        Of the grid: what a curve costs does not depend on n.

    Returns
    -------
    fpr, tpr
        Shapes (points + 1,), in [0, 1], from (0, ·) to (1, 1). Each true positive rate is the
        largest that a threshold has whose false positive rate is at most that of the grid.

    Examples
    --------
    >>> fpr, tpr = roc_on_grid([3.0, 2.0], [1.0, 2.5], points=3)
    >>> [round(float(x), 2) for x in fpr], [float(y) for y in tpr]
    ([0.0, 0.25, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0])
    """
    high = np.sort(np.asarray(members, dtype=np.float64))
    low = np.sort(np.asarray(non_members, dtype=np.float64))
    fpr = np.concatenate([[0.0], np.geomspace(1 / (2 * len(low)), 1.0, points)])
    # With k false positives allowed, the threshold is just above the (k + 1)-th highest.
    allowed = np.floor(fpr * len(low) + 1e-9).astype(int)
    padded = np.concatenate([[-np.inf], low])
    thresholds = padded[len(low) - allowed]
    tpr = 1 - np.searchsorted(high, thresholds, side="right") / len(high)
    return fpr, np.where(allowed >= len(low), 1.0, tpr)


def draw_roc(results: Sequence[AttackResult], prefix: str) -> Figure:
    """Draw ROC curves on linear and on logarithmic axes.

    Parameters
    ----------
    results
        At most four: the strongest of each access.
    prefix
        Of the ids in the SVG.
    """
    figure, (linear, log) = _new((8.6, 3.9), 1, 2)
    rows = []
    floor = min(1 / (2 * len(one.non_member_scores)) for one in results)
    for place, one in enumerate(results):
        fpr, tpr = roc_on_grid(
            list(one.member_scores.values()), list(one.non_member_scores.values())
        )
        style = {"color": COLOURS[place % 4], "linestyle": DASHES[place % 4], "linewidth": 1.8}
        linear.plot(fpr, tpr, drawstyle="steps-post", label=one.name, **style)
        log.plot(fpr[1:], np.maximum(tpr[1:], floor), drawstyle="steps-post", **style)
        for target in (0.001, 0.01, 0.1, 0.5):
            k = int(np.searchsorted(fpr, target * (1 + 1e-9), side="right")) - 1
            rows.append((one.name, f"{target:g}", f"{tpr[k]:.3f}"))
    guess = np.geomspace(floor, 1, 2)
    for axes in (linear, log):
        axes.plot(
            [0, 1] if axes is linear else guess,
            [0, 1] if axes is linear else guess,
            color=QUIET,
            linewidth=1,
            linestyle=(0, (1, 2)),
        )
        axes.set_xlabel("non-members that are called members (FPR)")
        axes.set_ylabel("members that are found (TPR)")
    log.set_xscale("log")
    log.set_yscale("log")
    log.set_title("both axes logarithmic", loc="left", fontsize=10)
    linear.set_title("both axes linear", loc="left", fontsize=10)
    linear.legend(loc="lower right", frameon=False, fontsize=8.5)
    best = max(results, key=lambda one: one.auc)
    sentence = (
        "The further a curve is above the dotted diagonal of guessing, the more is given away: the "
        f"strongest, {best.name}, has AUC {best.auc:.3f}. On the right is who can be sure: members "
        "that are found while few non-members are accused."
    )
    title = "How many members are found, and how many non-members are accused (ROC)"
    svg = _to_svg(figure, prefix, title, sentence)
    return Figure(title, sentence, svg, ("result", "FPR at most", "TPR"), rows)


def draw_forest(results: Sequence[AttackResult], prefix: str) -> Figure:
    """Draw the AUC of each result with its bounds, and the budget as a line.

    Parameters
    ----------
    results
        From top to bottom.
    prefix
        Of the ids in the SVG.
    """
    labels = [f"{one.name}: {one.verdict}" for one in results]
    longest = 0.075 * max(map(len, labels)) + 0.2
    figure, (axes,) = _new((8.6, 0.9 + 0.3 * len(results)), 1, 1, left=longest)
    for place, one in enumerate(results):
        low, high = one.interval.low, one.interval.high
        colour = VERDICT_COLOURS.get(one.verdict, INK)
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        axes.plot(
            [one.auc], [place], marker=SHAPES.get(one.verdict, "o"), color=colour, markersize=6
        )
    budgets = sorted({one.budget for one in results})
    for budget in budgets:
        axes.axvline(budget, color=BUDGET, linewidth=1.4, linestyle="--")
    axes.axvline(0.5, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
    axes.set_yticks(range(len(results)), labels)
    axes.set_ylim(len(results) - 0.5, -0.5)
    least = min(0.45, *(one.interval.low for one in results))
    axes.set_xlim(max(0.0, least - 0.02), 1.02)
    axes.set_xlabel("AUC: 0.5 is guessing (dotted), 1 is certain; dashed: the budget")
    over = sum(not one.auc <= one.budget for one in results)
    shown = sum(one.interval.low > one.budget for one in results)
    sentence = (
        f"{over} of {len(results)} results are over the budget of "
        f"{', '.join(f'{budget:g}' for budget in budgets)}; of {shown} even the lower bound is. A "
        "result whose line crosses the budget is not shown to be on either side."
    )
    title = "All results with their bounds"
    rows = [
        (
            one.name,
            f"{one.auc:.3f}",
            f"{one.interval.low:.3f}",
            f"{one.interval.high:.3f}",
            f"{one.budget:g}",
            f"{one.evaluation.members}+{one.evaluation.non_members}",
            "n < 100" if one.at_fpr(0.01) is None else f"{one.at_fpr(0.01).tpr.value:.1%}",  # type: ignore[union-attr]
            f"{one.n_queries:,}",
            one.verdict if one.verdict != "pass" or one.supported else "pass, not shown",
        )
        for one in results
    ]
    columns = (
        *("result", "AUC", "at least", "at most", "budget", "members+non-members"),
        *("TPR at 1 % FPR", "images", "verdict"),
    )
    return Figure(title, sentence, _to_svg(figure, prefix, title, sentence), columns, rows)


def draw_histogram(result: AttackResult, prefix: str) -> Figure:
    """Draw how the scores of members and of non-members are distributed.

    Parameters
    ----------
    result
        One result.
    prefix
        Of the ids in the SVG.
    """
    members = np.array(list(result.member_scores.values()))
    others = np.array(list(result.non_member_scores.values()))
    edges = np.histogram_bin_edges(np.concatenate([members, others]), BINS)
    figure, (axes,) = _new((8.6, 2.9), 1, 1)
    shares = []
    for scores, colour, label, hatch in (
        (members, COLOURS[1], "members", "////"),
        (others, COLOURS[0], "non-members", ""),
    ):
        counts, _ = np.histogram(scores, edges)
        shares.append(counts / len(scores))
        axes.stairs(counts / len(scores), edges, fill=True, alpha=0.35, color=colour)
        axes.stairs(
            counts / len(scores), edges, color=colour, linewidth=1.5, label=label, hatch=hatch
        )
    axes.axvline(result.threshold, color=INK, linewidth=1.2, linestyle=":")
    axes.set_xlabel(f"score of {result.name}; dotted: the threshold, chosen on other samples")
    axes.set_ylabel("share of the class")
    axes.legend(frameon=False, fontsize=9)
    overlap = float(np.minimum(*shares).sum())
    sentence = (
        f"Scores of members and non-members overlap by {overlap:.0%}: where the two shapes are "
        "apart, an attacker can distinguish them; where they lie on each other, nobody can."
    )
    title = f"Scores of members and non-members ({result.name})"
    rows = [
        (f"{edges[k]:.4g} to {edges[k + 1]:.4g}", f"{shares[0][k]:.1%}", f"{shares[1][k]:.1%}")
        for k in range(len(edges) - 1)
    ]
    svg = _to_svg(figure, prefix, title, sentence)
    return Figure(title, sentence, svg, ("score", "members", "non-members"), rows)


def draw_run(run: RunRecord, prefix: str) -> Figure | None:
    """Draw the AUC of a training run's checkpoints over its steps; ``None`` without two of them.

    Parameters
    ----------
    run
        The audits of a run.
    prefix
        Of the ids in the SVG.
    """
    steps = [one for one in run.checkpoints if one.auc is not None]
    if len(steps) < 2:
        return None
    figure, (axes,) = _new((8.6, 3.2), 1, 1)
    last = max((one.step for one in steps if one.step is not None), default=0)
    places = [last * 1.05 if one.step is None else one.step for one in steps]
    axes.plot(places, [one.auc for one in steps], color=COLOURS[0], linewidth=1.2)
    for place, one in zip(places, steps, strict=True):
        colour = VERDICT_COLOURS.get(one.verdict, INK)
        if one.interval is not None:
            axes.plot([place, place], [one.interval.low, one.interval.high], color=colour)
        axes.plot([place], [one.auc], marker=SHAPES.get(one.verdict, "o"), color=colour)
    if run.budget is not None:
        axes.axhline(run.budget, color=BUDGET, linewidth=1.4, linestyle="--")
    axes.set_xlabel(f"{run.unit}s of training; dashed: the budget")
    axes.set_ylabel("highest AUC")
    sentence = (
        "No checkpoint was found to be within the budget."
        if run.last_within is None
        else f"The last checkpoint found to be within the budget is {run.last_within}."
    )
    title = f"AUC over the training run {run.run}"
    rows = [
        (
            one.name,
            "-" if one.step is None else str(one.step),
            "-" if one.auc is None else f"{one.auc:.3f}",
            "-" if one.interval is None else f"{one.interval.low:.3f} to {one.interval.high:.3f}",
            one.verdict,
        )
        for one in run.checkpoints
    ]
    svg = _to_svg(figure, prefix, title, sentence)
    return Figure(title, sentence, svg, ("checkpoint", run.unit, "AUC", "bounds", "verdict"), rows)


# ---------------------------------------------------------------------------- SVG for a page


def _new(
    size: tuple[float, float], rows: int, columns: int, left: float = 0.65
) -> tuple[Any, list[Any]]:
    """Make a figure that no other shares state with; margins in inches, for they cost no layout."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=size)
        axes = canvas.subplots(rows, columns, squeeze=False)
    width, height = size
    canvas.subplots_adjust(
        left=left / width,
        right=1 - 0.15 / width,
        bottom=0.5 / height,
        top=1 - 0.3 / height,
        wspace=0.25,
    )
    return canvas, list(axes.flat)


def _to_svg(figure: Any, prefix: str, title: str, sentence: str) -> str:
    """Return a figure as markup for a page, with a title and a description."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314  # our own
    _clean(root, prefix)
    width, height = (float(size) for size in root.get("viewBox", "0 0 1 1").split()[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "role": "img",
            "aria-labelledby": f"{prefix}-title {prefix}-desc",
        }
    )
    for place, (tag, text) in enumerate((("title", title), ("desc", sentence))):
        element = ElementTree.Element(tag, {"id": f"{prefix}-{tag}"})
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(root: ElementTree.Element, prefix: str) -> None:
    """Turn styles into attributes, prefix ids, round numbers, and drop what is the whole page's."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in re.findall(r"#([\w-]+)", value)
    }
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.tail = None
        if element.tag != "text" and element.text is not None and not element.text.strip():
            element.text = None
        style = element.attrib.pop("style", "")
        for name, value in _declarations(style):
            element.set(name, value)
        name = element.attrib.pop("id", "")
        if name in used:
            element.set("id", f"{prefix}-{name}")
        link = element.attrib.pop(f"{XLINK}href", "")
        if link:
            element.set("href", link.replace("#", f"#{prefix}-"))
        for key, value in element.attrib.items():
            if "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{prefix}-"))
            elif key in ("d", "x", "y", "transform", "width", "height", "points"):
                element.set(key, NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value))


def _declarations(style: str) -> list[tuple[str, str]]:
    """Return CSS declarations as presentation attributes."""
    pairs = []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            match = FONT.match(value)
            if match is not None:
                pairs.append(("font-size", match["size"]))
                pairs.append(("font-family", "sans-serif"))
                pairs += [("font-weight", match["weight"])] if match["weight"] else []
        elif name in PRESENTATION:
            pairs.append((name, value))
    return pairs
