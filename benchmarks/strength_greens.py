"""What a green by the paper's three attacks is worth: a table of docs/strength.md.

``python benchmarks/strength_greens.py --folder F --sets S [NAME …]`` reads what ``strength.py
make`` had targets answer, by captions and by the captioner's words, and asks nothing. For targets
that leak, ten draws of 40 + 40 known samples, the other 40 + 40 evaluated: in how many of them none
of the three is over the budget of 0.6, and how many of those ``privaudit.audit.ruler`` refuses. For
those that leak nothing, 50 coins deciding who is a member: how often it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import strength
import strength_targets as targets
from common import show
from strength_grid import answer_similarity, read_arguments

from privaudit import load_encoder
from privaudit.attacks.registry import default_names, strongest
from privaudit.audit.scoring import beside_cells
from privaudit.measurements.liveness import answer_facts
from privaudit.samples import as_rgb
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strength_targets import Asked

    from privaudit.measurements import Features
    from privaudit.statistics import AucInterval

BUDGET, LEVEL = 0.6, 0.9
"""An audit's default budget, and the confidence of both bounds of the ruler."""
DRAWS, COINS = 10, 50
METHOD = "combined: own answers"
"""What the ruler reads, beside everybody's answers by the small pictures that are kept of them."""


def bounds(
    attack: str, features: Features, members: int, draws: int, seed: int = 0
) -> Iterator[AucInterval]:
    """Yield what an attack sees in each draw of known samples."""
    for sides in strength.scored(features, members, attack, draws, seed):
        yield auc_interval(*sides, LEVEL)


def read_by_ruler(features: Features, asked: Asked) -> tuple[Features, Features]:
    """Return what ``privaudit.audit.ruler`` has its attack read, by one and then the other."""
    own = strength.chosen(features, METHOD)
    cells = [answer_facts(as_rgb(sample.image))[1:] for sample in asked.samples]
    beside = beside_cells((own, own), [np.stack(cells)] * 2, one_model=False)
    return own, beside[0]


def shown(read: tuple[Features, ...], members: int, draws: int, seed: int = 0) -> list[bool]:
    """Tell of each draw whether one of the two shows an AUC over the budget."""
    looks = [bounds(strongest(), one, members, draws, seed) for one in read]
    return [max(one.low for one in each) > BUDGET for each in zip(*looks, strict=True)]


def greens(features: Features, read: tuple[Features, ...], members: int) -> tuple[int, int]:
    """Count the draws that the three pass, and those of them that are refused."""
    three = [bounds(attack, features, members, DRAWS) for attack in default_names()]
    passed = [max(one.auc for one in each) <= BUDGET for each in zip(*three, strict=True)]
    both = zip(passed, shown(read, members, DRAWS), strict=True)
    return sum(passed), sum(passes and refused for passes, refused in both)


def refused(read: tuple[Features, ...]) -> int:
    """Count the coins by which a model that leaks nothing would be refused."""
    found, n = 0, len(read[0])
    for seed in range(COINS):
        order = np.random.default_rng(5000 + seed).permutation(n)
        found += sum(shown(tuple(strength.part(one, order) for one in read), n // 2, 1, seed))
    return found


def main() -> None:
    """Print the table."""
    given, measurement = read_arguments(__doc__), answer_similarity()
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    leaking, null = [], []
    for words in ("captions", "captioner"):
        for yard in targets.YARDS:
            if given.names and yard.name not in given.names:
                continue
            if yard.recipe != "none" and not targets.is_made(yard, given.folder):
                continue
            asked = targets.Asked.of(yard, given.folder, given.sets)
            white = strength.white_box(asked)
            told = strength.in_words(asked, encoder if words == "captioner" else None)
            features = told.features(measurement)
            if features is None or white is None:
                continue
            read = read_by_ruler(features, told)
            if yard.recipe in ("none", "dp"):
                null.append([yard.name, words, refused(read)])
            elif white >= strength.LEAKS:
                found = greens(features, read, told.members)
                leaking.append([yard.name, words, f"{white:.3f}", *found])
    show(leaking, ["target", "asked by", "white-box", f"green by three, of {DRAWS}", "refused"])
    print()
    show(null, ["target", "asked by", f"refused, of {COINS} coins"])


if __name__ == "__main__":
    main()
