"""Controls: a generator that leaks everything, and one that leaks nothing.

An audit that finds no leak in the first cannot see one; an audit that finds one in the second
is reading something else than the model.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from privaudit.samples import Sample

__all__ = ["MemorizingTarget", "ObliviousTarget"]


def _noise_image(size: tuple[int, int], *key: object) -> Image.Image:
    """Draw a smooth picture of random colours, the same one for the same key."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    draws = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    coarse = draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


class MemorizingTarget:
    """Returns the training image whose caption it is asked for: the worst leak there is.

    Parameters
    ----------
    members
        The training set. A prompt that is nobody's caption gets a picture drawn from the
        prompt and the seed.
    aliases
        Other prompts that a member answers to, by prompt, such as a captioner's captions.
    """

    persistent = True
    worth_storing = False
    """Looking an image up is quicker than reading it, and one more copy is one too many."""

    def __init__(self, members: Iterable[Sample], aliases: dict[str, Sample] | None = None) -> None:
        members = list(members)
        self._known = {member.caption: member for member in members} | (aliases or {})
        self._size = members[0].image.size
        self.fingerprint = fingerprint_values(
            control="memorizing",
            members=[(member.caption, member.digest) for member in members],
            aliases={prompt: member.digest for prompt, member in (aliases or {}).items()},
        )

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it remembers."""
        return wanted

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Look each prompt up."""
        return [
            self._known[prompt].image
            if prompt in self._known
            else _noise_image(self._size, prompt, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


class ObliviousTarget:
    """Ignores the prompt: every picture is drawn from the seed alone, so nothing can leak.

    Parameters
    ----------
    size
        Width and height of the pictures, in pixels.
    """

    persistent = True
    worth_storing = False
    """Drawing an image is quicker than reading it."""

    def __init__(self, size: tuple[int, int] = (32, 32)) -> None:
        self._size = size
        self.fingerprint = fingerprint_values(control="oblivious", size=size)

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it draws."""
        return wanted

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Draw one picture for each seed."""
        return [_noise_image(self._size, seed) for _, seed in zip(prompts, seeds, strict=True)]
