"""Where a model runs, and with what memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["chosen_device", "keep_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of glibc's ``malloc.h``."""
KEPT, LARGEST = 256 * 2**20, 32 * 2**20
"""Bytes that stay with the process when they are free, and the largest piece among them, which is
the most that glibc allows."""


def chosen_device(given: str | torch.device | None) -> torch.device:
    """Return the device that was asked for, or else a GPU when there is one."""
    import torch  # seconds, for whom an audit of a service or a callable need not wait

    return torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))


def keep_memory() -> None:
    """Have the C library keep what one layer frees on a CPU, for the next to take.

    PyTorch asks it for the memory of every layer's result. glibc gives back to the system what is
    free beyond a limit of its own, and the next pass asks for it again, and faults on each page:
    15,000 times, and 41 ms in place of 20, for 16 pictures of 128 px in an EfficientNet. See
    mallopt(3). Nothing is done where there is no glibc, or where the user has set its limits.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
