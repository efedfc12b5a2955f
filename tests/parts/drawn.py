"""Audits of small drawn pictures, for tests of what follows from scores: seconds for a dozen."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

import privaudit
from privaudit.record import AuditRecord

SETTINGS: dict[str, Any] = {
    "scenarios": "I",
    "attacks": "threshold",
    "queries": 1,
    "store": "none",
    "gate": "evidence",
    "duplicate_limit": 2,
}


class Pixels:
    """An encoder that another session knows again."""

    fingerprint = "pixels"

    def encode(self, images: Any) -> Any:
        return np.stack([np.float32(image).reshape(8, 24) / 255 for image in images])


def drawn_samples(n: int, seed: int = 0) -> list[privaudit.Sample]:
    """Draw pictures with captions that say nothing of their order."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    captions = [f"picture {number:03} of {seed}" for number in random.permutation(n)]
    return [
        privaudit.Sample(Image.fromarray(picture), caption, id=f"{seed}/{caption[8:11]}")
        for picture, caption in zip(pictures, captions, strict=True)
    ]


class Model:
    """A callable that remembers a share of the members, and counts how often it is called.

    What it draws for others depends on the prompt and on a salt: the seed of its training.
    """

    def __init__(self, remembered: list[privaudit.Sample], salt: int = 0) -> None:
        self._known = {sample.caption: sample.image for sample in remembered}
        self._salt, self.calls = salt, 0
        self.fingerprint = f"{len(remembered)} of {salt}"

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.calls += len(prompts)
        return [
            self._known.get(prompt) or self._noise(prompt, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def _noise(self, prompt: str, seed: int) -> Image.Image:
        draws = np.random.default_rng([*prompt.encode(), seed % 2**32, self._salt])
        return Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8))


def audit(model: Any, samples: list[privaudit.Sample], **settings: Any) -> AuditRecord:
    """Audit a model whose members are the first half of the samples."""
    half = len(samples) // 2
    values: dict[str, Any] = {"image_encoder": Pixels(), **SETTINGS, **settings}
    return privaudit.run_audit(model, samples[:half], samples[half:], **values)
