"""How much of a leak the black-box attacks see: the tables of docs/strength.md.

``python benchmarks/strength.py make --folder F --sets S [NAME …]`` fine-tunes the targets and has
them and their base answer; nothing is made twice. With ``--words captioner`` they are asked by the
captioner's words. ``… vary …`` hands each of them, and its base, every picture. ``… report …``
prints the tables from what was made; targets that were not are left out, and ``… pictures …`` those
of the pictures that were handed in alone. The image sets are described in ``strength_sets.py``.

White-box: the AUC of the denoising loss, no calibration needed. Black-box: scenario I, mean AUC
over 20 draws of 40 + 40 known samples of the target, the other 40 + 40 evaluated. Capture is
(black-box AUC − 0.5) / (white-box AUC − 0.5).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import strength_targets as targets
from common import show

from privaudit import Sample, load_encoder
from privaudit.attacks import make_attack
from privaudit.audit.scoring import beside_pool
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements import AnswerSimilarity, Features, ReconstructionSimilarity
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.measurements.pool import Appearance
from privaudit.measurements.variation import VariationFidelity
from privaudit.statistics import auc
from privaudit.store import Store
from retrieval import RetrievalCaptioner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from strength_targets import Asked, Yard

SPLITS, KNOWN = 20, 40
OWN = ("encoder", "pixels", "structure")
"""Blocks of a sample's own answers."""


def and_over_base(*blocks: str) -> tuple[str, ...]:
    """Name blocks, and what each is over the base's."""
    return tuple(f"{block}{end}" for block in blocks for end in ("", " over base"))


METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "threshold": ("threshold", ()),
    "distribution": ("distribution", ()),
    "classifier": ("classifier", ()),
    "combined: own answers": ("combined", OWN),
    "combined: own, over base": ("combined", and_over_base(*OWN)),
    "combined: own, pool": ("combined", (*OWN, "pool")),
    "combined": ("combined", and_over_base(*OWN, "pool")),
    "gan-leaks": ("gan-leaks", ()),
}
"""Inference model, and the blocks it reads: without any, the encoder's patch-wise vector."""
PRODUCTS = ("combined", "combined: own, pool")
"""What an audit's ``combined`` is where the base model is known, and where it is not."""
SPLITS_OF = {"classifier": 5}
"""Draws of an attack that takes a hundred times as long as the others."""
LEAKS = 0.75
"""White-box AUC from which a capture is worth a number."""


def make(yards: list[Yard], folder: Path, sets: Path, words: str = "captions") -> None:
    """Fine-tune and ask the targets that were not yet, and ask their base the same."""
    encoder = load_encoder("efficientnet-lite0", device="cpu") if words == "captioner" else None
    for yard in yards:
        started = time.process_time()
        asked = targets.Asked.of(yard, folder, sets)
        asked.features(DenoisingLoss(), targets.DRAWS, make=True)
        told = in_words(asked, encoder)
        base = targets.Asked.of(targets.base_of(yard), folder, sets, told.samples)
        for one in (told, base):
            one.features(PixelSimilarity(), make=True)
        took = time.process_time() - started
        print(f"{yard.name}: white-box AUC {white_box(asked):.3f}, {took:.0f} s of CPU", flush=True)


