"""Where a model runs."""

from __future__ import annotations

import torch

__all__ = ["chosen_device"]


def chosen_device(given: str | torch.device | None) -> torch.device:
    """Return the device that was asked for, or else a GPU when there is one."""
    return torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))
