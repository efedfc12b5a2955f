"""Graded copies: controls that show how faint a leak an audit would still see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from privaudit.batching import CPU_BATCH_MULTIPLE, padded
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.samples import as_rgb
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.queries import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.samples import Sample
    from privaudit.targets.queries import Query

__all__ = [
    "COPIED_AT_ONCE",
    "GRADES",
    "ROUND_TRIP",
    "GradedTarget",
    "RoundTrip",
    "round_trip",
]

ROUND_TRIP = "VAE round trip"
COPIED_AT_ONCE = CPU_BATCH_MULTIPLE
PIXELS_AT_ONCE = 512 * 512
"""Of all pictures that an autoencoder is given at once: no more memory than one large one takes."""


def _cropped(image: Image.Image, other: Image.Image) -> Image.Image:
    w, h = image.size
    return image.resize(
        image.size, Image.Resampling.BILINEAR, box=(w / 8, h / 8, 7 * w / 8, 7 * h / 8)
    )


def _mixed(share: float) -> Callable[[Image.Image, Image.Image], Image.Image]:
    return lambda image, other: Image.blend(other.resize(image.size), image, share)


GRADES: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "cropped to 3/4": _cropped,
    "1/2 mixed into another": _mixed(1 / 2),
    "1/4 mixed into another": _mixed(1 / 4),
    "1/8 mixed into another": _mixed(1 / 8),
}
"""What becomes of a copied picture, the faintest last. ``other`` is another sample's picture."""


class GradedTarget:
    """Returns a changed copy of the sample it is asked about, if that is a member.

    Asked about a non-member, it changes and returns some member, as
    :class:`privaudit.targets.CopyingTarget` does: what was done to a picture says nothing, who is
    on it does.

    Parameters
    ----------
    members, non_members
        The samples it will be asked about.
    name
        What the change is called: with the samples, the identity of the target.
    change
        From the picture, and that of another sample, to the answer.
    """

    persistent = True
    capabilities = Capabilities(worth_storing=False)
    """One more copy of a member is one too many."""

    def __init__(
        self,
        members: Sequence[Sample],
        non_members: Sequence[Sample],
        name: str,
        change: Callable[[Image.Image, Image.Image], Image.Image],
    ) -> None:
        self._change, self.grade = change, name
        self._answers: dict[str, tuple[Sample, Sample]] = {}
        for i, sample in enumerate([*members, *non_members]):
            j = i % len(members)
            # Not the next member, which the next non-member's answer is a copy of.
            other = non_members[(7 * i + 3) % len(non_members)]
            self._answers[sample.id] = members[j], other
        self.fingerprint = fingerprint_values(
            control="graded copies",
            grade=name,
            answers={
                sample: [one.digest, other.digest] for sample, (one, other) in self._answers.items()
            },
        )

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it copies."""
        return wanted

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Change a copy for each query."""
        for query in queries:
            one, other = self._answers[query.sample.id]
            yield Answer(query, self._change(as_rgb(one.image), as_rgb(other.image)))

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {
            "class": type(self).__name__,
            "identity": self.fingerprint,
            "grade": self.grade,
        }


class RoundTrip:
    """What a pipeline's own autoencoder makes of pictures: the best copies it can draw.

    Each copy is made once, and kept: a member's is asked for again in a non-member's place.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, see :func:`round_trip`.
    """

    def __init__(self, pipeline: Any) -> None:
        self._vae, self._processor = pipeline.vae, pipeline.image_processor
        self._edge = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self._copies: dict[str, Image.Image] = {}

    def __call__(self, image: Image.Image, other: Image.Image) -> Image.Image:
        """Return the copy of a picture; ``other`` is no part of it."""
        (copy,) = self.copies([image])
        return copy

    def copies(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """Copy RGB pictures, small ones together: one by one they take as long as large ones."""
        digests = [fingerprint_pixels(image) for image in images]
        new = {d: im for d, im in zip(digests, images, strict=True) if d not in self._copies}
        of_size: dict[tuple[int, int], list[str]] = {}
        for digest, image in new.items():
            of_size.setdefault(self._size(image), []).append(digest)
        for size, alike in of_size.items():
            n = max(1, min(COPIED_AT_ONCE, PIXELS_AT_ONCE // (size[0] * size[1])))
            for start in range(0, len(alike), n):
                part = alike[start : start + n]
                # Filled up, so that a copy does not depend on which are made with it.
                batch, _ = padded([new[d] for d in part], self._vae.device, n)
                self._copies |= zip(part, self._together(batch, size), strict=False)
        return [self._copies[digest] for digest in digests]

    def _size(self, image: Image.Image) -> tuple[int, int]:
        # As large as it comes, in whole latents: a smaller picture would be another control.
        w, h = (max(self._edge, round(side / self._edge) * self._edge) for side in image.size)
        return w, h

    def _together(self, images: list[Image.Image], size: tuple[int, int]) -> list[Image.Image]:
        import torch

        w, h = size
        with torch.inference_mode():
            pixels = torch.cat([self._processor.preprocess(image, h, w) for image in images])
            latents = self._vae.encode(pixels.to(self._vae.device, self._vae.dtype))
            decoded = self._vae.decode(latents.latent_dist.mode()).sample
        values = (decoded.float().cpu().clamp(-1, 1) + 1) * 127.5
        rows = np.asarray(values.permute(0, 2, 3, 1).round().to(torch.uint8))
        return [Image.fromarray(row) for row in rows]


def round_trip(pipeline: Any) -> RoundTrip | None:
    """Return what copies pictures as a pipeline's own autoencoder does.

    Returns
    -------
    RoundTrip or None
        ``None`` for a pipeline without a Kullback–Leibler autoencoder of pictures: that of LDM3D
        takes depth as well.
    """
    from diffusers import AutoencoderKL

    vae, processor = getattr(pipeline, "vae", None), getattr(pipeline, "image_processor", None)
    if not isinstance(vae, AutoencoderKL) or processor is None or vae.config.in_channels != 3:
        return None
    return RoundTrip(pipeline)
