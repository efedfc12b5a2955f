"""How much of a leak the black-box attacks see: the tables of docs/strength.md.

``python benchmarks/strength.py make --folder F --sets S [NAME …]`` fine-tunes the targets and has
them answer; nothing is made twice. ``… report …`` prints the tables from what was made; targets
that were not are left out. The image sets are described in ``strength_sets.py``.

White-box: the AUC of the denoising loss, no calibration needed. Black-box: scenario I, mean AUC
over 20 draws of 40 + 40 known samples of the target, the other 40 + 40 evaluated. Capture is
(black-box AUC − 0.5) / (white-box AUC − 0.5).
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import strength_targets as targets
from common import show

from privaudit import load_encoder
from privaudit.attacks import make_attack
from privaudit.measurements import AnswerSimilarity, Features, ReconstructionSimilarity
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.statistics import auc

if TYPE_CHECKING:
    from strength_targets import Asked, Yard

SPLITS, KNOWN = 20, 40
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "threshold": ("threshold", ()),
    "distribution": ("distribution", ()),
    "classifier": ("classifier", ()),
    "combined: tokens": ("combined", ()),
    "combined: encoder, pixels": ("combined", ("encoder", "pixels")),
    "combined: all blocks": ("combined", ("encoder", "pixels", "structure")),
    "combined: all, over base": (
        "combined",
        ("encoder over base", "pixels over base", "structure over base"),
    ),
    "combined: all and over base": (
        "combined",
        tuple(
            f"{block}{end}"
            for block in ("encoder", "pixels", "structure")
            for end in ("", " over base")
        ),
    ),
}
"""Inference model, and the blocks it reads: without any, the encoder's patch-wise vector."""
PRODUCT = ("combined: all blocks", "combined: all and over base")
"""What an audit's ``combined`` is, without and with a base model that is known."""


def make(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Fine-tune and ask the targets that were not yet."""
    for yard in yards:
        started = time.process_time()
        asked = targets.Asked.of(yard, folder, sets)
        asked.features(PixelSimilarity(), make=True)
        asked.features(DenoisingLoss(), targets.DRAWS, make=True)
        took = time.process_time() - started
        print(f"{yard.name}: white-box AUC {white_box(asked):.3f}, {took:.0f} s of CPU", flush=True)


def white_box(asked: Asked) -> float | None:
    """AUC of the denoising loss; ``None`` if it was not measured."""
    losses = asked.features(DenoisingLoss(), targets.DRAWS)
    if losses is None:
        return None
    return auc(losses.similarity[: asked.members], losses.similarity[asked.members :])


def known_members(features: Features, members: int, method: str) -> list[float]:
    """AUC of scenario I in each of the splits."""
    attack, _ = METHODS[method]
    labels = np.arange(len(features)) < members
    found = []
    for seed in range(SPLITS):
        draws = np.random.default_rng(seed)
        sides = draws.permutation(members), members + draws.permutation(len(labels) - members)
        known = np.concatenate([side[:KNOWN] for side in sides])
        others = np.concatenate([side[KNOWN:] for side in sides])
        model = make_attack(attack, 0).fit(part(features, known), labels[known])
        scores, of = model.score(part(features, others)), labels[others]
        found.append(auc(scores[of], scores[~of]))
    return found


def shadow(on: Features, n_on: int, of: Features, n_of: int, method: str) -> float:
    """AUC of scenario III: fitted on the shadow's samples, asked of the target's."""
    model = make_attack(METHODS[method][0], 0).fit(on, np.arange(len(on)) < n_on)
    scores = model.score(of)
    return auc(scores[:n_of], scores[n_of:])


def part(features: Features, rows: np.ndarray) -> Features:
    """Return some samples of several."""
    return Features(
        vectors=features.vectors[rows],
        similarity=features.similarity[rows],
        blocks={name: block[rows] for name, block in features.blocks.items()},
    )


def chosen(features: Features, method: str) -> Features | None:
    """Keep the blocks that a method reads; ``None`` if one is not there."""
    names = METHODS[method][1]
    if not set(names) <= set(features.blocks):
        return None
    return dataclasses.replace(features, blocks={name: features.blocks[name] for name in names})


def report(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Print what was found, of what was made."""
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    measurement = AnswerSimilarity(ReconstructionSimilarity(encoder, "cosine", "token"))
    measured: dict[str, tuple[Features, int]] = {}
    rows = []
    for yard in yards:
        if yard.recipe != "none" and not targets.is_made(yard, folder):
            continue
        asked = targets.Asked.of(yard, folder, sets)
        white, own = white_box(asked), asked.features(measurement)
        if white is None or own is None:
            continue
        base = targets.Asked.of(targets.base_of(yard), folder, sets, asked.samples)
        theirs = None if yard.recipe == "none" else base.features(measurement)
        both = own if theirs is None else own.over(theirs)
        measured[yard.name] = both, asked.members
        cells, best = [], 0.0
        for method in METHODS:
            features = chosen(both, method)
            if features is None:
                cells.append("–")
                continue
            found = known_members(features, asked.members, method)
            cells.append(f"{np.mean(found):.3f}")
            if method in PRODUCT:
                best = float(np.mean(found))
                cells[-1] += f" ± {np.std(found):.3f}"
        capture = f"{(best - 0.5) / (white - 0.5):.2f}" if white >= 0.75 else "–"
        rows.append([yard.name, yard.purpose, f"{white:.3f}", *cells, capture])
    show(rows, ["target", "for", "white-box", *METHODS, "capture"])
    thirds = [
        [
            f"{name} by {other}",
            *(
                f"{shadow(a, n, b, k, method):.3f}" if a is not None and b is not None else "–"
                for method in METHODS
                for a, b in [(chosen(on, method), chosen(of, method))]
            ),
        ]
        for name, (of, k) in measured.items()
        for other, (on, n) in measured.items()
        if (name.split("/")[0], other) in targets.SHADOWS
    ]
    print("\nScenario III\n")
    show(thirds, ["target by shadow", *METHODS])


def main() -> None:
    """Make targets, or report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["make", "report"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    arguments = parser.parse_args()
    names = arguments.names
    yards = [yard for yard in targets.YARDS if not names or yard.name in names]
    {"make": make, "report": report}[arguments.step](yards, arguments.folder, arguments.sets)


if __name__ == "__main__":
    main()
