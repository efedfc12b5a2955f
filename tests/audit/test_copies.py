"""Near copies: members that a model redraws, counted against non-members."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from privaudit import Audit, AuditInputs, AuditSettings, MemorizingTarget
from privaudit.measurements.copies import copy_threshold
from privaudit.record import NearCopies
from privaudit.report.terminal import render
from privaudit.store import Store
from tests.parts.encoders import PixelEncoder

SETTINGS = AuditSettings(duplicate_limit=2.0, attacks="threshold,combined", scenarios="I")


class Remembers:
    """Redraws some pictures, a little blurred, once in three times; other prompts get others."""

    fingerprint = "remembers"

    def __init__(self, seen: list[Any], others: list[Any]) -> None:
        self._seen = {sample.caption: sample.image for sample in seen}
        self._others = [sample.image for sample in others]

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return [
            self._seen[prompt].filter(ImageFilter.GaussianBlur(0.4))
            if prompt in self._seen and seed % 3
            else self._other(prompt, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def _other(self, prompt: str, seed: int) -> Image.Image:
        other = self._others[seed % len(self._others)]
        tint = zlib.crc32(f"{prompt} {seed}".encode()).to_bytes(4, "little")
        return Image.blend(other, Image.new("RGB", other.size, tuple(tint[:3])), 0.3)


def audited(emoji: dict[str, Any], model: Any, **changes: Any) -> Audit:
    inputs = AuditInputs(
        target_model=model,
        members=emoji["member"][:40],
        non_members=emoji["non_member"][:40],
        image_encoder=PixelEncoder(),
    )
    return Audit(inputs, SETTINGS.replace(**changes), Store(None))


def test_a_copier_is_counted_member_by_member(emoji: dict[str, Any]) -> None:
    others = emoji["caption"][:50]
    half = Remembers(emoji["member"][:40:2], others)
    audit = audited(emoji, half, queries=5)
    one, other = (audit.result("I", attack).near_copies for attack in ("threshold", "combined"))
    assert one == other
    assert one is not None
    evaluated = audit.experiment("I").evaluation.members
    known = {sample.id for sample in emoji["member"][:40:2]}
    assert one.members == sum(sample.id in known for sample in evaluated) > 0
    assert one.non_members == 0
    lines = list(render([audit.record()], []))
    assert any(
        line.startswith(f"{one.members} of {len(evaluated)} members were redrawn nearly exactly (0")
        for line in lines
    )


def test_a_model_that_draws_other_pictures_copies_nobody(emoji: dict[str, Any]) -> None:
    found = audited(emoji, Remembers([], emoji["caption"][:50])).result("I", "threshold")
    assert found.near_copies is not None
    assert (found.near_copies.members, found.near_copies.non_members) == (0, 0)


def test_the_threshold_is_fixed_on_calibration_non_members(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, MemorizingTarget(emoji["non_member"]))
    found = audit.result("I", "threshold").near_copies
    # A model that draws all non-members exactly leaves no room for a copy of a member.
    assert found == NearCopies(threshold=1.0, members=0, non_members=0)
    assert copy_threshold(np.array([-0.2, 0.6, 0.1])) == pytest.approx(0.8)


def test_a_sequential_audit_does_not_count_them(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, MemorizingTarget(emoji["member"]), sequential=True)
    assert audit.result("I", "threshold").near_copies is None
