"""What an encoder is, and the one implementation that all torch models share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from privaudit.batching import is_out_of_memory, padded
from privaudit.device import chosen_device, keep_memory
from privaudit.errors import EncoderError
from privaudit.fingerprint import fingerprint_module, fingerprint_values
from privaudit.samples import as_rgb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
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
    preprocess_fingerprint
        Identity of ``preprocess``; with ``None``, nothing that is computed is kept beyond this
        process.
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
        preprocess_fingerprint: str | None,
        device: str | torch.device | None = None,
        n_special_tokens: int = 0,
    ) -> None:
        self.name = name
        self.n_special_tokens = n_special_tokens
        self.device = chosen_device(device)
        self._module = module.eval().to(self.device)
        if self.device.type == "cpu":
            keep_memory()
        self._preprocess = preprocess
        self._features = features
        self.fingerprint: str | None = None
        if preprocess_fingerprint is not None:
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
        import torch

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
    encoder: Encoder, images: Sequence[Image.Image], batch_size: int
) -> NDArray[np.float32]:
    """Encode any number of images, ``batch_size`` at a time, and check what comes back.

    A batch that does not fit memory is halved, and so are those after it.

    Parameters
    ----------
    encoder
        The encoder.
    images
        At least one RGB image.
    batch_size
        Most images in one call of the encoder.

    Returns
    -------
    ndarray of float32, shape (n, tokens, channels)

    Raises
    ------
    EncoderError
        If the encoder raises, has no memory for a single image, or returns anything but finite
        features of one shape; the message names it and counts the images.
    """
    images, done = list(images), 0
    parts: list[NDArray[np.float32]] = []
    while done < len(images):
        part = images[done : done + batch_size]
        try:
            features = _encoded(encoder, part)
        except EncoderError as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            batch_size = len(part) // 2
            continue
        if parts and parts[0].shape[1:] != features.shape[1:]:
            msg = (
                f"encoder {_name(encoder)} returned features of shape {features.shape[1:]} after "
                f"{parts[0].shape[1:]}: resize all images to one size before they are encoded"
            )
            raise EncoderError(msg)
        parts.append(features)
        done += len(part)
    return np.concatenate(parts)


def _name(encoder: Encoder) -> str:
    return str(getattr(encoder, "name", type(encoder).__name__))


def _encoded(encoder: Encoder, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Encode one batch, and check the features."""
    name, n = _name(encoder), len(images)
    try:
        answer: Any = encoder.encode(images)
    except (KeyboardInterrupt, EncoderError):
        raise
    except BaseException as error:  # also SystemExit and pytest.skip: an audit is not skipped
        if is_out_of_memory(error):
            way = "free memory, give it another device, or take a smaller encoder"
        else:
            way = "its encode(images) takes a list of RGB images; call it alone to find out why"
        msg = f"encoder {name} raised {type(error).__name__} on {n} images ({error}): {way}"
        raise EncoderError(msg) from error
    try:
        features = np.asarray(answer)
    except Exception as error:  # a list whose rows differ, a tensor on a GPU
        msg = (
            f"encoder {name} returned a {type(answer).__name__} that is no array ({error}): return "
            "a NumPy array of shape (n, tokens, channels)"
        )
        raise EncoderError(msg) from error
    if features.dtype.kind not in "fiu":
        msg = (
            f"encoder {name} returned a {type(answer).__name__} of dtype {features.dtype} for {n} "
            "images: return a NumPy array of float32"
        )
        raise EncoderError(msg)
    if features.ndim != 3 or len(features) != n or not features.size:
        msg = (
            f"encoder {name} returned shape {features.shape} for {n} images, "
            "not (n, tokens, channels)"
        )
        raise EncoderError(msg)
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite, and counted
        result: NDArray[np.float32] = features.astype(np.float32, copy=False)
    bad = int((~np.isfinite(result).all(axis=(1, 2))).sum())
    if bad:
        msg = (
            f"{bad} of {n} images got non-finite features from encoder {name}: "
            "load it in float32, or use another encoder"
        )
        raise EncoderError(msg)
    return result
