"""Captioners: what an attacker without the caption asks the model with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from privaudit.captioners.base import Captioner, captioner_identity, checked_captions
from privaudit.captioners.load import as_captioner, load_captioner

if TYPE_CHECKING:
    from privaudit.captioners.transformers import TransformersCaptioner, finetune_captioner

__all__ = [
    "Captioner",
    "TransformersCaptioner",
    "as_captioner",
    "captioner_identity",
    "checked_captions",
    "finetune_captioner",
    "load_captioner",
]

# These need PyTorch: who writes captions otherwise does without.
__getattr__, _, _ = lazy_loader.attach(
    __name__, submod_attrs={"transformers": ["TransformersCaptioner", "finetune_captioner"]}
)
