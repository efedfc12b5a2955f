"""What more answers a sample buy: a table of docs/strength.md.

``python benchmarks/strength_draws.py --folder F --sets S NAME …`` asks targets of ``strength.py``,
and their base, up to a hundred times a sample by captions, and thirty with the pictures handed in;
nothing is asked twice, and the first answers are those of fewer. With ``--kept`` it asks nothing,
and leaves out what was not asked. Scenario I by ``combined`` over the draws of ``strength.py``, and
the variations' score over the base; each with its capture. Nothing but m varies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import strength
import strength_targets as targets
from common import show
from strength_grid import answer_similarity, read_arguments

from privaudit.audit.scoring import beside_pool
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.measurements.variation import VariationFidelity

if TYPE_CHECKING:
    from strength_targets import Asked

BUDGETS = (1, 3, 10, 30, 100)
MOST_VARIED = 30
"""Draws of a picture that is handed in: more of them show no more."""
METHOD = "combined"


def by_text(asked: Asked, base: Asked, m: int, measurement: Any) -> list[float]:
    """AUC of scenario I in each draw; empty if it was not asked so often."""
    own, theirs = (one.features(measurement, m) for one in (asked, base))
    if own is None or theirs is None:
        return []
    features = strength.chosen(beside_pool(own.over(theirs)), METHOD)
    return [] if features is None else strength.known_members(features, asked.members, METHOD)


def by_picture(asked: Asked, base: Asked, m: int) -> list[float]:
    """AUC of the variations, over the base's, of the samples that are evaluated in each draw."""
    own, theirs = (one.features(VariationFidelity(), m) for one in (asked, base))
    if own is None or theirs is None:
        return []
    return strength.Varied.draws(own.less(theirs).similarity, asked.members)


def main() -> None:
    """Ask what was not asked yet, and print the table."""
    given, measurement, rows = read_arguments(__doc__), answer_similarity(), []
    for yard in (yard for yard in targets.YARDS if yard.name in given.names):
        where = (given.folder, given.sets)
        asked = targets.Asked.of(yard, *where)
        base = targets.Asked.of(targets.base_of(yard), *where, asked.samples)
        if not given.kept:
            asked.features(DenoisingLoss(), targets.DRAWS, make=True)
            for one in (asked, base):
                one.features(VariationFidelity(), MOST_VARIED, make=True)
                one.features(PixelSimilarity(), max(BUDGETS), make=True)
        white = strength.white_box(asked)
        for m in BUDGETS:
            cells = []
            for aucs in (by_text(asked, base, m, measurement), by_picture(asked, base, m)):
                if aucs and white is not None:
                    captured = (np.mean(aucs) - 0.5) / (white - 0.5)
                    cells += [f"{np.mean(aucs):.3f} ± {np.std(aucs):.3f}", f"{captured:.2f}"]
                else:
                    cells += ["–", "–"]
            rows.append([yard.name, "–" if white is None else f"{white:.3f}", m, *cells])
            print(*map(str, rows[-1]), flush=True)
    show(rows, ["target", "white-box", "m", "combined", "capture", "pictures", "capture"])


if __name__ == "__main__":
    main()
