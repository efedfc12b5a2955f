"""A few steps of a pipeline tell what may share a batch, and whether texts may be encoded once."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from privaudit.batching import is_out_of_memory, padded
from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from privaudit.diffusion.prompts import PromptEncoder

__all__ = ["LEVELS", "LEVELS_ELSEWHERE", "TEXTS", "Company", "company", "difference", "draws_alike"]

TEXTS = (
    "a fox",
    "Zoë's 3 cats, PLAYING <b>chess</b> &amp; tea: https://example.org",
    " ".join(f"a picture of {n} small things," for n in range(14)),
)
"""A short text, one with marks that pipelines clean away, and one longer than they read."""
LEVELS = {"cpu": 0}
"""Levels of 255 that two pictures may differ by and be the same, by device."""
LEVELS_ELSEWHERE = 1
"""On a GPU the kernels, and so the last bits, depend on the shapes in a batch."""


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


def company(draw: Draw, device: torch.device) -> Company:
    """Find out what a pipeline draws in a batch as it draws it alone.

    Some pad all texts to the longest, some mix up the rows of a batch, some take no batch at all.
    It costs four images, and one or two calls of the smallest batch (16 images on a CPU, 3
    elsewhere), two steps each.

    Raises
    ------
    GeneratorError
        If it cannot draw one text alone, or has no memory for the smallest batch.
    """
    seeds = [7 + n for n in range(len(TEXTS))]
    prompts, _ = padded(TEXTS, device)
    numbers, _ = padded(seeds, device)
    alone = [draw([text], [seed])[0] for text, seed in zip(TEXTS, seeds, strict=True)]
    if _as_alone(draw, prompts, numbers, alone):
        return Company.ANY
    twice = [alone[0], draw([TEXTS[0]], [seeds[1]])[0]]
    if _as_alone(draw, [TEXTS[0]] * len(prompts), numbers, twice):
        return Company.ONE_TEXT
    return Company.NONE


def _as_alone(
    draw: Draw, prompts: list[str], seeds: list[int], alone: Sequence[NDArray[Any]]
) -> bool:
    try:
        together = draw(prompts, seeds)
    except GeneratorError as error:
        if is_out_of_memory(error):
            raise
        return False
    together = together[: len(alone)]
    # Rows of a batch and a row alone differ in their last bits, on a CPU too.
    return together[0].shape == alone[0].shape and difference(together, alone) <= 1


def draws_alike(draw: Draw, texts: PromptEncoder, device: torch.device) -> bool:
    """Tell whether a pipeline draws from encoded texts what it draws from the texts themselves.

    It costs two calls of the smallest batch, two steps each.
    """
    prompts, _ = padded(TEXTS, device)
    seeds = [7] * len(prompts)
    plainly = draw(prompts, seeds)
    try:
        for prompt in TEXTS:
            texts.encode([prompt])  # each alone, as they come in an audit
        encoded = draw(prompts, seeds, texts)
    except Exception:  # whatever it is, the pipeline itself has shown that it can do without
        return False
    return difference(plainly, encoded) <= LEVELS.get(device.type, LEVELS_ELSEWHERE)


def difference(one: Sequence[Any] | NDArray[Any], other: Sequence[Any] | NDArray[Any]) -> int:
    """Return the largest difference of two stacks of pictures, in levels of 255."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())
