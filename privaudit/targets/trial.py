"""A few steps of a pipeline tell what may share a batch, and whether texts may be encoded once."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from privaudit.batching import is_out_of_memory, padded
from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.diffusion.prompts import PromptEncoder

__all__ = [
    "LEVELS",
    "LEVELS_ELSEWHERE",
    "TEXTS",
    "Company",
    "Noise",
    "company",
    "difference",
    "drawn_in_company",
    "draws_alike",
]

T = TypeVar("T")

TEXTS = (
    "a fox",
    "Zoë's 3 cats, PLAYING <b>chess</b> &amp; tea: https://example.org",
    " ".join(f"a picture of {n} small things," for n in range(14)),
)
"""A short text, one with marks that pipelines clean away, and one longer than they read."""
SEED = 7
LEVELS = {"cpu": 0}
"""Levels of 255 that two pictures may differ by and be the same, by device."""
LEVELS_ELSEWHERE = 1
"""On a GPU the kernels, and so the last bits, depend on the shapes in a batch."""
NOISE_TIMES = 4
"""So many times the noise of kernels may pictures of one query differ: the noise is seen on one
picture, and others have more of it."""
MOST_NOISE = 0.5
"""Levels of 255, the mean over a picture, above which noise is no noise: whoever is asked with
whom is then to be seen."""


class Draw(Protocol):
    """One call of the pipeline, of a few steps."""

    def __call__(
        self, prompts: list[str], seeds: list[int], texts: PromptEncoder | None = None
    ) -> NDArray[Any]:
        """Return pixels, shape (n, height, width, 3), uint8."""
        ...


class Company(enum.Enum):
    """Which queries may share a call of a pipeline, and are drawn as each is alone."""

    ANY = "any"
    ONE_TEXT = "those of one text"
    NONE = "none"


class Noise(NamedTuple):
    """How far a picture moves when nothing but the shape of its batch changes, in levels of 255.

    Attributes
    ----------
    largest, mean
        Over all pixels and channels.
    """

    largest: float
    mean: float

    @classmethod
    def measured(cls, draw: Draw, device: torch.device, alone: NDArray[Any]) -> Noise:
        """Draw the first text of the trial as often as fills the smallest batch.

        A CPU has none, by the size of its batches. On a GPU half precision moves pixels of a large
        model by more than a level. Whatever is padded, or mixed up, is here the same in each row,
        so kernels alone are left. It costs one call of the smallest batch; whoever takes no batch
        has no noise.

        Parameters
        ----------
        draw
            Draws in a few steps.
        device
            Where.
        alone
            The first text's picture, drawn in a call of its own.
        """
        none = cls(LEVELS_ELSEWHERE, LEVELS_ELSEWHERE)
        if device.type in LEVELS:
            return none
        try:
            together = draw([TEXTS[0]] * len(TEXTS), [SEED] * len(TEXTS))
        except GeneratorError as error:
            if is_out_of_memory(error):
                raise
            return none
        if together[0].shape != alone.shape:
            return none
        apart = np.abs(np.asarray(together, int) - np.asarray(alone, int))
        if apart.mean() > MOST_NOISE:
            return none
        # A level at least, as where there is no noise: of few pixels one may show none by luck.
        return cls(
            largest=max(none.largest, NOISE_TIMES * float(apart.max())),
            mean=none.mean if apart.max() <= none.largest else NOISE_TIMES * float(apart.mean()),
        )

    def covers(
        self, one: Sequence[Any] | NDArray[Any], other: Sequence[Any] | NDArray[Any]
    ) -> bool:
        """Tell whether two stacks of pictures are no further apart."""
        apart = np.abs(np.asarray(one, int) - np.asarray(other, int))
        return bool(apart.max() <= self.largest and apart.mean() <= self.mean)


def company(draw: Draw, device: torch.device) -> Company:
    """Find out what a pipeline draws in a batch as it draws it alone.

    Some pad all texts to the longest, some mix up the rows of a batch, some take no batch at all.
    It costs four images, and one or two calls of the smallest batch (16 images on a CPU, 3
    elsewhere, where one more call measures the noise of kernels), two steps each.

    Raises
    ------
    GeneratorError
        If it cannot draw one text alone, or has no memory for the smallest batch.
    """
    prompts, numbers = _batch(device)
    seeds = numbers[: len(TEXTS)]
    alone = [draw([text], [seed])[0] for text, seed in zip(TEXTS, seeds, strict=True)]
    noise = Noise.measured(draw, device, alone[0])
    if _as_alone(draw, prompts, numbers, alone, noise):
        return Company.ANY
    twice = [alone[0], draw([TEXTS[0]], [seeds[1]])[0]]
    if _as_alone(draw, [TEXTS[0]] * len(prompts), numbers, twice, noise):
        return Company.ONE_TEXT
    return Company.NONE


def _batch(device: torch.device) -> tuple[list[str], list[int]]:
    """Return the texts of the trial and their seeds, as many as fill the smallest batch."""
    seeds = [SEED + n for n in range(len(TEXTS))]
    return padded(TEXTS, device)[0], padded(seeds, device)[0]


def _as_alone(
    draw: Draw, prompts: list[str], seeds: list[int], alone: Sequence[NDArray[Any]], noise: Noise
) -> bool:
    try:
        together = draw(prompts, seeds)
    except GeneratorError as error:
        if is_out_of_memory(error):
            raise
        return False
    together = together[: len(alone)]
    # Rows of a batch and a row alone differ in their last bits, on a CPU too.
    return together[0].shape == alone[0].shape and noise.covers(together, alone)


def draws_alike(draw: Draw, texts: PromptEncoder, device: torch.device) -> bool:
    """Tell whether a pipeline draws from encoded texts what it draws from the texts themselves.

    It costs two calls of the smallest batch, two steps each, the first of which is that of
    :func:`company`; elsewhere than on a CPU two more, for the noise of the kernels that encode a
    text alone.
    """
    prompts, seeds = _batch(device)
    plainly = draw(prompts, seeds)
    try:
        for prompt in TEXTS:
            texts.encode([prompt])  # each alone, as they come in an audit
        encoded = draw(prompts, seeds, texts)
    except Exception:  # whatever it is, the pipeline itself has shown that it can do without
        return False
    if difference(plainly, encoded) <= LEVELS.get(device.type, LEVELS_ELSEWHERE):
        return True
    if device.type in LEVELS:
        return False
    noise = Noise.measured(draw, device, draw([TEXTS[0]], [SEED])[0])
    return noise.covers(encoded, plainly)


def difference(one: Sequence[Any] | NDArray[Any], other: Sequence[Any] | NDArray[Any]) -> int:
    """Return the largest difference of two stacks of pictures, in levels of 255."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


def drawn_in_company(
    asked: Sequence[T],
    prompts: Sequence[str],
    which: Company,
    alone: Callable[[T], Image.Image],
    together: Callable[[list[T]], Sequence[Image.Image]],
) -> list[Image.Image]:
    """Draw each query in a call with those that may share it.

    Parameters
    ----------
    asked, prompts
        The queries, and the text of each.
    which
        What :func:`company` found.
    alone, together
        Draw one query, and several in one call, in order.

    Returns
    -------
    list of PIL.Image.Image
        In the order of the queries.
    """
    if which == Company.NONE:
        return [alone(one) for one in asked]
    groups: dict[str | None, list[int]] = {}
    for place, prompt in enumerate(prompts):
        groups.setdefault(prompt if which == Company.ONE_TEXT else None, []).append(place)
    drawn: dict[int, Image.Image] = {}
    for places in groups.values():
        drawn |= zip(places, together([asked[place] for place in places]), strict=True)
    return [drawn[place] for place in range(len(asked))]
