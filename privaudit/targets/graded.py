"""Graded copies: controls that show how faint a leak an audit would still see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from privaudit.fingerprint import fingerprint_values
from privaudit.samples import as_rgb
from privaudit.targets.queries import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.samples import Sample
    from privaudit.targets.queries import Query

__all__ = ["GRADES", "ROUND_TRIP", "GradedTarget", "round_trip"]

ROUND_TRIP = "VAE round trip"


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
    worth_storing = False
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


def round_trip(pipeline: Any) -> Callable[[Image.Image, Image.Image], Image.Image] | None:
    """Return what a pipeline's own autoencoder makes of a picture: the best copy it can draw.

    Returns
    -------
    callable or None
        ``None`` for a pipeline without a Kullback–Leibler autoencoder of pictures: that of LDM3D
        takes depth as well.
    """
    import torch
    from diffusers import AutoencoderKL

    vae, processor = getattr(pipeline, "vae", None), getattr(pipeline, "image_processor", None)
    if not isinstance(vae, AutoencoderKL) or processor is None or vae.config.in_channels != 3:
        return None

    def change(image: Image.Image, other: Image.Image) -> Image.Image:
        edge = 2 ** (len(vae.config.block_out_channels) - 1)
        # As large as it comes, in whole latents: a smaller picture would be another control.
        w, h = (max(edge, round(side / edge) * edge) for side in image.size)
        with torch.inference_mode():
            pixels = processor.preprocess(image, h, w).to(vae.device, vae.dtype)
            decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        values = (decoded[0].float().cpu().clamp(-1, 1) + 1) * 127.5
        return Image.fromarray(np.asarray(values.permute(1, 2, 0).round().to(torch.uint8)))

    return change
