"""Whatever a pipeline returns, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from privaudit.errors import GeneratorError
from privaudit.samples import as_rgb
from privaudit.targets.base import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["largest_difference", "mean_difference", "pictures_of"]

FIELDS = ("images", "image", "rgb")
"""What diffusers' outputs call the pictures; ``rgb`` has a picture of depths beside it."""
FLAGS = ("nsfw_content_detected", "nsfw_detected")
"""What diffusers' outputs call the safety checker's findings."""
SLACK = 1e-3
"""How far outside [0, 1] a decoder's rounding may put a value."""


def pictures_of(
    name: str, output: Any, prompts: Sequence[str], n: int | None = None
) -> list[Image.Image]:
    """Take the pictures out of what a pipeline's call returned.

    Parameters
    ----------
    name
        The pipeline, for messages.
    output
        An output of diffusers, a tuple of images and flags, or the images: PIL, NumPy
        (n, height, width, channels), or tensors (n, channels, height, width); values from 0 to 1,
        or whole numbers from 0 to 255.
    prompts
        The batch it was asked.
    n
        How many of the batch count; the rest was there to fill it.

    Returns
    -------
    list of PIL.Image.Image
        n RGB images.

    Raises
    ------
    GeneratorError
        If there is not one image for each prompt, a value is not finite or outside its range,
        a safety checker blanked an image, or the output is of another kind.
    """
    import torch

    n = len(prompts) if n is None else n
    flags: Sequence[Any]
    images, flags = _taken_apart(name, output)
    if len(images) != len(prompts):
        msg = f"{name} returned {len(images)} images for {len(prompts)} prompts: ask for one each"
        raise GeneratorError(msg)
    blanked = sum(map(bool, list(flags)[:n]))
    if blanked:
        msg = (
            f"the safety checker of {name} blanked {blanked} of {n} images, and a black image "
            "hides what was memorised: load the pipeline with safety_checker=None"
        )
        raise GeneratorError(msg)
    kept = list(images[:n])
    if all(isinstance(image, Image.Image) for image in kept):
        return checked(name, kept, prompts[:n])
    tensors = any(isinstance(image, torch.Tensor) for image in kept)
    pixels = [
        image.detach().float().cpu().numpy() if isinstance(image, torch.Tensor) else image
        for image in kept
    ]
    broken = [i for i, p in enumerate(pixels) if not np.isfinite(np.asarray(p, float)).all()]
    if broken:
        msg = (
            f"{len(broken)} of {n} images of {name} have NaN pixels, the first for "
            f"prompt {prompts[broken[0]]!r}: load the pipeline in float32"
        )
        raise GeneratorError(msg)
    return [_picture(name, np.asarray(p), tensors=tensors) for p in pixels]


def _taken_apart(name: str, output: Any) -> tuple[Any, Sequence[Any]]:
    """Return the images and the safety checker's flags."""
    import torch

    images = next((getattr(output, n) for n in FIELDS if hasattr(output, n)), None)
    if images is not None:
        flags: Any = next((f for f in (getattr(output, n, None) for n in FLAGS) if f), [])
        return images, flags
    if isinstance(output, tuple) and output and not isinstance(output[0], Image.Image):
        others = [other for other in output[1:] if other is not None]
        if all(isinstance(o, (list, tuple)) and all(_is_flag(f) for f in o) for o in others):
            return output[0], others[0] if others else []
        msg = (
            f"{name} returned {len(output)} things, of which more than one may be the images: "
            "audit a callable that returns the images alone"
        )
        raise GeneratorError(msg)
    if isinstance(output, (list, tuple, np.ndarray, torch.Tensor)):
        return output, []
    fields = ", ".join(output) if isinstance(output, dict) else ""
    msg = (
        f"{name} returned a {type(output).__name__}{f' of {fields}' if fields else ''}, in which "
        "there is no field images: audit a callable that returns PIL images"
    )
    raise GeneratorError(msg)


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_, type(None)))


def _picture(name: str, pixels: NDArray[Any], *, tensors: bool) -> Image.Image:
    """Make a picture of one array."""
    if pixels.ndim == 3 and tensors:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        msg = f"{name} returned an image of shape {pixels.shape}: one or three channels are read"
        raise GeneratorError(msg)
    low, high = float(pixels.min()), float(pixels.max())
    whole = pixels.dtype == np.uint8
    if not whole and (pixels.dtype.kind != "f" or low < -SLACK or high > 1 + SLACK):
        msg = (
            f"{name} returned {pixels.dtype} values from {low:.3g} to {high:.3g}: floats from 0 "
            "to 1, or uint8, are read"
        )
        raise GeneratorError(msg)
    if not whole:
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    return as_rgb(Image.fromarray(pixels))


def largest_difference(one: Image.Image, other: Image.Image) -> float:
    """Return the largest difference of two RGB pictures, in levels of 255; infinite by size."""
    return float(_differences(one, other).max())


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two RGB pictures, in levels of 255; infinite by size."""
    return float(_differences(one, other).mean())


def _differences(one: Image.Image, other: Image.Image) -> NDArray[Any]:
    if one.size != other.size:
        return np.array(np.inf)
    apart: NDArray[Any] = np.abs(np.asarray(one, int) - np.asarray(other, int))
    return apart
