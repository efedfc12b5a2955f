"""What a picture looks like: any PIL image as the RGB pixels that a trainer would have seen.

One function, for query images and for answers alike. ``Image.convert("RGB")`` alone leaves a
photograph on its side, turns 16-bit and float pictures white, and shows what lies hidden under
transparent pixels.
"""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image, ImageOps

from privaudit.errors import PictureError

__all__ = ["as_rgb"]

WHITE = "white"
"""What transparent pixels are flattened on."""
MAX_8_BIT, MAX_16_BIT = 255, 65535


def as_rgb(image: Image.Image, *, background: str = WHITE) -> Image.Image:
    """Turn any PIL image into 8-bit RGB, as it is meant to be seen.

    - The EXIF orientation is applied, as the ``datasets`` library does when it decodes.
    - 16-bit pixels (``I;16…``, and ``I`` up to 65535) are divided by 257.
    - Float pixels (``F``) are taken as 0 to 1 if all of them are, or else as 0 to 255.
    - Alpha, a transparent palette entry or a transparent colour is flattened on ``background``.

    Parameters
    ----------
    image
        The image; it is not changed.
    background
        A colour that PIL knows by name or as ``#rrggbb``.

    Returns
    -------
    PIL.Image.Image
        Mode ``RGB``. An image that is right already is returned itself, not copied; any other
        has no metadata left, so that no second call turns it again.

    Raises
    ------
    PictureError
        If it has no pixels, values that are not finite, or values whose range does not say what
        is white. The message names mode and range.
    OSError
        If its file is cut or damaged.

    Examples
    --------
    >>> from PIL import Image
    >>> as_rgb(Image.new("F", (1, 1), 0.5)).getpixel((0, 0))
    (128, 128, 128)
    >>> as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    image.load()
    if not (image.width and image.height):
        msg = f"image of {image.width}×{image.height} pixels: there is nothing to see"
        raise PictureError(msg)
    if type(image) is Image.Image and image.mode == "RGB" and not (image.info or image.getexif()):
        return image  # from no file: nothing is written down of how it is meant to be seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged EXIF block turns nothing, here as in trainers
        turned = ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION) else image
    if turned.mode == "RGB" and "transparency" not in turned.info and turned is image:
        return image
    rgb = _flattened(_in_8_bits(turned, background), background)
    rgb.info = {}
    return rgb


_ORIENTATION = 0x0112
"""The EXIF tag."""


def _in_8_bits(image: Image.Image, background: str) -> Image.Image:
    """Scale the pixels of one wide channel; leave every other image as it is."""
    if image.mode == "F":
        return _scaled_floats(np.asarray(image))
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.int32)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_16_BIT:
        msg = (
            f"mode {image.mode} image with values from {low} to {high}, where 0 to {MAX_16_BIT} is "
            'expected: scale it to 8 bits and save it as mode "L"'
        )
        raise PictureError(msg)
    if image.mode == "I" and high <= MAX_8_BIT:
        return Image.fromarray(values.astype(np.uint8))  # PIL's own reading of this mode
    if 0 < high <= MAX_8_BIT:
        msg = (
            f"mode {image.mode} image with values from {low} to {high}: 8-bit values in 16-bit "
            'pixels would be seen as black; save it as mode "L"'
        )
        raise PictureError(msg)
    scaled = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if "transparency" in image.info:
        # PIL knows the transparent colour of a 16-bit PNG and has no mode to apply it in.
        seen = Image.fromarray(values != image.info["transparency"])
        return Image.composite(scaled.convert("RGB"), _plain(image.size, background), seen)
    return scaled


def _scaled_floats(values: np.ndarray) -> Image.Image:
    """Scale floats from 0 to 1, or from 0 to 255, to 8 bits."""
    bad = int((~np.isfinite(values)).sum())
    if bad:
        msg = f"mode F image with {bad} NaN or infinite values of {values.size}: run it in float32"
        raise PictureError(msg)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > MAX_8_BIT:
        msg = (
            f"mode F image with values from {low:g} to {high:g}, neither 0 to 1 nor 0 to 255: "
            "scale and clip it to one of them"
        )
        raise PictureError(msg)
    return Image.fromarray(np.rint(values * (MAX_8_BIT if high <= 1 else 1)).astype(np.uint8))


def _flattened(image: Image.Image, background: str) -> Image.Image:
    """Convert an image of 8 bits a channel, its transparency on a plain colour."""
    if image.mode == "La":
        image = image.convert("LA")  # PIL has no other way out of this mode
    if not image.has_transparency_data:
        return image.convert("RGB")
    behind = _plain(image.size, background).convert("RGBA")
    return Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")


def _plain(size: tuple[int, int], colour: str) -> Image.Image:
    return Image.new("RGB", size, colour)
