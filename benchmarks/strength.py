"""How much of a leak the black-box attacks see: the tables of docs/strength.md.

``python benchmarks/strength.py make --folder F --sets S [NAME …]`` fine-tunes the targets and has
them answer; nothing is made twice. ``… report …`` prints the tables from what was made. The image
sets are described in ``strength_sets.py``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import strength_targets as targets

from privaudit.measurements.denoising import DenoisingLoss
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.statistics import auc


def make(names: list[str], folder: Path, sets: Path) -> None:
    """Fine-tune and ask the targets that were not yet."""
    for yard in targets.YARDS:
        if names and yard.name not in names:
            continue
        started = time.process_time()
        asked = targets.Asked.of(yard, folder, sets)
        asked.features(PixelSimilarity(), make=True)
        losses = asked.features(DenoisingLoss(), targets.DRAWS, make=True).similarity
        white = auc(losses[: asked.members], losses[asked.members :])
        took = time.process_time() - started
        print(f"{yard.name}: white-box AUC {white:.3f}, {took:.0f} s of CPU", flush=True)


def main() -> None:
    """Make targets, or report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["make", "report"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.step == "make":
        make(arguments.names, arguments.folder, arguments.sets)


if __name__ == "__main__":
    main()