def vary(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Hand all pictures to the targets, and to their bases."""
    for yard in yards:
        started = time.process_time()
        found = Varied.of(yard, folder, sets, make=True)
        took = time.process_time() - started
        print(f"{yard.name}: {', '.join(found.cells())}, {took:.0f} s of CPU", flush=True)


@dataclass(frozen=True)
class Varied:
    """How faithfully the pictures that were handed in came back, members first.

    Attributes
    ----------
    own
        Scores of the target alone.
    over
        What they are over the base's: the product's score where the base is known.
    members
        How many of the samples are members.
    white_box
        AUC of who has the weights.
    """

    own: np.ndarray
    over: np.ndarray | None
    members: int
    white_box: float

    @classmethod
    def of(cls, yard: Yard, folder: Path, sets: Path, *, make: bool = False) -> Varied | None:
        """Read what was measured, or measure it."""
        asked = targets.Asked.of(yard, folder, sets)
        own, white = asked.features(VariationFidelity(), make=make), white_box(asked)
        if own is None or white is None:
            return None
        if yard.recipe == "none":
            return cls(own.similarity, None, asked.members, white)
        base = targets.Asked.of(targets.base_of(yard), folder, sets, asked.samples)
        theirs = base.features(VariationFidelity(), make=make)
        over = None if theirs is None else own.less(theirs).similarity
        return cls(own.similarity, over, asked.members, white)

    @property
    def score(self) -> np.ndarray:
        """The product's score."""
        return self.own if self.over is None else self.over

    def cells(self) -> list[str]:
        """AUC of all samples, alone and over the base; over the draws; and the capture of that."""
        both = [
            f"{self._auc(one):.3f}" if one is not None else "–" for one in (self.own, self.over)
        ]
        aucs = self.draws(self.score, self.members)
        captured = (np.mean(aucs) - 0.5) / (self.white_box - 0.5)
        spread = f"{np.mean(aucs):.3f} ± {np.std(aucs):.3f}"
        return [*both, spread, f"{captured:.2f}" if self.white_box >= LEAKS else "–"]

    def _auc(self, scores: np.ndarray) -> float:
        return auc(scores[: self.members], scores[self.members :])

    @staticmethod
    def draws(scores: np.ndarray, members: int) -> list[float]:
        """AUC of the samples that are evaluated in each draw: no score depends on the others."""
        found = []
        for _, others in split_known(members, len(scores), SPLITS):
            of = others < members
            found.append(auc(scores[others[of]], scores[others[~of]]))
        return found

    def relabelled(self) -> str:
        """Mean AUC when coins decide who is called a member."""
        aucs = []
        for seed in range(SPLITS):
            order = np.random.default_rng(1000 + seed).permutation(len(self.score))
            n = len(order) // 2
            aucs.append(auc(self.score[order[:n]], self.score[order[n:]]))
        return f"{np.mean(aucs):.3f} ± {np.std(aucs):.3f}"


def pictures(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Print what is found where pictures are handed in."""
    made = [yard for yard in yards if yard.recipe == "none" or targets.is_made(yard, folder)]
    named = ((yard, Varied.of(yard, folder, sets)) for yard in made)
    found = {yard: one for yard, one in named if one is not None}
    print("\nPictures handed in, by captions\n")
    rows = [
        [yard.name, yard.purpose, f"{one.white_box:.3f}", *one.cells()]
        for yard, one in found.items()
    ]
    own, over = "variation: own, all 80 + 80", "variation: over base, all 80 + 80"
    show(rows, ["target", "for", "white-box", own, over, "variation", "capture"])
    print("\nNull: members chosen by 20 coins, of all samples\n")
    nulls = [y for y in found if y.recipe in ("none", "dp")]
    show([[y.name, found[y].relabelled()] for y in nulls], ["target", "variation"])


def white_box(asked: Asked) -> float | None:
    """AUC of the denoising loss; ``None`` if it was not measured."""
    losses = asked.features(DenoisingLoss(), targets.DRAWS)
    if losses is None:
        return None
    return auc(losses.similarity[: asked.members], losses.similarity[asked.members :])


def split_known(
    members: int, n: int, splits: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of the known samples, and of the others, in each of the draws."""
    for split in range(seed, seed + splits):
        draws = np.random.default_rng(split)
        sides = draws.permutation(members), members + draws.permutation(n - members)
        known = np.concatenate([side[:KNOWN] for side in sides])
        yield known, np.concatenate([side[KNOWN:] for side in sides])


def scored(
    features: Features, members: int, attack: str, splits: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what an inference model says of the evaluated members and others, in each split."""
    labels = np.arange(len(features)) < members
    for known, others in split_known(members, len(labels), splits, seed):
        model = make_attack(attack, 0).fit(part(features, known), labels[known])
        scores, of = model.score(part(features, others)), labels[others]
        yield scores[of], scores[~of]


def known_members(
    features: Features, members: int, method: str, splits: int = SPLITS, seed: int = 0
) -> list[float]:
    """AUC of scenario I in each of the splits."""
    n = min(splits, SPLITS_OF.get(method, splits))
    return [auc(*sides) for sides in scored(features, members, METHODS[method][0], n, seed)]


def shadow(on: Features, n_on: int, of: Features, n_of: int, method: str) -> float:
    """AUC of scenario III: fitted on the shadow's samples, asked of the target's."""
    model = make_attack(METHODS[method][0], 0).fit(on, np.arange(len(on)) < n_on)
    scores = model.score(of)
    return auc(scores[:n_of], scores[n_of:])


def part(features: Features, rows: np.ndarray) -> Features:
    """Return some samples of several, beside all answers as before."""
    pool = features.pool
    if pool is not None:
        few = Appearance(pool.samples.pixels[rows], pool.samples.states[rows])
        pool = dataclasses.replace(pool, samples=few)
    return Features(
        vectors=features.vectors[rows],
        similarity=features.similarity[rows],
        blocks={name: block[rows] for name, block in features.blocks.items()},
        pool=pool,
    )


def chosen(features: Features, method: str) -> Features | None:
    """Keep the blocks that a method reads; ``None`` if one is not there."""
    names = METHODS[method][1]
    if not set(names) <= set(features.blocks):
        return None
    return dataclasses.replace(features, blocks={name: features.blocks[name] for name in names})


@dataclass(frozen=True)
class Measured:
    """A target's answers, measured, where members come first."""

    yard: Yard
    words: str
    white_box: float
    features: Features
    members: int

    def cells(self, store: Store) -> list[str]:
        """Return the row of scenario I or II: each method, then the capture of `combined`."""
        found = {method: self.aucs(method, store) for method in METHODS}
        cells = [f"{np.mean(f):.3f} ± {np.std(f):.3f}" if f else "–" for f in found.values()]
        best = float(np.mean(next(found[name] for name in PRODUCTS if found[name])))
        captured = (best - 0.5) / (self.white_box - 0.5)
        return [*cells, f"{captured:.2f}" if self.white_box >= LEAKS else "–"]

    def aucs(self, method: str, store: Store) -> list[float]:
        """Return the AUC in each split; empty without the blocks that the method reads."""
        features = chosen(self.features, method)
        if features is None:
            return []
        key = fingerprint_values(
            strength=[self.yard.name, self.words, method], code=fingerprint_code(), splits=SPLITS
        )
        return store.remembered(key, lambda: known_members(features, self.members, method))


def in_words(asked: Asked, encoder: Any) -> Asked:
    """Put the captioner's words, found by an encoder, in place of the captions; as is without."""
    if encoder is None:
        return asked
    captioner = RetrievalCaptioner.from_pretrained(targets.MODELS / "captioner", encoder)
    written = captioner.caption([sample.image for sample in asked.samples])
    samples = [
        Sample(sample.image, caption, id=sample.id)
        for sample, caption in zip(asked.samples, written, strict=True)
    ]
    return dataclasses.replace(asked, samples=samples)


def measure(yard: Yard, folder: Path, sets: Path, encoder: Any, words: str) -> Measured | None:
    """Measure a target's answers and, where they are there, those of its base."""
    if yard.recipe != "none" and not targets.is_made(yard, folder):
        return None
    asked = targets.Asked.of(yard, folder, sets)
    white = white_box(asked)
    asked = in_words(asked, encoder if words == "captioner" else None)
    paper = ReconstructionSimilarity(encoder, "cosine", "token")
    measurement = AnswerSimilarity(paper, pool=True)
    own = asked.features(measurement)
    if own is None or white is None:
        return None
    base = targets.Asked.of(targets.base_of(yard), folder, sets, asked.samples)
    theirs = None if yard.recipe == "none" else base.features(measurement)
    both = own if theirs is None else own.over(theirs)
    return Measured(yard, words, white, beside_pool(both), asked.members)


def relabelled(found: Measured) -> str:
    """Mean AUC of an audit's combined model when coins decide who is called a member."""
    known = ((name, chosen(found.features, name)) for name in PRODUCTS)
    method, features = next((name, f) for name, f in known if f is not None)
    aucs = []
    for seed in range(SPLITS):
        order = np.random.default_rng(1000 + seed).permutation(len(features))
        n = len(order) // 2
        aucs += known_members(part(features, order), n, method, splits=1, seed=seed)
    return f"{np.mean(aucs):.3f} ± {np.std(aucs):.3f}"


def measure_all(yards: list[Yard], folder: Path, sets: Path) -> list[Measured]:
    """Measure what was made, asked by captions and then by a captioner's."""
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    return [
        one
        for words in ("captions", "captioner")
        for yard in yards
        if (one := measure(yard, folder, sets, encoder, words)) is not None
    ]


def report(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Print scenarios I and II, and what is found where there is nothing to find."""
    found, store = measure_all(yards, folder, sets), Store(folder / "store")
    print("\nScenario I (captions) and II (captioner)\n")
    show(
        [
            [m.yard.name, m.yard.purpose, m.words, f"{m.white_box:.3f}", *m.cells(store)]
            for m in found
        ],
        ["target", "for", "asked by", "white-box", *METHODS, "capture"],
    )
    print("\nNull: the answers of models that leak nothing, members chosen by 20 coins\n")
    nulls = [m for m in found if m.yard.recipe in ("none", "dp")]
    rows = [[m.yard.name, m.words, relabelled(m)] for m in nulls]
    show(rows, ["target", "asked by", PRODUCTS[0]])
    pictures(yards, folder, sets)


def shadows(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Print scenarios III and IV."""
    found = measure_all(yards, folder, sets)
    rows = []
    for of, on in itertools.product(found, found):
        if (of.yard.images, on.yard.name) not in targets.SHADOWS or of.words != on.words:
            continue
        aucs = []
        for method in METHODS:
            a, b = chosen(on.features, method), chosen(of.features, method)
            both = a is not None and b is not None
            aucs.append(f"{shadow(a, on.members, b, of.members, method):.3f}" if both else "–")
        rows.append([of.yard.name, on.yard.name, of.words, *aucs])
    print("\nScenario III (captions) and IV (captioner)\n")
    show(rows, ["target", "shadow", "asked by", *METHODS])


def main() -> None:
    """Make targets, or print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["make", "vary", "report", "pictures", "shadows"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--words", choices=["captions", "captioner"], default="captions")
    arguments = parser.parse_intermixed_args()  # names may follow the options
    names = arguments.names
    yards = [yard for yard in targets.YARDS if not names or yard.name in names]
    steps: dict[str, Callable[..., None]] = {
        "make": partial(make, words=arguments.words),
        "vary": vary,
        "report": report,
        "pictures": pictures,
        "shadows": shadows,
    }
    steps[arguments.step](yards, arguments.folder, arguments.sets)


if __name__ == "__main__":
    main()
