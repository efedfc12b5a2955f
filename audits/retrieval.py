"""The captioner of these audits, which looks captions up instead of writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from privaudit.errors import CaptionerError
from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from privaudit.encoders import Encoder
    from privaudit.samples import Sample

__all__ = ["RetrievalCaptioner"]

POOLED_AT_ONCE = 32
"""Images opened and encoded together."""
MOST_DIMENSIONS = 128
"""Principal components that are kept, unless there are few samples."""


class RetrievalCaptioner:
    """Answers with the caption of the most alike auxiliary image: no training, no decoder.

    Features are the encoder's last hidden state, averaged over tokens, normalised, and reduced
    by PCA on the auxiliary images; alike is the largest cosine.

    Parameters
    ----------
    encoder
        The image encoder, the same for the auxiliary images and the queries.
    mean, projection
        PCA of the features: (channels,) and (channels, d).
    vectors
        Unit vectors of the n auxiliary images, (n, d).
    captions
        Their captions.
    """

    def __init__(
        self,
        encoder: Encoder,
        mean: torch.Tensor,
        projection: torch.Tensor,
        vectors: torch.Tensor,
        captions: Sequence[str],
    ) -> None:
        self._encoder = encoder
        self._mean, self._projection = mean.float(), projection.float()
        self._vectors = vectors.float()
        self._captions = list(captions)

    @property
    def fingerprint(self) -> str | None:
        """Identity of what decides which caption an image gets, if the encoder has one."""
        identity = getattr(self._encoder, "fingerprint", None)
        if identity is None:
            return None
        return fingerprint_values(
            encoder=identity,
            tensors=[self._mean, self._projection, self._vectors],
            captions=self._captions,
        )

    @classmethod
    def from_samples(
        cls, encoder: Encoder, samples: Sequence[Sample], *, dimensions: int | None = None
    ) -> RetrievalCaptioner:
        """Build from auxiliary samples: none of the target's.

        Parameters
        ----------
        encoder
            What sees the images, such as :func:`privaudit.load_encoder` returns.
        samples
            Images with captions, at least three.
        dimensions
            Of the principal components that are kept; by default 128, or half the number of
            samples if that is less.

        Raises
        ------
        CaptionerError
            If there are no more samples than dimensions.

        Examples
        --------
        >>> import privaudit
        >>> from PIL import Image
        >>> colours = ("red", "green", "blue", "black")
        >>> samples = [privaudit.Sample(Image.new("RGB", (32, 32), c), c) for c in colours]
        >>> encoder = privaudit.load_encoder("efficientnet-lite0", device="cpu")
        >>> captioner = RetrievalCaptioner.from_samples(encoder, samples)
        >>> captioner.caption([Image.new("RGB", (32, 32), "blue")])
        ['blue']
        """
        if dimensions is None:
            dimensions = min(MOST_DIMENSIONS, max(1, len(samples) // 2))
        if len(samples) <= dimensions:
            msg = f"{len(samples)} samples cannot span {dimensions} dimensions: supply more"
            raise CaptionerError(msg)
        parts = [samples[i : i + POOLED_AT_ONCE] for i in range(0, len(samples), POOLED_AT_ONCE)]
        features = torch.cat([_pooled(encoder, [s.image for s in part]) for part in parts])
        mean = features.mean(dim=0)
        _, _, axes = torch.linalg.svd(features - mean, full_matrices=False)
        projection = axes[:dimensions].T
        vectors = torch.nn.functional.normalize((features - mean) @ projection)
        return cls(encoder, mean, projection, vectors, [sample.caption for sample in samples])

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Look up one caption for each image."""
        asked = (_pooled(self._encoder, images) - self._mean) @ self._projection
        nearest = (asked @ self._vectors.T).argmax(dim=1)
        return [self._captions[i] for i in nearest.tolist()]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` (float16) and ``captions.json``; no image is kept."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"mean": self._mean, "projection": self._projection, "vectors": self._vectors}
        halves = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(halves, folder / "model.safetensors")
        text = json.dumps(self._captions, indent=0, ensure_ascii=False)
        (folder / "captions.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, encoder: Encoder) -> RetrievalCaptioner:
        """Load what ``save_pretrained`` wrote, with the encoder it was built with.

        Raises
        ------
        CaptionerError
            If the folder does not hold one.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            tensors = load_file(folder / "model.safetensors")
            captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
            return cls(
                encoder, tensors["mean"], tensors["projection"], tensors["vectors"], captions
            )
        except (OSError, KeyError, ValueError) as error:
            msg = f"captioner {str(folder)!r} cannot be loaded ({error}): check the folder"
            raise CaptionerError(msg) from error


def _pooled(encoder: Encoder, images: Sequence[Image.Image]) -> torch.Tensor:
    parts = [images[i : i + POOLED_AT_ONCE] for i in range(0, len(images), POOLED_AT_ONCE)]
    features = np.concatenate([encoder.encode(part) for part in parts]).mean(axis=1)
    return torch.nn.functional.normalize(torch.from_numpy(features))
