"""Encoders that come as one TorchScript file, as copy detectors such as SSCD do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from privaudit.encoders.base import Encoder, TorchEncoder
from privaudit.errors import EncoderError

if TYPE_CHECKING:
    import torch

__all__ = ["load_torchscript"]

SIZE = 288
"""Edge of the square, in pixels, that pictures are resized to: what SSCD's authors use."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, by colour: what its vision models expect."""


def load_torchscript(given: str, device: Any = None) -> Encoder:
    """Load an encoder from a TorchScript file.

    Parameters
    ----------
    given
        ``FILE``, or ``FILE:SIZE`` for squares of another size than 288 pixels. The module takes
        normalised images, (n, 3, size, size), and returns descriptors (n, channels), tokens
        (n, tokens, channels), or a map (n, channels, height, width).
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    EncoderError
        If there is no such file. A descriptor is one token: similarities of patches and of whole
        pictures are then one.
    """
    import torch
    from torchvision import transforms  # type: ignore[import-untyped]

    file, _, size = given.rpartition(":")
    if not (file and size.isdecimal()):
        file, size = given, str(SIZE)
    path = Path(file).expanduser()
    if not path.is_file():
        msg = f"encoder torchscript:{given}: there is no file {path}"
        raise EncoderError(msg)
    with warnings.catch_warnings():
        # PyTorch wants models to come in another form; these were published in this one.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    edge = int(size)
    preprocess = transforms.Compose(
        [
            transforms.Resize((edge, edge)),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, SPREAD),
        ]
    )

    def features(batch: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = module(batch)
        return states[:, None] if states.ndim == 2 else states

    # The file holds code besides weights, so all of it is the encoder's identity.
    content = xxhash.xxh3_128(path.read_bytes()).hexdigest()
    return TorchEncoder(
        f"torchscript:{path.name}",
        module,
        preprocess,
        features,
        preprocess_fingerprint=f"{content} {edge} {MEAN} {SPREAD}",
        device=device,
    )
