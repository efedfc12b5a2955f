"""Targets whose verdict is known, for tests of audits: they leak everything, or nothing."""

from __future__ import annotations

from privaudit.targets import CopyingTarget, MemorizingTarget, ObliviousTarget

__all__ = ["CopyingTarget", "MemorizingTarget", "ObliviousTarget"]
