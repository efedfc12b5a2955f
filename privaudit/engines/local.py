"""Queries answered in this process: images, features and similarities, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.encoders.base import encode_in_batches, encoder_identity
from privaudit.fingerprint import fingerprint_values
from privaudit.similarity import pooled_similarity, similarity_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.config import Settings
    from privaudit.encoders import Encoder
    from privaudit.generators import Generator
    from privaudit.queries import Query
    from privaudit.store import Store

__all__ = ["run_queries"]


def run_queries(
    queries: Sequence[Query],
    generator: Generator,
    encoder: Encoder,
    settings: Settings,
    store: Store,
    report: Callable[[int], None],
) -> NDArray[np.float32]:
    """Answer queries: rows of (1 + d), the pooled similarity and the vector, in their order.

    Batches are embedded and reduced as they come, so memory does not grow with the number of
    images, and what was answered before a failure is kept.
    """
    identity, lasting = encoder_identity(encoder)
    persistent = generator.persistent and lasting
    image_keys = [
        fingerprint_values(model=generator.fingerprint, prompt=q.prompt, seed=q.seed)
        for q in queries
    ]
    keys = [
        fingerprint_values(
            image=image_key,
            query=query.sample.digest,
            encoder=identity,
            similarity=settings.similarity,
            axis=settings.similarity_axis,
        )
        for image_key, query in zip(image_keys, queries, strict=True)
    ]
    missing = [
        i for i, key in enumerate(keys) if store.similarity(key, persistent=persistent) is None
    ]
    size = generator.batch_size(settings.batch_size)
    for start in range(0, len(missing), size):
        part = missing[start : start + size]
        images = _images(
            [queries[i] for i in part], [image_keys[i] for i in part], generator, store
        )
        asked = {queries[i].sample.id: queries[i].sample.image for i in part}
        encoded = encode_in_batches(encoder, [*asked.values(), *images], size)
        of_query = dict(zip(asked, encoded, strict=False))
        for i, generated in zip(part, encoded[len(asked) :], strict=True):
            query = of_query[queries[i].sample.id]
            row = np.concatenate(
                [
                    pooled_similarity(query, generated, settings.similarity)[None],
                    similarity_vector(
                        query, generated, settings.similarity, settings.similarity_axis
                    ),
                ]
            )
            store.put_similarity(keys[i], row.astype(np.float32), persistent=persistent)
        report(len(queries) - len(missing) + start + len(part))
    rows: list[Any] = [store.similarity(key, persistent=persistent) for key in keys]
    return np.stack(rows)


def _images(
    queries: Sequence[Query], keys: Sequence[str], generator: Generator, store: Store
) -> list[Image.Image]:
    """Fetch a batch of images from the store, generating those it lacks."""

    def generate(missing: Sequence[int]) -> list[Image.Image]:
        return generator.generate(
            [queries[i].prompt for i in missing], [queries[i].seed for i in missing]
        )

    if not (generator.persistent and getattr(generator, "worth_storing", True)):
        return generate(range(len(queries)))
    with store.lock(generator.fingerprint):
        found = [store.image(key) for key in keys]
        missing = [i for i, image in enumerate(found) if image is None]
        if missing:
            for i, image in zip(missing, generate(missing), strict=True):
                store.put_image(keys[i], image)
                found[i] = image
    return [image for image in found if image is not None]
