"""Members and non-members that are exchanged: what would pass with an AUC near 0 is no pass."""

from __future__ import annotations

from typing import Any

import pytest

from privaudit import Audit, AuditInputs, AuditSettings, MemorizingTarget, ObliviousTarget
from privaudit.audit.exchanged import judge_exchanged
from privaudit.errors import InvalidAuditError
from privaudit.store import Store
from tests.parts.encoders import PixelEncoder

CAUSE = "are the fixtures members and non_members exchanged"


class Redraws(MemorizingTarget):
    """Gives back a picture of its own as it is, and any other one black."""

    def vary(self, images: Any, prompts: Any, seeds: Any, strength: float) -> list[Any]:
        del seeds, strength
        pairs = zip(images, prompts, strict=True)
        return [
            image if prompt in self._known else image.point([0] * 768) for image, prompt in pairs
        ]


def exchanged(emoji: dict[str, Any], target: Any = None, n: int = 40, **more: Any) -> Audit:
    """Audit a model that knows its non-members."""
    members, non_members = emoji["member"][:n], emoji["non_member"][:n]
    common = {"duplicate_limit": 2.0, "scenarios": "I", "attacks": "threshold", "queries": 1}
    return Audit(
        AuditInputs(target or MemorizingTarget(non_members), members, non_members, PixelEncoder()),
        AuditSettings(**common | more),
        Store(None),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"gate": "point"},
        {"gate": "evidence"},
        {"gate": "certify"},
        {"sequential": True},
        {"sequential": True, "budget": 0.8, "gate": "evidence"},
    ],
    ids=str,
)
def test_exchanged_sets_are_no_pass(emoji: dict[str, Any], settings: dict[str, Any]) -> None:
    audit = exchanged(emoji, n=100 if "budget" in settings else 40, **settings)
    with pytest.raises(InvalidAuditError, match=CAUSE):
        audit.result("I", "threshold")
    record = audit.record()
    assert record.results == []
    assert record.validity is not None
    assert CAUSE in record.validity.reasons[-1]


def test_neither_are_they_to_who_hands_pictures_in(emoji: dict[str, Any]) -> None:
    target = Redraws(emoji["non_member"][:40])
    audit = exchanged(emoji, target, release="img2img")
    with pytest.raises(InvalidAuditError, match=CAUSE):
        audit.result("img2img", "variation")
    assert audit.record().img2img == []
    # What decides nothing is only reported, whichever way it points.
    assert exchanged(emoji, target, img2img=True).result("img2img", "variation").auc == 0


def test_a_model_that_knows_nobody_is_not_suspected(emoji: dict[str, Any]) -> None:
    for sequential in (False, True):
        audit = exchanged(emoji, ObliviousTarget(), n=100, sequential=sequential)
        assert audit.result("I", "threshold").auc > 0.3


def test_it_is_what_the_budget_is_the_other_way_round() -> None:
    assert judge_exchanged("attack-I-threshold", 0.1, 0.4, 0.6) == []
    assert judge_exchanged("attack-I-threshold", 0.0, 0.0, 1.0) == []
    [reason] = judge_exchanged("attack-I-threshold", 0.1, 0.399, 0.6)
    assert "AUC 0.100 (at most 0.399) by attack-I-threshold" in reason
