"""The black boxes under audit: anything that turns (prompt, seed) into an image."""

from __future__ import annotations

from privaudit.generators.base import CallableGenerator, Generator, as_generator
from privaudit.generators.controls import MemorizingGenerator, ObliviousGenerator
from privaudit.generators.pipeline import PipelineGenerator, load_pipeline
from privaudit.generators.saved import SavedPipeline

__all__ = [
    "CallableGenerator",
    "Generator",
    "MemorizingGenerator",
    "ObliviousGenerator",
    "PipelineGenerator",
    "SavedPipeline",
    "as_generator",
    "load_pipeline",
]
