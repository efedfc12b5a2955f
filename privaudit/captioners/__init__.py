"""Captioners: what an attacker without the caption asks the model with."""

from __future__ import annotations

from privaudit.captioners.base import Captioner, captioner_identity, checked_captions
from privaudit.captioners.load import as_captioner, load_captioner
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
