"""Samples: what they are, where they come from, how they are split and checked."""

from __future__ import annotations

from privaudit.samples.canaries import Canaries, make_canaries
from privaudit.samples.checks import as_samples, check_disjoint, check_set
from privaudit.samples.facts import FileFacts
from privaudit.samples.pictures import (
    MAX_PICTURE_BYTES,
    MAX_PIXELS,
    PICTURE_FORMATS,
    as_rgb,
    check_size,
    open_picture,
)
from privaudit.samples.sample import ImagesByDigest, Sample
from privaudit.samples.sources.load import load_samples
from privaudit.samples.split import CoinSplit, split_by_coin

__all__ = [
    "MAX_PICTURE_BYTES",
    "MAX_PIXELS",
    "PICTURE_FORMATS",
    "Canaries",
    "CoinSplit",
    "FileFacts",
    "ImagesByDigest",
    "Sample",
    "as_rgb",
    "as_samples",
    "check_disjoint",
    "check_set",
    "check_size",
    "load_samples",
    "make_canaries",
    "open_picture",
    "split_by_coin",
]
