"""How faithfully a model draws a picture anew that is handed in: image-to-image access."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.fingerprint import fingerprint_values
from privaudit.measurements.features import Features, aggregate
from privaudit.measurements.pixels import structural_similarities
from privaudit.targets.image_to_image import varied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = ["STRENGTHS", "VariationFidelity"]

STRENGTHS = (0.5,)
"""How much of a picture the model may change, for each of a query's pictures; chosen on drawn
emoji, see docs/explanation/strength.md."""


class VariationFidelity:
    """How alike a sample and what the model makes of it are, when it is handed in.

    Li et al. 2024 ("Towards black-box membership inference attack for diffusion models",
    arXiv 2405.20771): a variation of a picture that the model was trained on stays closer to it.
    Each sample is handed in under its prompt, at each strength; a row holds the structural
    similarity of the sample and of what came back, at each strength. The m queries of a sample are
    m draws of noise, the same ones for every model. A pipeline is asked for one step without
    guidance, which costs one evaluation and shows more than its own steps do. Where the base is
    known, an audit takes off what it makes of the same sample and noise: what any model would give
    back says nothing.

    Parameters
    ----------
    strengths
        As of :meth:`privaudit.targets.image_to_image.Varies.vary`.
    """

    name = "fidelity of variations"
    draws = True
    """Whether a value depends on a draw of noise: then a sample is measured m times."""
    less_base = True
    """Whether the score is over that of the base, where the base is known."""
    access: Access = "image-to-image"
    persistent = True

    def __init__(self, strengths: tuple[float, ...] = STRENGTHS) -> None:
        self._strengths = strengths
        self.pictures = len(strengths)
        """Pictures that the target draws for one query."""
        self.identity = fingerprint_values(
            variation=strengths, statistic="structural similarity", version=2
        )

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Hand each query's sample in, and compare, see :class:`Measurement`.

        Raises
        ------
        GeneratorError
            If the target takes no picture, or fails at it.
        """
        asked = list(queries.values())
        given = [query.sample.image for query in asked]
        prompts, seeds = [query.prompt for query in asked], [query.seed for query in asked]
        found = [
            structural_similarities(
                given, varied(target, given, prompts, seeds, strength, once=True)
            )
            for strength in self._strengths
        ]
        return list(np.stack(found, axis=1).astype(np.float32))

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Average over the m draws of noise; the one similarity is the mean over the strengths.

        The vectors have shape (n, strengths). What depends on a draw is an expectation, so it is
        averaged whatever the audit's aggregation.
        """
        vectors = aggregate(rows, "mean", axis=1)
        return Features(vectors=vectors, similarity=vectors.mean(axis=1))

    def describe(self) -> dict[str, object]:
        """Return what is measured, and at which strengths."""
        return {"name": self.name, "strengths": list(self._strengths)}
