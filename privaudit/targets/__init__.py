"""The black boxes under audit: anything that turns (prompt, seed) into an image."""

from __future__ import annotations

from privaudit.targets.base import CallableTarget, Generator, as_target
from privaudit.targets.controls import MemorizingTarget, ObliviousTarget
from privaudit.targets.pipeline import PipelineTarget, load_pipeline
from privaudit.targets.saved import SavedPipeline

__all__ = [
    "CallableTarget",
    "Generator",
    "MemorizingTarget",
    "ObliviousTarget",
    "PipelineTarget",
    "SavedPipeline",
    "as_target",
    "load_pipeline",
]
