"""Captioners: what an attacker without the caption asks the model with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from privaudit.captioners.base import Captioner, captioner_identity, checked_captions
from privaudit.captioners.load import as_captioner, load_captioner

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

_HOMES = {
    "RetrievalCaptioner": "privaudit.captioners.retrieval",
    "TransformersCaptioner": "privaudit.captioners.transformers",
    "finetune_captioner": "privaudit.captioners.transformers",
}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch when it is first used: who writes captions otherwise does without.

    Raises
    ------
    AttributeError
        If there is no such name.
    """
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_HOMES[name]), name)
