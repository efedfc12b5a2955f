"""Batches whose size cannot change what is computed for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["CPU_BATCH_MULTIPLE", "padded", "rounded_batch_size"]

T = TypeVar("T")

CPU_BATCH_MULTIPLE = 16
"""Batches of a multiple of this many rows give bitwise the same rows on a CPU.

Below it, oneDNN and MKL choose other kernels for the same layer, whose sums are ordered
differently: rows then differ by about 1e-6, a pixel may round to the next level, and an AUC
may move in its fourth digit. ``tests/test_generators.py`` measures it.
"""


def rounded_batch_size(batch_size: int, device: torch.device) -> int:
    """Round a batch size up to the next one that leaves results unchanged on this device."""
    if device.type != "cpu":
        return batch_size
    return -(-batch_size // CPU_BATCH_MULTIPLE) * CPU_BATCH_MULTIPLE


def padded(
    items: Sequence[T], device: torch.device, size: int | None = None
) -> tuple[list[T], int]:
    """Repeat the last item until the batch has a size that leaves results unchanged.

    Parameters
    ----------
    items
        At least one item.
    device
        Where the batch will run.
    size
        The full batch size; by default the next suitable one.

    Returns
    -------
    batch, n
        The padded batch, and how many of it count.
    """
    n = len(items)
    size = size or rounded_batch_size(n, device)
    return [*items, *[items[-1]] * (size - n)], n
