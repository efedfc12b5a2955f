"""Whether an over-fitted model is caught however it is asked: a table of docs/strength.md.

``python benchmarks/strength_grid.py --folder F --sets S NAME …`` asks targets of ``strength.py`` by
captions at guidance 1, 3 and 7.5, with 10 and 30 steps, once and three times a sample; nothing is
asked twice. With ``--kept`` it asks nothing, and leaves out what was not asked.

Scenario I, mean AUC over 20 draws of 40 + 40 known samples, the other 40 + 40 evaluated. ``caught``
is the share of the draws in which the AUC is over the budget of 0.6 and its lower bound, with 95 %
confidence by itself, is over it too.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import strength
import strength_targets as targets
from common import show

from privaudit import load_encoder
from privaudit.audit.scoring import beside_pool
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements import AnswerSimilarity, ReconstructionSimilarity
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from strength_targets import Asked

    from privaudit.measurements import Features

STEPS, GUIDANCES, BUDGETS = (10, 30), (1.0, 3.0, 7.5), (1, 3)
METHODS = ("threshold", "classifier", "combined: own, pool")
BUDGET, CONFIDENCE = 0.6, 0.95


def draws(features: Features, members: int, method: str) -> list[tuple[float, float]]:
    """Return the AUC, and its lower bound, in each draw of known samples."""
    attack = strength.METHODS[method][0]
    n = strength.SPLITS_OF.get(attack, strength.SPLITS)
    sides = strength.scored(features, members, attack, n)
    bounds = [auc_interval(*each, CONFIDENCE) for each in sides]
    return [(one.auc, one.low) for one in bounds]


def cell(asked: Asked, m: int, measurement: Any, name: str, at: list[float]) -> list[str] | None:
    """Return AUC and share of catches of each method; ``None`` if it was not asked."""
    features = asked.features(measurement, m)
    if features is None:
        return None
    features, cells = beside_pool(features), []
    for method in METHODS:
        read = strength.chosen(features, method)
        key = fingerprint_values(grid=[name, *at, m, method], code=fingerprint_code())
        made = asked.store.remembered(key, lambda r=read, w=method: draws(r, asked.members, w))
        aucs, lows = np.asarray(made).T
        caught = ((aucs > BUDGET) & (lows > BUDGET)).mean()
        cells.append(f"{aucs.mean():.3f}, {100 * caught:.0f} %")
    return cells


def read_arguments(about: str | None) -> argparse.Namespace:
    """Read which targets are asked, where they are, and whether anything new is."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--kept", action="store_true")
    return parser.parse_intermixed_args()


def answer_similarity() -> AnswerSimilarity:
    """Make the measurement of an audit that ``combined`` reads."""
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    return AnswerSimilarity(ReconstructionSimilarity(encoder, "cosine", "token"), pool=True)


def main() -> None:
    """Ask what was not asked yet, and print the table."""
    given, measurement, rows = read_arguments(__doc__), answer_similarity(), []
    yards = [yard for yard in targets.YARDS if yard.name in given.names]
    for yard, steps, guidance in itertools.product(yards, STEPS, GUIDANCES):
        where = (given.folder, given.sets)
        asked = targets.Asked.of(yard, *where, steps=steps, guidance=guidance)
        if not given.kept:
            asked.features(PixelSimilarity(), make=True)
        for m in BUDGETS:
            cells = cell(asked, m, measurement, yard.name, [steps, guidance])
            if cells is not None:
                rows.append([yard.name, steps, f"{guidance:g}", m, *cells])
                print(*map(str, rows[-1]), flush=True)
    show(rows, ["target", "steps", "guidance", "m", *METHODS])


if __name__ == "__main__":
    main()
