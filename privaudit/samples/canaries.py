"""Canaries: samples that nobody else has, made to be trained on, if a coin says so."""

from __future__ import annotations

import colorsys
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from PIL import Image, ImageDraw

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample
from privaudit.samples.split import CoinSplit, split_by_coin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Canaries", "make_canaries"]

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
SYLLABLES = 3
CELLS = (4, 5, 6)
"""Fields on an edge of a canary's picture."""


class Canaries(CoinSplit):
    """A coin split of canaries, and how often each is trained on.

    Attributes
    ----------
    members, non_members, seed
        As of :class:`privaudit.samples.CoinSplit`: a ``coin_split`` fixture may return it.
    exposures
        How often the training shows each canary, by id; of a non-member, how often it would
        have.
    """

    exposures: Mapping[str, int]

    def __new__(
        cls,
        members: list[Sample],
        non_members: list[Sample],
        seed: int,
        exposures: Mapping[str, int],
    ) -> Self:
        """Make the pair."""
        canaries = super().__new__(cls, members, non_members, seed)
        canaries.exposures = dict(exposures)
        return canaries

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Let copies and pickles keep the exposures."""
        return (*self, self.seed, self.exposures)

    @property
    def training(self) -> list[Sample]:
        """What to add to the training set: each member as often as its exposure says."""
        return [sample for sample in self.members for _ in range(self.exposures[sample.id])]

    def record(self) -> dict[str, Any]:
        """Return what lets anyone flip the coins again, and how many were exposed how often."""
        counts = Counter(self.exposures[sample.id] for sample in self.members)
        exposures = {str(times): counts[times] for times in sorted(counts)}
        return super().record() | {"canaries": exposures}


def make_canaries(
    n: int, seed: int, *, size: int = 512, exposures: Sequence[int] = (1, 4, 16)
) -> Canaries:
    """Make samples to train on, so that a claimed ε can be put to the test.

    Each has a picture and a caption that occur nowhere else: coloured fields, and words of random
    syllables. A fair coin decides for each whether it is trained on, and lots decide how often.
    Train on your own samples and on :attr:`Canaries.training`, and audit the canaries alone.

    Parameters
    ----------
    n
        Canaries, members and non-members together: at least 2. See
        :func:`privaudit.statistics.least_samples` for how many could refute a claim.
    seed
        Of pictures, captions, lots and coins. The same seed makes the same canaries.
    size
        Edge of the square pictures in pixels, from 8: the training's resolution.
    exposures
        How often a canary may be shown, in equal parts.

    Raises
    ------
    SampleError
        If there are fewer than two, the pictures are too small, or an exposure is below 1.

    Examples
    --------
    >>> canaries = make_canaries(30, seed=1, size=32)
    >>> len(canaries.members) + len(canaries.non_members)
    30
    >>> sorted(set(canaries.exposures.values()))
    [1, 4, 16]
    >>> canaries.members[0].caption
    'bibitu mitoga'
    >>> len(canaries.training) == sum(canaries.exposures[s.id] for s in canaries.members)
    True
    """
    if n < 2 or size < 8 or not exposures or min(exposures) < 1:
        msg = (
            f"make_canaries({n}, size={size}, exposures={tuple(exposures)!r}) needs at least 2 "
            "canaries of 8 pixels, each shown at least once"
        )
        raise SampleError(msg)
    captions = _captions(n, seed)
    # Ids are in the order of the coins, and say nothing of how they fall.
    samples = [
        Sample(_picture(size, random.Random(f"{seed}/picture/{i}")), caption, id=f"canary-{i:05}")  # noqa: S311
        for i, caption in enumerate(captions)
    ]
    times = [exposures[i % len(exposures)] for i in range(n)]
    random.Random(f"{seed}/exposures").shuffle(times)  # noqa: S311
    members, non_members = split_by_coin(samples, seed)
    by_id = dict(zip((sample.id for sample in samples), times, strict=True))
    return Canaries(members, non_members, seed, by_id)


def _captions(n: int, seed: int) -> list[str]:
    draws = random.Random(f"{seed}/captions")  # noqa: S311  # a recorded experiment, not a secret
    found: dict[str, None] = {}
    while len(found) < n:
        words = (
            "".join(draws.choice(CONSONANTS) + draws.choice(VOWELS) for _ in range(SYLLABLES))
            for _ in range(2)
        )
        found[" ".join(words)] = None
    return list(found)


def _picture(size: int, draws: random.Random) -> Image.Image:
    """Draw coloured fields, some with an ellipse or a triangle in them."""

    def colour() -> tuple[int, ...]:
        hue, light, strength = draws.random(), draws.random(), draws.random()
        return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, light, strength))

    image = Image.new("RGB", (size, size))
    pen, cells = ImageDraw.Draw(image), draws.choice(CELLS)
    edges = [round(i * size / cells) for i in range(cells + 1)]
    for row in range(cells):
        for column in range(cells):
            left, top, right, bottom = (
                edges[column],
                edges[row],
                edges[column + 1] - 1,
                edges[row + 1] - 1,
            )
            kind = draws.choice(("plain", "ellipse", "triangle"))
            pen.rectangle((left, top, right, bottom), fill=colour())
            if kind == "ellipse":
                pen.ellipse((left, top, right, bottom), fill=colour())
            if kind == "triangle":
                corners = [(left, bottom), (right, bottom), (draws.randint(left, right), top)]
                pen.polygon(corners, fill=colour())
    return image
