"""The black boxes under audit: anything that answers a query with an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from privaudit.targets.base import CallableTarget, Target
from privaudit.targets.capabilities import Capabilities, capabilities_of
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
    "Capabilities",
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
    "capabilities_of",
    "load_pipeline",
    "without_effect",
]

# These need PyTorch: a service or a callable does without.
__getattr__, _, _ = lazy_loader.attach(
    __name__, submod_attrs={"loading": ["load_pipeline"], "pipeline": ["PipelineTarget"]}
)
