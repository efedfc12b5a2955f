"""Two sources are told apart without any model, and two halves of one source are not.

``python benchmarks/blind_baseline.py`` prints the tables of docs/statistics.md, through what an
audit asks: Twemoji with the Unicode names of their characters, split by coins; then the same with
one habit on the members' side. With ``--noto FOLDER``, an unpacked ``emoji-datasource-google``
(``npm pack emoji-datasource-google@16.0.0``), non-members are Noto emoji with the captions of
their own package too.
"""

from __future__ import annotations

import argparse
import io
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from common import show
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

import emoji_sets
from privaudit import AuditSettings, Sample, load_encoder
from privaudit.audit.checks.samples import (
    BLIND_ERROR,
    BLIND_QUESTIONS,
    blind_baseline,
    blind_caption_baseline,
    blind_test,
    judge_blind,
    judge_facts,
    sample_features,
)
from privaudit.encoders.base import encode_in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (50, 200, 1000)
LEVEL = 1 - BLIND_ERROR / BLIND_QUESTIONS
LIMIT = AuditSettings().blind_limit


def as_file(sample: Sample, kind: str, **how: int) -> Sample:
    """Return the sample as if it had been opened from a file of this kind."""
    file = io.BytesIO()
    sample.image.save(file, kind, **how)
    opened = Image.open(io.BytesIO(file.getvalue()))
    return Sample(opened, sample.caption, id=sample.id)


def reworded(change: Callable[[str], str]) -> Callable[[Sample], Sample]:
    """Change the captions of one side."""
    return lambda sample: Sample(sample.image, change(sample.caption), id=sample.id)


SHIFTS: dict[str, Callable[[Sample], Sample]] = {
    "capitals": reworded(str.upper),
    "a capital first": reworded(str.capitalize),
    "double white space": reworded(lambda text: text.replace(" ", "  ") + "  "),
    "a newline at the end": reworded(lambda text: text + "\n"),
    "a full stop": reworded(lambda text: text + "."),
    "JPEG 95 against PNG files": lambda sample: as_file(sample, "JPEG", quality=95),
    "nothing": lambda sample: sample,
}


def pool() -> list[Sample]:
    """Every Twemoji of one named character, and of two with a skin tone."""
    samples = []
    for file in sorted(emoji_sets.twemoji_folder().glob("*.png")):
        code = file.stem.removesuffix("-fe0f")
        names = [unicodedata.name(chr(int(part, 16)), "") for part in code.split("-")]
        if all(names):
            caption = " and ".join(names).lower()
            samples.append(Sample(emoji_sets.twemoji_image(file.stem), caption, id=file.stem))
    return list({sample.digest: sample for sample in samples}.values())


def asked(
    members: Sequence[Sample],
    others: Sequence[Sample],
    features: Sequence[np.ndarray] | None,
    seed: int,
) -> tuple[bool, bool, bool, bool]:
    """Tell which question calls the sets different, and whether the audit is invalid."""
    captions = [[s.caption for s in side] for side in (members, others)]
    image = blind_baseline(*features, confidence=LEVEL, seed=seed) if features else None
    text = blind_caption_baseline(*captions, confidence=LEVEL, seed=seed)
    labels = [True] * len(members) + [False] * len(others)
    facts = blind_test(sample_features([*members, *others]), labels, seed=seed)
    by_image = bool(judge_blind("images", image, LIMIT))
    by_caption = bool(judge_blind("captions", text, LIMIT))
    by_fact = bool(judge_facts(facts, LIMIT))
    return by_image, by_caption, by_fact, by_image or by_caption or by_fact


def main() -> None:
    """Count how often each pair of sets is called different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=400, help="fair splits of each size")
    parser.add_argument("--shifted", type=int, default=20, help="splits of each shift and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="samples a side")
    parser.add_argument("--noto", type=Path)
    arguments = parser.parse_args()
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    samples = pool()
    rows = encode_in_batches(encoder, [s.image for s in samples], 32).mean(axis=1)
    print(f"{len(samples)} Twemoji; flagged, % of splits: by images, captions, facts, any")
    headers = ["members differ by", "n + n", "splits", "images", "captions", "facts", "any"]
    table: list[list[object]] = []
    for name, shift in SHIFTS.items():
        times = arguments.splits if name == "nothing" else arguments.shifted
        for n in arguments.sizes:
            if name != "nothing" and n == max(SIZES):
                continue
            flagged = np.zeros(4)
            for seed in range(times):
                drawn = np.random.default_rng([n, seed]).permutation(len(samples))[: 2 * n]
                members = [shift(samples[i]) for i in drawn[:n]]
                others = [samples[i] for i in drawn[n:]]
                if name.startswith("JPEG"):
                    others = [as_file(sample, "PNG") for sample in others]
                sides = (rows[drawn[:n]], rows[drawn[n:]]) if name == "nothing" else None
                flagged += asked(members, others, sides, seed)
            shares = [f"{100 * share / times:.1f}" for share in flagged]
            table.append([name, n, times, shares[0] if name == "nothing" else "", *shares[1:]])
            print(*table[-1], flush=True)
    show(table, headers)
    if arguments.noto:
        noto = emoji_sets.noto(arguments.noto)
        theirs = encode_in_batches(encoder, [image for image, _ in noto], 32).mean(axis=1)
        flagged = np.zeros(4)
        for seed in range(arguments.shifted):
            draws = np.random.default_rng(seed)
            ours, other = draws.permutation(len(samples))[:140], draws.permutation(len(noto))[:140]
            outside = [Sample(noto[i][0], noto[i][1], id=f"n{i}") for i in other]
            sides = (rows[ours], theirs[other])
            flagged += asked([samples[i] for i in ours], outside, sides, seed)
        print("\nTwemoji and Noto, 140 + 140:", *(f"{x:.0f}" for x in flagged))


if __name__ == "__main__":
    main()
