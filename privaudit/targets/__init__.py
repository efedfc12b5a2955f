"""The black boxes under audit: anything that answers a query with an image."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from privaudit.targets.base import CallableTarget, Target
from privaudit.targets.controls import CopyingTarget, MemorizingTarget, ObliviousTarget
from privaudit.targets.convert import as_target, base_of, without_effect
from privaudit.targets.picture_folder import PictureFolder
from privaudit.targets.queries import Answer, Query
from privaudit.targets.saved import SavedPipeline, SavedTarget

if TYPE_CHECKING:
    from privaudit.targets.loading import load_pipeline
    from privaudit.targets.pipeline import PipelineTarget

__all__ = [
    "Answer",
    "CallableTarget",
    "CopyingTarget",
    "MemorizingTarget",
    "ObliviousTarget",
    "PictureFolder",
    "PipelineTarget",
    "Query",
    "SavedPipeline",
    "SavedTarget",
    "Target",
    "as_target",
    "base_of",
    "load_pipeline",
    "without_effect",
]

_HOMES = {
    "PipelineTarget": "privaudit.targets.pipeline",
    "load_pipeline": "privaudit.targets.loading",
}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch when it is first used: a service or a callable does without.

    Raises
    ------
    AttributeError
        If there is no such name.
    """
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_HOMES[name]), name)
