"""The encoder that needs no weights: patches of pixels as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.measurements import scaled_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["PixelPatches"]


class PixelPatches:
    """Pictures at 32 × 32 pixels, cut into squares of 8: 16 tokens of 192 values in [−0.5, 0.5].

    Grey is 0, so that a cosine tells light patches from dark ones.

    Examples
    --------
    >>> from PIL import Image
    >>> PixelPatches().encode([Image.new("RGB", (64, 48), "white")]).shape
    (1, 16, 192)
    """

    name = "pixels"
    fingerprint = "patches of 8 pixels at 32, centred on grey"

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Encode n images to an array of shape (n, 16, 192)."""
        pixels = np.stack([scaled_pixels(image, 32).reshape(32, 32, 3) for image in images])
        patches = pixels.reshape(-1, 4, 8, 4, 8, 3).swapaxes(2, 3).reshape(-1, 16, 192)
        result: NDArray[np.float32] = (patches - np.float32(0.5)).astype(np.float32)
        return result
