"""Batches whose size cannot change what is computed for each member, and that fit memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

__all__ = [
    "CPU_BATCH_MULTIPLE",
    "CPU_LARGEST_BATCH",
    "in_threads",
    "is_out_of_memory",
    "padded",
    "rounded_batch_size",
]

T = TypeVar("T")
R = TypeVar("R")

CPU_BATCH_MULTIPLE = 16
"""Batches of a multiple of this many rows give bitwise the same rows on a CPU.

Below it, oneDNN and MKL choose other kernels for the same layer, whose sums are ordered
differently: rows then differ by about 1e-6, a pixel may round to the next level, and an AUC
may move in its fourth digit. ``tests/targets/test_pipeline.py`` measures it.
"""
CPU_LARGEST_BATCH = 48
"""Rows above which that no longer holds: guidance doubles them, and at 128 the kernels change.

Nothing is lost by it: a CPU is no faster per image at 64 or 128 than at 32.
"""


def rounded_batch_size(batch_size: int, device: torch.device) -> int:
    """Round a batch size up to one that leaves results unchanged on this device, or down to it."""
    if device.type != "cpu":
        return batch_size
    rounded = -(-batch_size // CPU_BATCH_MULTIPLE) * CPU_BATCH_MULTIPLE
    return min(rounded, CPU_LARGEST_BATCH)


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
    if size is None:
        size = n if device.type != "cpu" else -(-n // CPU_BATCH_MULTIPLE) * CPU_BATCH_MULTIPLE
    return [*items, *[items[-1]] * (size - n)], n


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is a lack of memory on any device."""
    while error is not None:
        text = str(error).lower()
        # torch has a class for a GPU's, and a plain RuntimeError for a CPU's.
        if (
            isinstance(error, MemoryError)
            or type(error).__name__ == "OutOfMemoryError"
            or (
                isinstance(error, RuntimeError)
                and not isinstance(error, PrivauditError)  # whose text is that of its cause
                and ("out of memory" in text or "can't allocate memory" in text)
            )
        ):
            return True
        error = error.__cause__
    return False


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do work of Pillow's or NumPy's, which share a process well, on all cores at once.

    A GPU waits for it: a PNG file of 512 px takes 34 ms, and a picture of Stable Diffusion 1.5 in
    half precision 210 ms of an H200.

    Returns
    -------
    list
        In the order of the items.
    """
    items = list(items)
    n = min(len(items), os.cpu_count() or 1)
    if n < 2:
        return [work(item) for item in items]
    # A part for each thread: to hand over picture by picture costs more than a picture of 32 px.
    parts = [items[i * len(items) // n : (i + 1) * len(items) // n] for i in range(n)]
    with ThreadPoolExecutor(n, thread_name_prefix="privaudit") as threads:
        done = threads.map(lambda part: [work(item) for item in part], parts)
        return [result for part in done for result in part]
