"""Near copies: members that a model redraws, counted against non-members."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.audit.checks.passes import judge_copies
from privaudit.errors import InvalidAuditError
from privaudit.measurements.copies import copy_threshold
from privaudit.record import Counts, NearCopies
from privaudit.report.terminal import render
from privaudit.store import Store
from privaudit.study.axes.main import Main
from privaudit.study.owner import Owner
from privaudit.testing import MemorizingTarget
from tests.parts.encoders import BrittleEncoder, PixelEncoder

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
    evaluated = audit.sets("I").evaluation.members
    known = {sample.id for sample in emoji["member"][:40:2]}
    assert one.members == sum(sample.id in known for sample in evaluated) > 0
    assert one.non_members == 0
    lines = list(render([audit.record()], width=400, verbose=True))
    assert any(
        line.startswith(f"{one.members} of {len(evaluated)} members were redrawn nearly exactly (0")
        for line in lines
    )


def test_a_model_that_draws_other_pictures_copies_nobody(emoji: dict[str, Any]) -> None:
    found = audited(emoji, Remembers([], emoji["caption"][:50])).result("I", "threshold")
    assert found.near_copies is not None
    assert (found.near_copies.members, found.near_copies.non_members) == (0, 0)


def test_the_threshold_is_fixed_on_calibration_non_members(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, MemorizingTarget(emoji["non_member"]), budget=1)
    found = audit.result("I", "threshold").near_copies
    # A model that draws all non-members exactly leaves no room for a copy of a member.
    assert found == NearCopies(threshold=1.0, members=0, non_members=0)
    assert copy_threshold(np.array([-0.2, 0.6, 0.1])) == pytest.approx(0.8)


def test_a_sequential_audit_does_not_count_them(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, MemorizingTarget(emoji["member"]), sequential=True)
    assert audit.result("I", "threshold").near_copies is None


@pytest.mark.parametrize(("share", "believed"), [(0, True), (2, False)])
def test_a_pass_is_not_believed_where_the_pictures_show_more(
    emoji: dict[str, Any], share: int, believed: bool
) -> None:
    """A12: an encoder that sees little says 0.5 of a model that redraws every second member."""
    seen = emoji["member"][:80:share] if share else []
    inputs = AuditInputs(
        target_model=Remembers(seen, emoji["caption"][:50]),
        members=emoji["member"][:80],
        non_members=emoji["non_member"][:80],
        image_encoder=BrittleEncoder(),
    )
    audit = Audit(inputs, SETTINGS.replace(attacks="threshold,combined"), Store(None))
    if believed:
        assert audit.result("I", "threshold").verdict == "pass"
        return
    said = r"were redrawn nearly exactly \(0 of 40 non-members\): that alone is an AUC of 0\.725"
    with pytest.raises(InvalidAuditError, match=said):
        audit.result("I", "threshold")
    assert "leave threshold out of --privaudit-attacks" in audit.record().validity.reasons[0]
    assert audit.result("I", "combined").verdict != "pass"  # it reads pixels
    table = Main().table(Owner(inputs, audit.settings, audit.store, audit.engine))
    assert ("I", "threshold") in [(row.scenario, row.attack) for row in table.rows]
    assert not table.left_out  # a study describes, and the weakest cells are among what it shows


@pytest.mark.parametrize(
    ("members", "non_members", "verdict", "budget", "said"),
    [
        (25, 0, "pass", 0.6, True),
        (25, 0, "inconclusive", 0.6, False),  # red, for a reason of its own
        (25, 0, "pass", 0.7, False),  # within what the owner accepts
        (25, 20, "pass", 0.6, False),  # of what it redraws it remembers little
        (8, 0, "pass", 0.6, False),
        (0, 0, "pass", 0.5, False),
    ],
)
def test_only_copies_that_are_shown_to_be_over_the_budget_count(
    emoji: dict[str, Any],
    members: int,
    non_members: int,
    verdict: str,
    budget: float,
    said: bool,
) -> None:
    found = audited(emoji, Remembers([], emoji["caption"][:50])).result("I", "threshold")
    result = found.model_copy(
        update={
            "near_copies": NearCopies(threshold=0.8, members=members, non_members=non_members),
            "evaluation": Counts(members=80, non_members=80),
            "verdict": verdict,
            "budget": budget,
        }
    )
    assert bool(judge_copies(result, 0.95)) is said
    evident = result.model_copy(update={"gate": "evidence"})
    assert not judge_copies(evident, 0.999)  # over the budget, which is not shown
    assert bool(judge_copies(evident.model_copy(update={"budget": 0.55}), 0.95)) is (
        members == 25 and not non_members and verdict == "pass"
    )
    assert not judge_copies(result.model_copy(update={"near_copies": None}), 0.95)


@pytest.mark.parametrize(
    ("attack", "attacks", "way_out"),
    [
        ("threshold", ["threshold", "classifier"], "take --privaudit-attacks=combined"),
        ("zhang", ["combined", "zhang"], "leave zhang out of --privaudit-attacks: combined"),
        ("combined", ["combined"], "give it more samples"),
    ],
)
def test_the_way_out_names_no_attack_that_is_there_already(
    emoji: dict[str, Any], attack: str, attacks: list[str], way_out: str
) -> None:
    found = audited(emoji, Remembers([], emoji["caption"][:50])).result("I", "threshold")
    copies = NearCopies(threshold=0.8, members=25, non_members=0)
    update = {"near_copies": copies, "evaluation": Counts(members=80, non_members=80)}
    update |= {"attack": attack, "verdict": "pass", "budget": 0.6}
    (reason,) = judge_copies(found.model_copy(update=update), 0.95, attacks)
    assert way_out in reason
