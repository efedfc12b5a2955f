"""Captioners by name or by object."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.captioners.base import Captioner
from privaudit.device import chosen_device
from privaudit.errors import CaptionerError, first_line
from privaudit.hub import is_hub_name, one_try

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from PIL import Image

    from privaudit.captioners.transformers import TransformersCaptioner

__all__ = ["as_captioner", "load_captioner"]

DEFAULT_CAPTIONER = "Salesforce/blip-image-captioning-base"
"""The captioner of the paper, which fine-tunes it on auxiliary data."""


def load_captioner(
    name: str | Path = DEFAULT_CAPTIONER, *, device: str | torch.device | None = None
) -> TransformersCaptioner:
    """Load an image-to-text model of transformers.

    Parameters
    ----------
    name
        Hub name or local folder.
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    CaptionerError
        If it cannot be loaded.

    Examples
    --------
    >>> load_captioner("Salesforce/blip-image-captioning-base")  # doctest: +SKIP
    """
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    from privaudit.captioners.transformers import TransformersCaptioner

    device = chosen_device(device)
    problem = ""
    try:
        with one_try() if is_hub_name(str(name)) else contextlib.nullcontext("") as away:
            problem = away
            model = AutoModelForImageTextToText.from_pretrained(name, torch_dtype=torch.float32)
            parts = [kind.from_pretrained(name) for kind in (AutoImageProcessor, AutoTokenizer)]
    except Exception as error:
        # transformers raises a dozen types for one mistake: a name that leads nowhere.
        reason = f"it is not on this machine, and {problem}" if problem else first_line(error)
        msg = f"captioner {str(name)!r} cannot be loaded ({reason}): check the name or folder"
        raise CaptionerError(msg) from error
    return TransformersCaptioner(model.to(device), *parts)


class _CallableCaptioner:
    def __init__(self, function: Callable[[list[Image.Image]], list[str]]) -> None:
        self._function = function
        stated = getattr(function, "fingerprint", None)
        if stated is not None:
            self.fingerprint = f"callable:{stated}"

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        return self._function(list(images))


def as_captioner(given: Any) -> Captioner:
    """Turn what a ``captioner`` fixture returned into a captioner.

    Parameters
    ----------
    given
        A name for :func:`load_captioner`, a transformers ``(model, processor)`` pair, an object
        with ``caption``, or a callable from a list of images to a list of texts.

    Raises
    ------
    CaptionerError
        If it is none of these.

    Examples
    --------
    >>> from PIL import Image
    >>> captioner = as_captioner(lambda images: ["a cat"] * len(images))
    >>> captioner.caption([Image.new("RGB", (8, 8))])
    ['a cat']
    """
    if isinstance(given, str | Path):
        return load_captioner(given)
    if isinstance(given, Captioner):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        model, processor = given
        parts = [getattr(processor, name, None) for name in ("image_processor", "tokenizer")]
        if hasattr(model, "generate") and None not in parts:
            from privaudit.captioners.transformers import TransformersCaptioner

            return TransformersCaptioner(model, *parts)
    if callable(given):
        return _CallableCaptioner(given)
    msg = (
        f"{type(given).__name__} cannot write captions: return a name, a (model, processor) pair, "
        "an object with caption(images), or a callable from images to texts"
    )
    raise CaptionerError(msg)
