"""Captioners: what an attacker without the caption asks the model with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.captioners.base import Captioner, captioner_identity, checked_captions
from privaudit.captioners.load import as_captioner, load_captioner
from privaudit.lazy import imported_when_used

if TYPE_CHECKING:
    from privaudit.captioners.retrieval import RetrievalCaptioner
    from privaudit.captioners.transformers import TransformersCaptioner, finetune_captioner

__all__ = [
    "Captioner",
    "RetrievalCaptioner",
    "TransformersCaptioner",
    "as_captioner",
    "captioner_identity",
    "checked_captions",
    "finetune_captioner",
    "load_captioner",
]

# These need PyTorch: who writes captions otherwise does without.
__getattr__ = imported_when_used(
    __name__,
    {
        "RetrievalCaptioner": "privaudit.captioners.retrieval",
        "TransformersCaptioner": "privaudit.captioners.transformers",
        "finetune_captioner": "privaudit.captioners.transformers",
    },
)
