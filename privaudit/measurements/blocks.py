"""What an audit measures of an answer: the paper's similarity, and what a person would see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.fingerprint import fingerprint_values
from privaudit.measurements import appearance
from privaudit.measurements.captions import BLOCK
from privaudit.measurements.pixels import PixelSimilarity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.measurements.base import Access
    from privaudit.measurements.captions import CaptionSimilarity
    from privaudit.measurements.features import Features
    from privaudit.measurements.reconstruction import ReconstructionSimilarity
    from privaudit.targets import Query, Target

__all__ = ["AnswerSimilarity"]


class AnswerSimilarity:
    """The reconstruction similarity of each answer, and its pixel similarity beside it.

    An encoder may see little of a picture (one that redraws 25 of 80 members almost exactly had an
    AUC of 0.70 through EfficientNet-Lite0, and 0.95 by its pixels), so a combined inference model
    reads blocks of both. The paper's inference models read what the paper measures and nothing
    else: vectors and similarity are the reconstruction's.

    Parameters
    ----------
    reconstruction
        The paper's measurement.
    pixels
        The second; by default at the resolutions of
        :data:`privaudit.measurements.pixels.RESOLUTIONS`.
    pool
        Whether rows also hold what sample and answer look like, see
        :mod:`privaudit.measurements.appearance`. That is 4 · (1 + 2 · (768 + channels)) bytes more
        an answer in the store, 12 KB with 768 channels, and half of it in memory.
    captions
        A third, where a CLIP is given: three numbers more an answer.
    """

    name = "answer similarity"
    access: Access = "black-box"

    def __init__(
        self,
        reconstruction: ReconstructionSimilarity,
        pixels: PixelSimilarity | None = None,
        *,
        pool: bool = False,
        captions: CaptionSimilarity | None = None,
    ) -> None:
        self._reconstruction = reconstruction
        self._pixels = PixelSimilarity() if pixels is None else pixels
        self._captions = captions
        beside = [] if captions is None else [captions]
        parts: list[Any] = [self._pixels, self._reconstruction, *beside]
        self.persistent = all(part.persistent for part in parts)
        self._pool = pool
        # Without either it is what it was before there were any: rows that are stored still count.
        identities = [part.identity for part in parts] + [appearance.IDENTITY] * pool
        self.identity = fingerprint_values(parts=identities)

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Put the rows of both side by side, pixels first, see :class:`Measurement`."""
        encoded = self._reconstruction.encoded(queries, images)
        parts = [
            self._pixels.rows(target, queries, images),
            self._reconstruction.compared(images, encoded),
        ]
        if self._captions is not None:
            parts.insert(0, self._captions.rows(queries, images))
        if self._pool:
            patches = {i: self._reconstruction.patches(pair) for i, pair in encoded.items()}
            parts.insert(0, appearance.appearance_rows(queries, images, patches))
        return [np.concatenate(row) for row in zip(*parts, strict=True)]

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Return the reconstruction's features, with the blocks of both, and the pool."""
        pool = None
        if self._pool:
            pool, rows = appearance.split_rows(rows)
        clip = {}
        if self._captions is not None:
            seen, rows = np.split(rows, [self._captions.width], axis=-1)
            clip = {BLOCK: self._captions.block(seen)}
        n = self._pixels.width
        paper = self._reconstruction.features(rows[..., n:], aggregation)
        pixels = self._pixels.features(rows[..., :n], aggregation)
        return replace(paper, blocks={**paper.blocks, **pixels.blocks, **clip}, pool=pool)

    def describe(self) -> dict[str, object]:
        """Return what the paper compares, and what is compared beside it."""
        beside = self._pixels.describe()
        pool = {"pixels": appearance.EDGE, "features": "mean over patches"}
        own = {**self._reconstruction.describe(), "beside": beside}
        if self._captions is not None:
            own["clip"] = self._captions.describe()
        return {**own, "pool": pool} if self._pool else own
