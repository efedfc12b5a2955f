"""What a pipeline is loaded and called with, before it is loaded: nothing here imports PyTorch."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "DTYPES",
    "LIBRARIES",
    "Adapters",
    "dtype_argument",
    "plain",
    "several",
    "weighted",
]

Adapters = str | Path | Sequence[str | Path] | Mapping[str | Path, float] | None
"""One adapter, several, or several with their scales."""

DTYPES = ("dtype", "torch_dtype")
"""What newer and older versions of diffusers call a dtype."""
LIBRARIES = ("torch", "diffusers", "transformers")
"""Whose versions decide what a pipeline draws."""


def weighted(lora: Adapters) -> dict[str | Path, float]:
    """Return adapters with their scales, in their order; 1 for those that were given none."""
    return dict(lora) if isinstance(lora, Mapping) else dict.fromkeys(several(lora), 1.0)


def several(given: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    """Return what was given as a list: one, several or none."""
    if given is None:
        return []
    return [given] if isinstance(given, (str, Path)) else list(given)


def dtype_argument() -> str:
    """Name it as the installed diffusers does: 0.42 warns of the older name."""
    major, minor = importlib.metadata.version("diffusers").split(".")[:2]
    return "dtype" if (int(major), int(minor)) >= (0, 42) else "torch_dtype"


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what it cannot is named by its ``repr``."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    return repr(value)
