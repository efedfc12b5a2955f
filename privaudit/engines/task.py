"""What an engine is asked to do, and how one batch of it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache

from privaudit.encoders.base import encode_in_batches, encoder_identity
from privaudit.fingerprint import fingerprint_pixels as pixel_digest
from privaudit.fingerprint import fingerprint_text, fingerprint_values
from privaudit.measurements.similarity import pooled_similarity, similarity_vector
from privaudit.samples import ImagesByDigest
from privaudit.store import as_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.encoders import Encoder
    from privaudit.targets import Generator
    from privaudit.targets.queries import Query

__all__ = ["QueryFeatures", "Task", "compare", "files", "generate", "image_keys"]

ENCODED_AT_ONCE = {"cpu": 16}
"""Images in one forward pass, by device: more fall out of a CPU's cache, and take half as long
again each. Elsewhere it is :data:`ENCODED_AT_ONCE_ELSEWHERE`."""
ENCODED_AT_ONCE_ELSEWHERE = 64
REMEMBERED_BYTES = 64 * 2**20
"""Features of query images kept: a few batches' worth, whatever the number of samples."""


def image_keys(fingerprint: str, queries: Sequence[Query]) -> list[str]:
    """Name the images of a model of that fingerprint by all that determines them."""
    model = fingerprint_values(model=fingerprint)
    return [fingerprint_text(f"{model} {query.seed} {query.prompt}") for query in queries]


@dataclass(frozen=True)
class Task:
    """Which model answers queries, and how its answers are compared with the query images."""

    generator: Generator
    encoder: Encoder
    similarity: str
    similarity_axis: str
    batch_size: int | None
    """Queries in one call of the generator; ``None`` to find out."""

    @property
    def persistent(self) -> bool:
        """Whether what is computed means the same in another process."""
        return self.generator.persistent and encoder_identity(self.encoder)[1]

    @property
    def keeps_images(self) -> bool:
        """Whether generated images are stored."""
        return self.generator.persistent and getattr(self.generator, "worth_storing", True)

    def keys(self, queries: Sequence[Query]) -> tuple[list[str], list[str]]:
        """Name the images of queries, and the similarities of these with the query images."""
        images = image_keys(self.generator.fingerprint, queries)
        measure = fingerprint_values(
            encoder=encoder_identity(self.encoder)[0],
            similarity=self.similarity,
            axis=self.similarity_axis,
        )
        values = [
            fingerprint_text(f"{measure} {image} {query.sample.digest}")
            for image, query in zip(images, queries, strict=True)
        ]
        return images, values


class QueryFeatures:
    """Features of images that are asked about, so that none is encoded for each of its m answers.

    The longest unused go first when there are more than :data:`REMEMBERED_BYTES`.
    """

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, str], NDArray[np.float32]] = LRUCache(
            REMEMBERED_BYTES, lambda features: features.nbytes
        )

    def encode(
        self,
        encoder: Encoder,
        asked: Mapping[str, Image.Image],
        others: Mapping[str, Image.Image],
    ) -> dict[str, NDArray[np.float32]]:
        """Encode images, each once.

        Parameters
        ----------
        encoder
            The encoder.
        asked
            Query images by the digest of their pixels; their features are remembered.
        others
            Images by the digest of their pixels, whose features are not.

        Returns
        -------
        dict of ndarray of float32, shape (tokens, channels)
            Features by digest.
        """
        identity, _ = encoder_identity(encoder)
        digests = dict.fromkeys((*asked, *others))
        kept = [digest for digest in digests if (identity, digest) in self._kept]
        found = {digest: self._kept[identity, digest] for digest in kept}
        # Only these are looked up: a mapping may open a file for it.
        new = [digest for digest in digests if digest not in found]
        if new:
            device = getattr(getattr(encoder, "device", None), "type", "")
            size = ENCODED_AT_ONCE.get(device, ENCODED_AT_ONCE_ELSEWHERE)
            images = [others[digest] if digest in others else asked[digest] for digest in new]
            encoded = encode_in_batches(encoder, images, size)
            found |= dict(zip(new, encoded, strict=True))
        for digest in asked.keys() & set(new):
            if found[digest].nbytes <= REMEMBERED_BYTES:
                # A copy: a view would keep the whole batch alive.
                self._kept[identity, digest] = found[digest].copy()
        return found


def generate(
    generator: Generator,
    queries: Mapping[int, Query],
    known: Mapping[int, Image.Image],
    size: int,
) -> dict[int, Image.Image]:
    """Generate the images of queries that are not known, up to ``size`` in one call."""
    absent = [i for i in queries if i not in known]
    made: dict[int, Image.Image] = {}
    for start in range(0, len(absent), size):
        part = absent[start : start + size]
        asked = [queries[i] for i in part]
        images = generator.generate([q.prompt for q in asked], [q.seed for q in asked])
        made |= dict(zip(part, images, strict=True))
    return made


def files(task: Task, made: Mapping[int, Image.Image]) -> dict[int, bytes]:
    """Return generated images as the store keeps them, or none if it is not to."""
    return {i: as_file(image) for i, image in made.items()} if task.keeps_images else {}


def compare(
    task: Task,
    queries: Mapping[int, Query],
    images: Mapping[int, Image.Image],
    features: QueryFeatures,
) -> list[NDArray[np.float32]]:
    """Compare each query's image with what was generated for it.

    Returns
    -------
    list of ndarray of float32, shape (1 + d,)
        The similarity of the pooled features, then the similarity vector; in the order of the
        queries.
    """
    asked = ImagesByDigest(query.sample for query in queries.values())
    # The control answers with query images, and a model may draw one picture again and again.
    digests = {i: pixel_digest(images[i]) for i in queries}
    generated = {digest: images[i] for i, digest in digests.items()}
    found = features.encode(task.encoder, asked, generated)
    rows: list[Any] = []
    for i, query in queries.items():
        pair = found[query.sample.digest], found[digests[i]]
        vector = similarity_vector(*pair, task.similarity, task.similarity_axis)
        pooled = pooled_similarity(*pair, task.similarity)
        rows.append(np.concatenate([pooled[None], vector]).astype(np.float32))
    return rows
