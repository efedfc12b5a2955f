"""A sample: an image, its caption, an id."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from PIL import Image

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_pixels
from privaudit.samples.facts import FileFacts
from privaudit.samples.pictures import as_rgb

__all__ = ["ImagesByDigest", "Opener", "Sample"]

Opener = Callable[[], Image.Image]
"""Opens an image, each time anew. An attribute ``where`` (a text) says where it is, for messages;
to be sent to a Ray worker, it must be picklable."""


@dataclass(frozen=True, init=False, eq=False)
class Sample:
    """A query record: an image whose membership is asked about, and its caption.

    Parameters
    ----------
    image
        The image, of any size and mode, or an opener: a function without parameters that returns
        it. An image is kept; an opener is called whenever the image is asked for, and what it
        returns is not kept. Attacks see RGB, see :func:`privaudit.samples.as_rgb`.
    caption
        The text the image was, or would have been, trained with.
    id
        A name that is unique over all samples of an audit. Without one, it is made from the
        pixels and the caption, so it is the same in every run.

    Raises
    ------
    SampleError
        If ``image`` is no PIL image, or one that cannot be seen as RGB, or ``caption`` no string.
        With an opener, what is wrong with the image is found when it is first asked for.

    Examples
    --------
    >>> from PIL import Image
    >>> sample = Sample(lambda: Image.new("L", (64, 48)), "a black rectangle", id="one")
    >>> sample.image.mode, sample.image.size
    ('RGB', (64, 48))
    """

    caption: str = field(repr=False)
    """Not shown: a traceback shows what a test was given."""
    id: str
    _opener: Opener = field(init=False, repr=False)
    _image: Image.Image | None = field(init=False, repr=False)
    """What was given as an image; ``None`` for what an opener opens."""
    _digest: str = field(init=False, repr=False)
    _facts: FileFacts | None = field(init=False, repr=False)

    def __init__(
        self,
        image: Image.Image | Opener,
        caption: str,
        id: str | None = None,  # noqa: A002
    ) -> None:
        if not isinstance(image, Image.Image) and (isinstance(image, type) or not callable(image)):
            msg = (
                f"image of {_name(id)} is a {type(image).__name__}, not a PIL image: "
                "open it with PIL.Image.open, or load a folder with privaudit.load_samples"
            )
            raise SampleError(msg)
        if not isinstance(caption, str):
            msg = f"caption of {_name(id)} is a {type(caption).__name__}, not a string"
            raise SampleError(msg)
        half = next((c for c in caption if "\ud800" <= c <= "\udfff"), None)
        if half is not None:
            msg = (
                f"caption of {_name(id)} holds half a character (U+{ord(half):04X}): write it anew"
            )
            raise SampleError(msg)
        # A file name in another encoding has bytes that no record can hold.
        own = "" if id is None else str(id).encode("utf-8", "backslashreplace").decode()
        self._set(caption=caption, id=own, _image=None, _digest="", _facts=None)
        if isinstance(image, Image.Image):
            self._set(_image=self._seen(lambda: image))
        else:
            self._set(_opener=image)
        if id is None:
            own = hashlib.sha256(f"{self.digest}\0{caption}".encode()).hexdigest()[:16]
            self._set(id=own)

    @property
    def image(self) -> Image.Image:
        """The image as RGB; opened anew at each access if the sample was made with an opener.

        Raises
        ------
        SampleError
            If it cannot be read, or is not the picture it was before.
        """
        return self._seen(self._opener) if self._image is None else self._image

    @property
    def digest(self) -> str:
        """SHA-256 of the RGB pixels; the image is opened for it once."""
        if not self._digest:
            self._seen(self._opener)
        return self._digest

    @property
    def facts(self) -> FileFacts:
        """What the image's file says beside its pixels."""
        if self._facts is None:
            self._seen(self._opener)
        return cast("FileFacts", self._facts)

    def recaptioned(self, caption: str) -> Sample:
        """Return the same image with another caption, under the same id; nothing is opened."""
        other = copy.copy(self)
        other._set(caption=caption)
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sample):
            return NotImplemented
        return (self.id, self.caption, self.digest) == (other.id, other.caption, other.digest)

    def __hash__(self) -> int:
        return hash((self.id, self.caption))

    def _set(self, **values: object) -> None:
        self.__dict__.update(values)  # it is frozen for everybody else

    def _seen(self, opener: Opener) -> Image.Image:
        """Open the image, and check that it is the one that was seen before."""
        where = getattr(opener, "where", None) or f"image of {_name(self.id)}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # PIL's, of damaged metadata
                image = opener()
                facts = FileFacts.of(image)
                rgb = as_rgb(image)
        except SampleError:
            raise
        except Exception as error:
            # PIL raises a dozen types for one mistake: a file that is not what its name says.
            what = str(error) or type(error).__name__
            msg = f"{where} cannot be read as an image ({what}): replace it or remove the sample"
            raise SampleError(msg) from error
        digest = fingerprint_pixels(rgb)
        if self._digest and digest != self._digest:
            msg = (
                f"{where} has changed since it was first read: leave the files alone while an "
                "audit runs, and run it again"
            )
            raise SampleError(msg)
        self._set(_digest=digest, _facts=facts)
        return rgb


def _name(id: object) -> str:  # noqa: A002
    """Name a sample in a message, never by its caption."""
    return f"sample {id!r}" if id else "a sample without an id"


class ImagesByDigest(Mapping[str, Image.Image]):
    """The images of samples by their digest, each opened when it is looked up.

    Parameters
    ----------
    samples
        The samples; those that show the same picture are one entry.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = {sample.digest: sample for sample in samples}

    def __getitem__(self, digest: str) -> Image.Image:
        return self._samples[digest].image

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __contains__(self, digest: object) -> bool:
        return digest in self._samples  # Mapping's own would open the image
