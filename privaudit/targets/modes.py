"""How a pipeline is called: without dropout, and without a word to the log."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["evaluating", "quietly"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep to ourselves what libraries say of our own prompts, one of which is long on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def evaluating(pipeline: Any) -> Iterator[None]:
    """Switch off dropout for a call, in modules that training left switched on."""
    parts = [p for p in pipeline.components.values() if isinstance(p, torch.nn.Module)]
    training = [module for part in parts for module in part.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
