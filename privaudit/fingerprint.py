"""Content hashes of models and settings: what makes two results comparable, or the same."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["fingerprint_module", "fingerprint_values"]


def fingerprint_module(module: torch.nn.Module) -> str:
    """Hash the names, shapes, dtypes and values of all parameters and buffers of a module.

    Two modules with one fingerprint compute the same function, given the same class and
    library versions; where the weights came from does not matter.
    """
    import torch

    digest = hashlib.blake2b(type(module).__qualname__.encode(), digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def fingerprint_values(**values: Any) -> str:
    """Hash named plain values; anything JSON cannot hold enters by its ``repr``."""
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
