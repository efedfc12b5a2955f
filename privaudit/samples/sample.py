"""A sample: an image, its caption, an id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from PIL import Image

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_pixels
from privaudit.samples.facts import FileFacts
from privaudit.samples.pictures import as_rgb

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample:
    """A query record: an image whose membership is asked about, and its caption.

    Parameters
    ----------
    image
        The image, of any size and mode. What is kept of it, and seen by attacks, is RGB, see
        :func:`privaudit.samples.as_rgb`.
    caption
        The text the image was, or would have been, trained with.
    id
        A name that is unique over all samples of an audit. Without one, it is made from the
        pixels and the caption, so it is the same in every run.

    Raises
    ------
    SampleError
        If ``image`` is no PIL image, or one that cannot be seen as RGB, or ``caption`` no string.
    """

    image: Image.Image = field(repr=False, compare=False)
    caption: str
    id: str = ""
    digest: str = field(init=False, repr=False)
    """SHA-256 of the RGB pixels."""
    facts: FileFacts = field(init=False, repr=False, compare=False)
    """What the image's file said beside its pixels."""

    def __init__(self, image: Image.Image, caption: str, id: str | None = None) -> None:  # noqa: A002
        if not isinstance(image, Image.Image):
            msg = (
                f"image of sample {id or caption!r} is a {type(image).__name__}, not a PIL image: "
                "open it with PIL.Image.open, or load a folder with privaudit.load_samples"
            )
            raise SampleError(msg)
        if not isinstance(caption, str):
            msg = f"caption of sample {id!r} is a {type(caption).__name__}, not a string"
            raise SampleError(msg)
        facts = FileFacts.of(image)
        try:
            rgb = as_rgb(image)
            digest = fingerprint_pixels(rgb)
        except (OSError, SyntaxError, ValueError) as error:
            msg = f"image of sample {id or caption!r} cannot be read: {error}; replace or remove it"
            raise SampleError(msg) from error
        if id is None:
            id = hashlib.sha256(f"{digest}\0{caption}".encode()).hexdigest()[:16]  # noqa: A001
        object.__setattr__(self, "image", rgb)
        object.__setattr__(self, "caption", caption)
        object.__setattr__(self, "id", str(id))
        object.__setattr__(self, "digest", digest)
        object.__setattr__(self, "facts", facts)
