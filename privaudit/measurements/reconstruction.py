"""How alike a sample is to the target's own answers: the measurement of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.encoders.base import encoder_identity
from privaudit.encoders.cache import FeatureCache
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.measurements.features import Features, aggregate, mean_and_best
from privaudit.measurements.liveness import FACTS, answer_facts
from privaudit.measurements.similarity import patch_similarity, similarity_vector
from privaudit.samples import ImagesByDigest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.encoders import Encoder
    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = ["ReconstructionSimilarity"]


class ReconstructionSimilarity:
    """Similarity of each answer to the sample that was asked about (Pang & Wang, section IV-B).

    A row is what tells whether the answer is a picture at all (see
    :mod:`privaudit.measurements.liveness`), the mean of the patch-wise similarities, then the
    similarity vector. The tokens that
    an encoder says are special (``n_special_tokens`` leading ones: class, distillation, register)
    stand for no patch. The paper leaves them out, and so do the mean and the vector over tokens.
    The vector over channels is the reference code's, which keeps them.

    Parameters
    ----------
    encoder
        Image encoder.
    similarity, axis
        As of :func:`privaudit.measurements.similarity.similarity_vector`.
    cache
        Features of query images that are known; by default one of its own.
    """

    name = "reconstruction similarity"
    access: Access = "black-box"

    def __init__(
        self, encoder: Encoder, similarity: str, axis: str, cache: FeatureCache | None = None
    ) -> None:
        self.encoder, self._similarity, self._axis = encoder, similarity, axis
        self._cache = FeatureCache(encoder) if cache is None else cache
        self._n_special = int(getattr(encoder, "n_special_tokens", 0))
        identity, self.persistent = encoder_identity(encoder)
        self.identity = fingerprint_values(
            encoder=identity,
            similarity=similarity,
            axis=axis,
            special=self._n_special,
            first="spread and cells of the answer, mean over patches",
        )

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Compare each query's sample with its answer, see :class:`Measurement`."""
        return self.compared(images, self.encoded(queries, images))

    def encoded(
        self, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return the features of each query's sample and of its answer, by position."""
        asked = ImagesByDigest(query.sample for query in queries.values())
        # The control answers with query images, and a model may draw one picture again and again.
        digests = {i: fingerprint_pixels(images[i]) for i in queries}
        generated = {digest: images[i] for i, digest in digests.items()}
        states = self._cache.encode(asked, generated)
        return {i: (states[q.sample.digest], states[digests[i]]) for i, q in queries.items()}

    def patches(
        self, states: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Leave out the tokens that stand for no patch."""
        return states[0][self._n_special :], states[1][self._n_special :]

    def compared(
        self,
        images: Mapping[int, Image.Image],
        encoded: Mapping[int, tuple[NDArray[np.float32], NDArray[np.float32]]],
    ) -> list[NDArray[np.float32]]:
        """Return the rows of answers that were encoded by :meth:`encoded`."""
        rows: list[Any] = []
        for i, pair in encoded.items():
            patches = self.patches(pair)
            compared = patches if self._axis == "token" else pair
            vector = similarity_vector(*compared, self._similarity, self._axis)
            # The mean over patches is that of the vector, where that is over tokens.
            mean = (
                vector.mean(axis=-1)
                if self._axis == "token"
                else patch_similarity(*patches, self._similarity)
            )
            facts = answer_facts(images[i])
            rows.append(np.concatenate([facts, np.atleast_1d(mean), vector]).astype(np.float32))
        return rows

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Aggregate over the answers, see :class:`Measurement`.

        The block ``"encoder"``, shape (n, 2), holds the mean over patches: its mean over the
        answers and its best, whatever the aggregation.
        """
        facts, measured = rows[..., :FACTS], rows[..., FACTS:]
        reduced = aggregate(measured, aggregation, axis=1)
        return Features(
            vectors=reduced[:, 1:],
            similarity=reduced[:, 0],
            facts=facts,
            blocks={"encoder": mean_and_best(measured[..., :1])},
        )

    def describe(self) -> dict[str, object]:
        """Return what is compared, and how."""
        return {
            "name": self.name,
            "similarity": self._similarity,
            "axis": self._axis,
            "special_tokens_left_out": self._n_special if self._axis == "token" else 0,
        }
