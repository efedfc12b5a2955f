"""What an encoder is, and the one implementation that all torch models share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

from privaudit.batching import padded
from privaudit.device import chosen_device
from privaudit.errors import EncoderError
from privaudit.fingerprint import fingerprint_module, fingerprint_values
from privaudit.samples import as_rgb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Encoder", "TorchEncoder", "encode_in_batches", "encoder_identity"]


@runtime_checkable
class Encoder(Protocol):
    """Anything with ``encode``: images to features.

    An encoder may carry a ``fingerprint`` string that identifies its weights and preprocessing.
    With one, similarities are kept in the store; without, they are computed again in every run.
    """

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Encode n RGB images to an array of shape (n, tokens, channels), float32, finite."""
        ...


class TorchEncoder:
    """A torch vision model with its preprocessing.

    Parameters
    ----------
    name
        Shown in tables and errors.
    module
        The model; it is put in evaluation mode and moved to ``device``.
    preprocess
        From one RGB image to a float tensor (3, height, width).
    features
        From a batch (n, 3, height, width) to the model's last hidden state, as (n, tokens,
        channels) or as a map (n, channels, height, width).
    device
        Where to run; by default a GPU when there is one.
    n_special_tokens
        Leading tokens that stand for no patch: class, distillation, register.
    """

    def __init__(
        self,
        name: str,
        module: torch.nn.Module,
        preprocess: Callable[[Image.Image], torch.Tensor],
        features: Callable[[torch.Tensor], torch.Tensor],
        *,
        preprocess_fingerprint: str,
        device: str | torch.device | None = None,
        n_special_tokens: int = 0,
    ) -> None:
        self.name = name
        self.n_special_tokens = n_special_tokens
        self.device = chosen_device(device)
        self._module = module.eval().to(self.device)
        self._preprocess = preprocess
        self._features = features
        self.fingerprint = fingerprint_values(
            weights=fingerprint_module(self._module), preprocess=preprocess_fingerprint
        )

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Encode images in one forward pass.

        Parameters
        ----------
        images
            n images of any size.

        Returns
        -------
        ndarray of float32, shape (n, tokens, channels)
            The last hidden state; the cells of a convolutional map play the part of tokens, in
            row-major order.

        Raises
        ------
        EncoderError
            If the features are not finite.
        """
        images, n = padded(images, self.device)
        batch = torch.stack([self._preprocess(as_rgb(image)) for image in images])
        with torch.inference_mode():
            states = self._features(batch.to(self.device))
        if states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        if states.ndim != 3:
            msg = (
                f"encoder {self.name} returned features of shape {tuple(states.shape)}, "
                "not (n, tokens, channels): pass one that has a last hidden state"
            )
            raise EncoderError(msg)
        result: NDArray[np.float32] = states[:n].float().cpu().numpy()
        return result


def encoder_identity(encoder: Encoder) -> tuple[str, bool]:
    """Return what identifies an encoder, and whether it means the same in another process."""
    stated = getattr(encoder, "fingerprint", None)
    return (f"object:{id(encoder)}", False) if stated is None else (stated, True)


def encode_in_batches(
    encoder: Encoder, images: list[Image.Image], batch_size: int
) -> NDArray[np.float32]:
    """Encode any number of images, ``batch_size`` at a time, and check what comes back.

    Returns
    -------
    ndarray of float32, shape (n, tokens, channels)

    Raises
    ------
    EncoderError
        If the shape is wrong or a feature is not finite; the message counts the images.
    """
    name = getattr(encoder, "name", type(encoder).__name__)
    parts = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        features = np.asarray(encoder.encode(part), dtype=np.float32)
        if features.ndim != 3 or len(features) != len(part):
            msg = (
                f"encoder {name} returned shape {features.shape} for {len(part)} images, "
                "not (n, tokens, channels)"
            )
            raise EncoderError(msg)
        bad = int((~np.isfinite(features).all(axis=(1, 2))).sum())
        if bad:
            msg = (
                f"{bad} of {len(part)} images got non-finite features from encoder {name}: "
                "load it in float32, or use another encoder"
            )
            raise EncoderError(msg)
        parts.append(features)
    return np.concatenate(parts)
