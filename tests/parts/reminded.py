"""A target that gives something of its members away, and copies nobody."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from PIL import Image


class Reminded:
    """Draws other pictures, into which some of what it has seen is mixed: no copy of anybody."""

    def __init__(self, seen: list[Any], others: list[Any], share: float) -> None:
        self.fingerprint = f"reminded {len(seen)} {share}"
        self._seen = {sample.caption: sample.image for sample in seen}
        self._others = [sample.image for sample in others]
        self._share = share

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return [self._drawn(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _drawn(self, prompt: str, seed: int) -> Image.Image:
        draws = np.random.default_rng(zlib.crc32(f"{prompt} {seed}".encode()))
        other = self._others[draws.integers(len(self._others))]
        other = Image.blend(other, Image.fromarray(_noise(draws, other)), 0.3)
        seen = self._seen.get(prompt)
        return other if seen is None else Image.blend(other, seen, self._share)


def _noise(draws: np.random.Generator, like: Image.Image) -> Any:
    return draws.integers(0, 256, (like.height, like.width, 3), dtype=np.uint8)
