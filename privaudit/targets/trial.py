"""A few steps of a pipeline tell whether texts may be encoded once, and mixed in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from privaudit.batching import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from privaudit.diffusion.prompts import PromptEncoder

__all__ = ["LEVELS", "LEVELS_ELSEWHERE", "TEXTS", "difference", "draws_alike", "mixes"]

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

    def __call__(self, prompts: list[str], texts: PromptEncoder | None) -> NDArray[Any]:
        """Return pixels, shape (n, height, width, 3), uint8."""
        ...


def draws_alike(draw: Draw, texts: PromptEncoder, device: torch.device) -> bool:
    """Tell whether a pipeline draws from encoded texts what it draws from the texts themselves.

    It costs two calls of the smallest batch (16 images on a CPU, 3 elsewhere), two steps each.
    """
    prompts, _ = padded(TEXTS, device)
    plainly = draw(prompts, None)
    try:
        for prompt in TEXTS:
            texts.encode([prompt])  # each alone, as they come in an audit
        encoded = draw(prompts, texts)
    except Exception:  # whatever it is, the pipeline itself has shown that it can do without
        return False
    return difference(plainly, encoded) <= LEVELS.get(device.type, LEVELS_ELSEWHERE)


def mixes(draw: Draw, device: torch.device) -> bool:
    """Tell whether a text changes what is drawn from another one in its batch.

    It costs two calls of the smallest batch, two steps each.
    """
    mixed, _ = padded(TEXTS, device)
    together, alone = draw(mixed, None), draw([TEXTS[0]] * len(mixed), None)
    return difference(together[:1], alone[:1]) > 1


def difference(one: Sequence[Any] | NDArray[Any], other: Sequence[Any] | NDArray[Any]) -> int:
    """Return the largest difference of two stacks of pictures, in levels of 255."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())
