"""Features of images that are asked about again and again, in a bounded number of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from privaudit.encoders.base import encode_in_batches

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.encoders.base import Encoder

__all__ = ["FeatureCache"]

ENCODED_AT_ONCE = {"cpu": 16}
"""Images in one forward pass, by device: more fall out of a CPU's cache, and take half as long
again each. Elsewhere it is :data:`ENCODED_AT_ONCE_ELSEWHERE`."""
ENCODED_AT_ONCE_ELSEWHERE = 64
REMEMBERED_BYTES = 64 * 2**20
"""Features of query images kept: a few batches' worth, whatever the number of samples."""


class FeatureCache:
    """One encoder's features of query images, so that none is encoded for each of its m answers.

    The longest unused go first when there are more than :data:`REMEMBERED_BYTES`. A copy in
    another process begins empty.

    Parameters
    ----------
    encoder
        The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kept: LRUCache[str, NDArray[np.float32]] = _empty()

    def __getstate__(self) -> dict[str, Any]:
        return {"_encoder": self._encoder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._encoder = state["_encoder"]
        self._kept = _empty()

    def encode(
        self, asked: Mapping[str, Image.Image], others: Mapping[str, Image.Image]
    ) -> dict[str, NDArray[np.float32]]:
        """Encode images, each once.

        Parameters
        ----------
        asked
            Query images by the digest of their pixels; their features are remembered.
        others
            Images by the digest of their pixels, whose features are not.

        Returns
        -------
        dict of ndarray of float32, shape (tokens, channels)
            Features by digest.

        Raises
        ------
        EncoderError
            If the encoder fails.
        """
        digests = dict.fromkeys((*asked, *others))
        found = {digest: self._kept[digest] for digest in digests if digest in self._kept}
        # Only these are looked up: a mapping may open a file for it.
        new = [digest for digest in digests if digest not in found]
        if new:
            device = getattr(getattr(self._encoder, "device", None), "type", "")
            size = ENCODED_AT_ONCE.get(device, ENCODED_AT_ONCE_ELSEWHERE)
            images = [others[digest] if digest in others else asked[digest] for digest in new]
            encoded = encode_in_batches(self._encoder, images, size)
            found |= dict(zip(new, encoded, strict=True))
        for digest in asked.keys() & set(new):
            if found[digest].nbytes <= REMEMBERED_BYTES:
                # A copy: a view would keep the whole batch alive.
                self._kept[digest] = found[digest].copy()
        return found


def _empty() -> LRUCache[str, NDArray[np.float32]]:
    return LRUCache(REMEMBERED_BYTES, lambda features: features.nbytes)
