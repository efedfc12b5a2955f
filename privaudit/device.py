"""Where a model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["chosen_device"]


def chosen_device(given: str | torch.device | None) -> torch.device:
    """Return the device that was asked for, or else a GPU when there is one."""
    import torch  # seconds, for whom an audit of a service or a callable need not wait

    return torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))
