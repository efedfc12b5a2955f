"""Image encoders: from pictures to tokens × channels, the features every attack reads."""

from __future__ import annotations

from privaudit.encoders.base import Encoder, TorchEncoder
from privaudit.encoders.load import as_encoder, load_encoder

__all__ = ["Encoder", "TorchEncoder", "as_encoder", "load_encoder"]
