"""Passes that are none: of exchanged sets, and of an attack that its prompts left blind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from privaudit import Audit, AuditInputs, AuditSettings, Sample
from privaudit.audit.checks.passes import judge_exchanged
from privaudit.errors import InvalidAuditError
from privaudit.record import Interval
from privaudit.store import Store
from privaudit.targets import Capabilities
from privaudit.testing import MemorizingTarget, ObliviousTarget
from tests.parts.encoders import PixelEncoder

CAUSE = "are the fixtures members and non_members exchanged"


class Redraws(MemorizingTarget):
    """Gives back a picture of its own as it is, and any other one black."""

    @property
    def capabilities(self) -> Capabilities:
        return dataclasses.replace(super().capabilities, vary=self.vary)

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


@pytest.mark.parametrize(
    ("gate", "auc", "low", "high", "verdict", "suspected"),
    [
        ("point", 0.41, 0.3, 0.52, "pass", False),
        ("point", 0.39, 0.3, 0.48, "pass", True),  # the other way round it would be inconclusive
        ("point", 0.39, 0.3, 0.48, "inconclusive", False),  # red for a reason of its own
        ("point", 0.1, 0.05, 0.399, "fail", True),
        ("evidence", 0.3, 0.2, 0.4, "pass", False),
        ("evidence", 0.3, 0.2, 0.399, "pass", True),
        ("certify", 0.45, 0.41, 0.5, "pass", False),
        ("certify", 0.45, 0.39, 0.5, "pass", True),
    ],
)
def test_a_result_is_judged_as_its_mirror_image_is(
    emoji: dict[str, Any],
    gate: str,
    auc: float,
    low: float,
    high: float,
    verdict: str,
    suspected: bool,
) -> None:
    result = exchanged(emoji, ObliviousTarget(), n=100).result("I", "threshold")
    bounds = Interval(low=low, high=high, confidence=0.95)
    changes = {"gate": gate, "auc": auc, "interval": bounds, "verdict": verdict, "budget": 0.6}
    changed = result.model_copy(update=changes)
    assert bool(judge_exchanged(changed)) is suspected
    compares = changed.model_copy(update={"budget": 1.0})
    assert judge_exchanged(compares) == []


class Subject:
    """Hands out any of its members, whoever asks: what it was taught has one caption."""

    fingerprint = "subject"

    def __init__(self, members: list[Sample]) -> None:
        self._members = members

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Any]:
        def drawn(prompt: str, seed: int) -> Any:
            image = self._members[seed % len(self._members)].image
            return image if "emoji" in prompt else image.rotate(90)

        return [drawn(*pair) for pair in zip(prompts, seeds, strict=True)]


def one_caption(emoji: dict[str, Any], n: int = 1, target: Any = None, **more: Any) -> Audit:
    """Audit what hands out copies of its members, all of which have one of n captions."""
    sets = [
        [Sample(s.image, f"an emoji {i % n}", id=s.id) for i, s in enumerate(emoji[role][:48])]
        for role in ("member", "non_member")
    ]
    common = {"duplicate_limit": 2.0, "scenarios": "I", "queries": 3, "budget": 0.65}
    inputs = AuditInputs(target or Subject(sets[0]), *sets, PixelEncoder())
    return Audit(inputs, AuditSettings(**common | more), Store(None))


def test_one_prompt_for_all_is_no_pass_of_who_reads_own_answers(emoji: dict[str, Any]) -> None:
    audit = one_caption(emoji, attacks="threshold")
    with pytest.raises(InvalidAuditError, match=r"48 evaluated samples .* 1 different prompts"):
        audit.result("I", "threshold")
    both = one_caption(emoji, attacks="threshold,combined")
    assert both.result("I", "threshold").verdict == "pass"
    assert both.result("I", "combined").auc_verdict == "fail"  # it looks at all answers
    in_turn = one_caption(emoji, attacks="threshold", gate="evidence", sequential=True)
    with pytest.raises(InvalidAuditError, match="not in sequence"):
        in_turn.result("I", "threshold")


def test_captions_that_some_share_are_as_good(emoji: dict[str, Any]) -> None:
    audit = one_caption(emoji, 48, ObliviousTarget(), attacks="threshold", budget=0.8)
    assert audit.result("I", "threshold").verdict == "pass"
