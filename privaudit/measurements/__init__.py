"""What is measured of a sample on a target: one file a measurement."""

from __future__ import annotations

from privaudit.measurements.base import Access, Measurement
from privaudit.measurements.blocks import AnswerSimilarity
from privaudit.measurements.features import Features, aggregate
from privaudit.measurements.pixels import scaled_pixels
from privaudit.measurements.reconstruction import ReconstructionSimilarity

__all__ = [
    "Access",
    "AnswerSimilarity",
    "Features",
    "Measurement",
    "ReconstructionSimilarity",
    "aggregate",
    "scaled_pixels",
]
