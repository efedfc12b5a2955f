"""Whether an answer is of the sample, and fits the text better than the sample does: FSCA's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.encoders.cache import FeatureCache
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.samples import ImagesByDigest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.encoders.clip import Clip
    from privaudit.targets import Query

__all__ = ["CaptionSimilarity"]

BLOCK = "clip"


class CaptionSimilarity:
    r"""Compare sample, answer and text in the space of a CLIP (Zhu & Wang 2025, FSCA).

    "Auditing data provenance in real-world text-to-image diffusion models for privacy and copyright
    protection", arXiv 2506.11434; the authors' code (``JiePKU/FSCA``, ``mia_lib/mia_util.py``) is
    what is followed. With the unit vectors :math:`v_x` of the sample, :math:`v_t` of the text that
    was asked with, and :math:`v_i` of the m answers: the :math:`v_i \cdot v_x` in descending order,
    then the :math:`v_t \cdot v_i - v_t \cdot v_x`, in an order of their own.

    Parameters
    ----------
    clip
        The model of pictures and texts.
    """

    width = 3
    """Numbers a row: answer with sample, text with answer, text with sample."""

    def __init__(self, clip: Clip) -> None:
        self._clip, self._cache = clip, FeatureCache(clip.images)
        self.persistent = clip.fingerprint is not None
        known = f"object:{id(clip)}" if clip.fingerprint is None else clip.fingerprint
        self.identity = fingerprint_values(clip=known, row="sample, text, own", version=1)

    def rows(
        self, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Compare each query's sample and text with its answer, see :class:`Measurement`."""
        asked = ImagesByDigest(query.sample for query in queries.values())
        digests = {i: fingerprint_pixels(images[i]) for i in queries}
        seen = self._cache.encode(asked, {digest: images[i] for i, digest in digests.items()})
        # The m queries of a sample come one after another: in a batch, a text is read once.
        prompts = list(dict.fromkeys(query.prompt for query in queries.values()))
        told = dict(zip(prompts, map(_unit, self._clip.texts(prompts)), strict=True))
        rows = []
        for i, query in queries.items():
            sample, answer = _unit(seen[query.sample.digest][0]), _unit(seen[digests[i]][0])
            text = told[query.prompt]
            alike = [answer @ sample, text @ answer, text @ sample]
            rows.append(np.asarray(alike, dtype=np.float32))
        return rows

    def block(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the feature of FSCA.

        Parameters
        ----------
        rows
            Shape (n, m, 3).

        Returns
        -------
        ndarray of float64, shape (n, 2 · m)
        """
        values = np.asarray(rows, dtype=np.float64)
        pair = (values[..., 0], values[..., 1] - values[..., 2])
        return np.concatenate([-np.sort(-one, axis=1) for one in pair], axis=1)

    def describe(self) -> dict[str, object]:
        """Return what is compared."""
        return {"name": self._clip.name, "identity": self._clip.fingerprint}


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    return np.asarray(wide / length if length > 0 else wide)
