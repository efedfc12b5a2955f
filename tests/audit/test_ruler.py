"""A green by a weak ruler: the strongest attack reads the same pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from privaudit import Audit, AuditInputs, AuditSettings, Sample
from privaudit.audit.checks.passes import MOST_KNOWN, _some
from privaudit.audit.sets import LabelledSet
from privaudit.engines.local import LocalEngine
from privaudit.errors import InvalidAuditError
from privaudit.store import Store
from privaudit.study.axes.main import Main
from privaudit.study.owner import Owner
from privaudit.testing import MemorizingTarget
from tests.parts.encoders import BrittleEncoder, PixelEncoder
from tests.parts.reminded import Reminded

SETTINGS = AuditSettings(
    budget=0.7, duplicate_limit=2.0, attacks="threshold,distribution", scenarios="I"
)
N = 60


def inputs_of(emoji: dict[str, Any], target: Any) -> AuditInputs:
    return AuditInputs(
        target_model=target,
        members=emoji["member"][:N],
        non_members=emoji["non_member"][:N],
        image_encoder=BrittleEncoder(),
    )


def reminded(emoji: dict[str, Any], share: float) -> AuditInputs:
    seen = emoji["member"][:N] if share else []
    return inputs_of(emoji, Reminded(seen, emoji["caption"][:50], share))


def audited(emoji: dict[str, Any], share: float, **changes: Any) -> Audit:
    return Audit(reminded(emoji, share), SETTINGS.replace(**changes), Store(None))


@pytest.mark.parametrize("sequential", [False, True])
def test_a_green_is_not_believed_where_the_same_pictures_show_a_leak(
    emoji: dict[str, Any], sequential: bool
) -> None:
    gate = "evidence" if sequential else "point"  # one that ends undecided is red by the other
    audit = audited(emoji, 0.4, sequential=sequential, gate=gate)
    for attack in audit.settings.attacks:
        with pytest.raises(InvalidAuditError, match="in which combined sees") as raised:
            audit.result("I", attack)
        assert f"by {attack}, in pictures" in str(raised.value)
        assert "--privaudit-attacks=threshold,distribution,combined" in str(raised.value)
    validity = audit.record().validity
    assert validity is not None
    seen = validity.stronger["attack-I-combined"]
    assert seen.interval.low > audit.settings.budget
    assert len(validity.reasons) == 2


class Drawn:
    """Draws for each caption one picture, a little otherwise with each seed."""

    def __init__(self, pictures: dict[str, Image.Image]) -> None:
        self.fingerprint = f"drawn {sorted(pictures)}"
        self._pictures = pictures

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return [
            Image.blend(self._pictures[prompt], Image.new("RGB", (32, 32), (seed % 256,) * 3), 0.02)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


@pytest.mark.parametrize("remembers", [True, False])
def test_captions_that_were_joined_to_other_pictures_hide_nothing(
    emoji: dict[str, Any], remembers: bool
) -> None:
    """Who asks for one member gets another: each is compared with the answers to all."""
    members, non_members = emoji["member"][:N], emoji["non_member"][:N]
    captions = [sample.caption for sample in members]
    moved = [
        Sample(sample.image, caption, id=sample.id)
        for sample, caption in zip(members, captions[7:] + captions[:7], strict=True)
    ]
    others = [sample.image for sample in emoji["caption"][: 2 * N]]
    drawn = [sample.image for sample in members] if remembers else others[N:]
    pictures = dict(zip(captions, drawn, strict=True))
    pictures |= {s.caption: one for s, one in zip(non_members, others[:N], strict=True)}
    inputs = inputs_of(emoji, Drawn(pictures))
    inputs = replace(inputs, members=moved, image_encoder=PixelEncoder())
    audit = Audit(inputs, SETTINGS.replace(attacks="threshold", queries=2), Store(None))
    if remembers:
        with pytest.raises(InvalidAuditError, match="in which combined sees"):
            audit.result("I", "threshold")
    else:
        assert audit.result("I", "threshold").verdict == "pass"


def test_a_study_writes_it_down_all_the_same(emoji: dict[str, Any]) -> None:
    owner = Owner(reminded(emoji, 0.4), SETTINGS, Store(None), LocalEngine())
    table = Main().table(owner)
    assert [row.attack for row in table.rows] == ["threshold", "distribution"]
    assert not table.left_out


def test_an_audit_that_chose_it_decides_by_it(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, 0.4, attacks="threshold,combined")
    assert audit.result("I", "threshold").verdict == "pass"
    assert audit.result("I", "combined").verdict == "fail"
    validity = audit.record().validity
    assert validity is not None
    assert validity.stronger == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_remembers_nobody_stays_green(emoji: dict[str, Any], seed: int) -> None:
    audit = audited(emoji, 0.0, attacks="threshold", seed=seed)
    result = audit.result("I", "threshold")
    if result.verdict == "pass":  # by chance it is not, now and then
        validity = audit.record().validity
        assert validity is not None
        assert validity.stronger["attack-I-combined"].interval.low < audit.settings.budget


def test_a_red_is_left_as_it_is(emoji: dict[str, Any]) -> None:
    audit = Audit(inputs_of(emoji, MemorizingTarget(emoji["member"])), SETTINGS, Store(None))
    assert audit.result("I", "threshold").verdict == "fail"
    validity = audit.record().validity
    assert validity is not None
    assert validity.stronger == {}


def test_of_many_samples_some_are_looked_at_whatever_their_order(emoji: dict[str, Any]) -> None:
    samples = [sample for side in ("member", "caption", "non_member") for sample in emoji[side]]
    assert len(samples) > MOST_KNOWN
    few = samples[:MOST_KNOWN]
    one, other = (
        _some(LabelledSet(None, order, few), MOST_KNOWN)  # type: ignore[arg-type]
        for order in (samples, samples[::-1])
    )
    assert [s.id for s in one.members] == [s.id for s in other.members]
    assert len(one.members) == MOST_KNOWN
    assert one.non_members is few
