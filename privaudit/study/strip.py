"""The same seeds' pictures side by side, from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privaudit.audit import Audit

__all__ = ["write_strip"]

EDGE = 0.75
"""Inches of a picture."""


def write_strip(columns: Mapping[str, Audit], scenario: str, n: int, file: Path) -> list[str]:
    """Write samples with the first answer to each, a column an audit.

    Parameters
    ----------
    columns
        Audits by what stands above their column; they ask about the same samples.
    scenario
        Whose evaluation set and words are used.
    n
        Members, and as many non-members.
    file
        A PNG. **It shows training pictures.**

    Returns
    -------
    list of str
        The file's name; nothing if the store has lost or never had the pictures.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from privaudit.study.plots import FONT

    audits = list(columns.values())
    evaluation = audits[0].sets(scenario).evaluation
    members, others = evaluation.members[:n], evaluation.non_members[:n]
    samples = [*members, *others]
    rows = [[sample.image for sample in samples]]
    for audit in audits:
        sets = audit.sets(scenario)
        scorer = audit.scorer(sets)
        queries = scorer.queries(samples)[:: audit.settings.queries]
        keys = scorer.task(sets.evaluation.target).keys(queries)[0]
        found = [audit.store.image(key) for key in keys]
        if any(image is None for image in found):
            return []
        rows.append([image for image in found if image is not None])
    titles = ["sample", *columns]
    with matplotlib.rc_context(FONT):
        figure = Figure(
            figsize=(EDGE * len(titles) + 0.9, EDGE * len(samples) + 0.3), layout="constrained"
        )
        panels = figure.subplots(len(samples), len(titles), squeeze=False)
        for i, line in enumerate(panels):
            for j, panel in enumerate(line):
                panel.imshow(rows[j][i], interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                panel.grid(visible=False)
                panel.spines[:].set_visible(False)
                if i == 0:
                    panel.set_title(titles[j], fontsize=9)
                if j == 0 and i in (0, len(members)):
                    side = "non-members" if i else "members"
                    panel.set_ylabel(side, fontsize=9, loc="top")
        figure.savefig(file, dpi=110, metadata={"Software": None})
    return [file.name]
