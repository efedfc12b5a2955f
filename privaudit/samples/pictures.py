"""What a picture looks like: any PIL image as the RGB pixels that a trainer would have seen.

:func:`open_picture` opens files and bytes that others wrote; :func:`as_rgb` is for query images
and for answers alike. ``Image.convert("RGB")`` alone leaves a photograph on its side, turns 16-bit
and float pictures white, and shows what lies hidden under transparent pixels.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from privaudit.errors import PictureError, first_line
from privaudit.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "MAX_PICTURE_BYTES",
    "MAX_PIXELS",
    "PICTURE_FORMATS",
    "as_rgb",
    "check_size",
    "open_picture",
    "picture_suffixes",
]

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
"""PIL's formats that are opened. Others of PIL start a program (EPS) or are read by nobody."""
MAX_PIXELS = 8192 * 8192
"""Pixels that a picture may have, of data sets and answers alike; known before it is decoded."""
MAX_PICTURE_BYTES = 2**29
"""Bytes that the file of a picture may have."""
ROWS = 512
"""Rows of a picture that are flattened or scaled at once, so that a large one fits into memory."""
WHITE = "white"
"""What transparent pixels are flattened on."""
MAX_8_BIT, MAX_16_BIT = 255, 65535


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the ends of the names of pictures that are read, with dots, in small letters."""
    known = Image.registered_extensions()
    return frozenset(end for end, kind in known.items() if kind in PICTURE_FORMATS)


def open_picture(source: str | Path | bytes, *, max_pixels: int | None = None) -> Image.Image:
    """Open and decode a picture that somebody else made, within limits.

    Parameters
    ----------
    source
        A file, or the bytes of one.
    max_pixels
        Pixels that it may have, by default :data:`MAX_PIXELS`: its size is read before anything
        is decoded.

    Returns
    -------
    PIL.Image.Image
        Decoded, its file closed; of several frames the first one. Not turned, flattened or
        scaled: see :func:`as_rgb`.

    Raises
    ------
    PictureError
        If it is of none of :data:`PICTURE_FORMATS`, too large, or damaged.
    OSError
        If the file is missing, no regular file, or cannot be read.

    Examples
    --------
    >>> open_picture(b"%!PS-Adobe-3.0 EPSF-3.0")
    Traceback (most recent call last):
    privaudit.errors.PictureError: not a PNG, JPEG, WEBP, AVIF, GIF, TIFF or BMP picture: save it \
as PNG
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        _check_bytes(len(source))
        return _decode(io.BytesIO(source), max_pixels)
    with os.fdopen(open_regular(source), "rb") as file:
        _check_bytes(os.fstat(file.fileno()).st_size)
        return _decode(file, max_pixels)


def _check_bytes(size: int) -> None:
    if size > MAX_PICTURE_BYTES:
        msg = (
            f"a file of {size:,} bytes, and at most {MAX_PICTURE_BYTES:,} are read: make it smaller"
        )
        raise PictureError(msg)


def _decode(file: io.IOBase, max_pixels: int | None) -> Image.Image:
    """Decode the first picture of a file."""
    try:
        with warnings.catch_warnings():
            # PIL's own, of large pictures (the limit here is lower) and of damaged metadata.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=PICTURE_FORMATS) as image:  # type: ignore[arg-type]
                check_size(image.size, max_pixels)
                image.load()
                return image
    except Image.DecompressionBombError as error:
        msg = f"{first_line(error)}: make it smaller, at most {MAX_PIXELS:,} pixels"
        raise PictureError(msg) from error
    except UnidentifiedImageError as error:
        names = ", ".join(PICTURE_FORMATS[:-1]) + f" or {PICTURE_FORMATS[-1]}"
        msg = f"not a {names} picture: save it as PNG"
        raise PictureError(msg) from error
    except PictureError:
        raise
    except MemoryError as error:
        msg = "more memory is needed than there is: make it smaller"
        raise PictureError(msg) from error
    except Exception as error:
        # PIL raises a dozen types for one mistake: a file that is cut or damaged.
        msg = f"damaged ({type(error).__name__}: {first_line(error)}): save it again"
        raise PictureError(msg) from error


def check_size(size: tuple[int, int], max_pixels: int | None = None) -> None:
    """Check a picture's width and height before it is decoded.

    Raises
    ------
    PictureError
        If it has no pixels, or more than ``max_pixels``.
    """
    width, height = size
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if width < 1 or height < 1:
        msg = f"image of {width}×{height} pixels: there is nothing to see"
        raise PictureError(msg)
    if width * height > most:
        msg = f"image of {width}×{height} pixels, and at most {most:,} are decoded: make it smaller"
        raise PictureError(msg)


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
        If it has no pixels, or more than :data:`MAX_PIXELS`, values that are not finite, or values
        whose range does not say what is white. The message names mode and range.
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
    check_size(image.size)
    image.load()
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
    values = np.asarray(image)
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
    scaled = _by_rows(values, lambda part: (part.astype(np.int32) + 128) // 257)
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
    scale = MAX_8_BIT if high <= 1 else 1
    return _by_rows(values, lambda part: np.rint(part * scale))


def _by_rows(values: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Make a grey image of 8 bits, some rows at a time: a large one needs no second copy."""
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), ROWS):
        grey[top : top + ROWS] = change(values[top : top + ROWS]).astype(np.uint8)
    return Image.fromarray(grey)


def _flattened(image: Image.Image, background: str) -> Image.Image:
    """Convert an image of 8 bits a channel, its transparency on a plain colour."""
    if image.mode == "La":
        image = image.convert("LA")  # PIL has no other way out of this mode
    if not image.has_transparency_data:
        return image.convert("RGB")
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, ROWS):
        box = (0, top, image.width, min(top + ROWS, image.height))
        part = image.crop(box).convert("RGBA")
        behind = _plain(part.size, background).convert("RGBA")
        flat.paste(Image.alpha_composite(behind, part).convert("RGB"), box)
    return flat


def _plain(size: tuple[int, int], colour: str) -> Image.Image:
    return Image.new("RGB", size, colour)
