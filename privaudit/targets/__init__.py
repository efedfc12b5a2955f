"""The black boxes under audit: anything that answers a query with an image."""

from __future__ import annotations

from privaudit.targets.base import CallableTarget, Target, as_target
from privaudit.targets.controls import MemorizingTarget, ObliviousTarget
from privaudit.targets.pipeline import PipelineTarget, load_pipeline
from privaudit.targets.queries import Answer, Query
from privaudit.targets.saved import SavedPipeline, SavedTarget

__all__ = [
    "Answer",
    "CallableTarget",
    "MemorizingTarget",
    "ObliviousTarget",
    "PipelineTarget",
    "Query",
    "SavedPipeline",
    "SavedTarget",
    "Target",
    "as_target",
    "load_pipeline",
]
