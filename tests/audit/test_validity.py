"""What an audit is asked before it generates anything."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit import Audit, AuditInputs, AuditSettings, Sample, load_encoder, split_by_coin
from privaudit.audit.checks import CHECKS, Stage
from privaudit.audit.checks.controls import judge_control, judge_is_base
from privaudit.audit.checks.samples import (
    EXACT,
    blind_baseline,
    blind_caption_baseline,
    judge_blind,
    near_duplicates,
)
from privaudit.encoders.base import encode_in_batches
from privaudit.errors import InvalidAuditError, SampleError, ScoreError
from privaudit.record import BlindBaseline, Claim, Interval
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.testing import MemorizingTarget
from tests.parts.audits import one_result
from tests.parts.encoders import PixelEncoder

SETTINGS = AuditSettings()


@pytest.fixture(scope="module")
def encoder() -> Any:
    return load_encoder("efficientnet-lite0", device="cpu")


def pooled(encoder: Any, images: list[Image.Image]) -> np.ndarray:
    return encode_in_batches(encoder, images, 32).mean(axis=1)


def warmer(image: Image.Image) -> Image.Image:
    """The same picture from another printer, which is redder."""
    pixels = np.asarray(image.convert("RGB"), dtype=float) * [1.0, 0.8, 0.6]
    return Image.fromarray(pixels.astype(np.uint8))


def dimmed(image: Image.Image) -> Image.Image:
    """A copy that is no longer the same file, nor the same pixels."""
    return Image.fromarray((np.asarray(image.convert("RGB")) * 0.98).astype(np.uint8))


@pytest.mark.slow
def test_two_sources_are_told_apart_and_two_halves_of_one_are_not(
    encoder: Any, emoji: dict[str, Any]
) -> None:
    samples = emoji["member"] + emoji["non_member"]
    ids = [s.id for s in samples]
    here = dict(zip(ids, pooled(encoder, [s.image for s in samples]), strict=True))
    there = dict(zip(ids, pooled(encoder, [warmer(s.image) for s in samples]), strict=True))
    flagged = {"halves": 0, "sources": 0}
    for seed in range(10):
        members, non_members = split_by_coin(samples, seed)
        inside = np.stack([here[s.id] for s in members])
        for name, source in (("halves", here), ("sources", there)):
            outside = np.stack([source[s.id] for s in non_members])
            found = blind_baseline(inside, outside, seed=seed)
            assert found is not None
            flagged[name] += found.interval.low > SETTINGS.blind_limit
    assert flagged["sources"] == 10
    assert flagged["halves"] <= 1


def test_captions_of_two_sources_are_told_apart(emoji: dict[str, Any]) -> None:
    inside = [s.caption for s in emoji["member"]]
    outside = [s.caption for s in emoji["non_member"]]
    same = blind_caption_baseline(inside, outside)
    apart = blind_caption_baseline(inside, [f"a picture of a {text}" for text in outside])
    assert same is not None
    assert apart is not None
    assert same.interval.low < 0.5 < 0.9 < apart.interval.low
    assert blind_caption_baseline(inside, ["", *outside]) is None
    assert blind_caption_baseline(inside[:9], outside) is None


def test_dimmed_copies_are_near_duplicates_and_other_emoji_are_not(
    encoder: Any, emoji: dict[str, Any]
) -> None:
    members, others = emoji["member"][:60], emoji["non_member"][:60]
    copies = [dimmed(sample.image) for sample in members[:5]]
    found = near_duplicates(
        {
            "members": ([s.id for s in members], pooled(encoder, [s.image for s in members])),
            "non-members": (
                [*(s.id for s in others), *(f"copy-{s.id}" for s in members[:5])],
                pooled(encoder, [*(s.image for s in others), *copies]),
            ),
        },
        SETTINGS.duplicate_limit,
    )
    assert {(pair.first, pair.second) for pair in found} == {
        (s.id, f"copy-{s.id}") for s in members[:5]
    }
    assert all(pair.first_set == "members" for pair in found)


def test_copies_beyond_the_first_twenty_thousand_samples_are_found() -> None:
    n, copies = EXACT // 2 + 1_000, 500
    random = np.random.default_rng(0)
    features = random.normal(size=(n, 64)).astype(np.float32)
    others = random.normal(size=(n, 64)).astype(np.float32)
    others[-copies:] = features[-copies:]
    others[:100] = features[:100] + 0.01 * others[:100]
    sides = {
        name: ([f"{name}-{i:06}" for i in range(n)], rows)
        for name, rows in (("members", features), ("non-members", others))
    }
    pairs = near_duplicates(sides, 0.95)
    assert {pair.first[8:] for pair in pairs} == {pair.second[12:] for pair in pairs}
    assert len(pairs) == copies + 100


def test_every_reason_is_given() -> None:
    blind = BlindBaseline(auc=0.9, interval=Interval(low=0.8, high=0.95, confidence=0.95))
    reasons = [
        *judge_is_base(True),
        *judge_blind("images", blind, 0.55),
        *judge_blind("captions", None, 0.55),
        *judge_control("attack-I-threshold", float("nan")),
    ]
    assert len(reasons) == 3
    assert reasons[0].startswith("the target draws exactly what its base model draws")
    assert reasons[1].startswith("blind AUC 0.900 (at least 0.800) > 0.55")
    assert reasons[2].startswith("positive control AUC nan < 0.95")


def test_the_checks_of_one_stage_are_merged_and_run_in_the_order_of_the_list(
    emoji: dict[str, Any],
) -> None:
    stages = [check.stage for check in CHECKS]
    assert stages == sorted(stages, key=list(Stage).index)
    loud = [Sample(s.image, s.caption.upper(), id=s.id) for s in emoji["member"][:40]]
    audit = Audit(
        ingredients(emoji, members=loud, image_encoder=Blind(), target_model=never), SETTINGS
    )
    reasons = audit.check("I", "threshold").reasons
    assert [reason.split()[0] for reason in reasons] == ["blind", "positive"]


def ingredients(emoji: dict[str, Any], **changes: Any) -> AuditInputs:
    given: dict[str, Any] = {
        "target_model": MemorizingTarget(emoji["member"][:40]),
        "members": emoji["member"][:40],
        "non_members": emoji["non_member"][:40],
        "image_encoder": PixelEncoder(),
    }
    return AuditInputs(**{**given, **changes})


def saved(sample: Sample, kind: str, **how: Any) -> Sample:
    """The same sample, opened from a file of this kind."""
    file = io.BytesIO()
    sample.image.save(file, kind, **how)
    return Sample(lambda: Image.open(io.BytesIO(file.getvalue())), sample.caption, id=sample.id)


class Blind:
    """Sees nothing: all images are one to it."""

    fingerprint = "blind"

    def encode(self, images: Any) -> Any:
        return np.ones((len(images), 4, 8), np.float32)


def never(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    msg = "an invalid audit generated something"
    raise AssertionError(msg)


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ("sources", {}, "blind AUC .* by their images alone"),
        ("captions", {}, "blind AUC .* by their captions alone"),
        ("capitals", {}, "by one fact alone, '.*capital.*' .chance finds one of .* p = 0.001"),
        ("newline", {}, "by one fact alone, 'white space after the caption'"),
        ("files", {}, "by one fact alone, 'format [JP].*"),
        ("copies", {}, "[0-9]+ of 40 evaluated samples have a near-duplicate in another set"),
        ("blind encoder", {}, "positive control AUC 0.500 < 0.95"),
    ],
)
def test_an_invalid_audit_is_refused_before_it_generates(
    changes: str, settings: dict[str, Any], said: str, emoji: dict[str, Any]
) -> None:
    others = list(emoji["non_member"][:40])
    if changes == "sources":
        others = [Sample(warmer(s.image), s.caption, id=s.id) for s in others]
    if changes == "captions":
        others = [Sample(s.image, f"a picture of a {s.caption}", id=s.id) for s in others]
    if changes == "capitals":
        others = [Sample(s.image, s.caption.capitalize(), id=s.id) for s in others]
    if changes == "newline":
        others = [Sample(s.image, f"{s.caption}\n", id=s.id) for s in others]
    if changes == "copies":
        others[:12] = [
            Sample(dimmed(s.image), s.caption, id=f"c{s.id}") for s in emoji["member"][:12]
        ]
    given = ingredients(emoji, non_members=others, target_model=as_target(never))
    if changes == "files":
        given = dataclasses.replace(
            given,
            members=[saved(s, "JPEG", quality=95) for s in given.members],
            non_members=[saved(s, "PNG") for s in others],
        )
    if changes == "blind encoder":
        given = dataclasses.replace(given, image_encoder=Blind())
    chosen = SETTINGS.replace(**{"duplicate_limit": 0.995, **settings})
    with pytest.raises(InvalidAuditError, match=said):
        one_result("I", "threshold", given, chosen, Store(None))


def test_the_record_says_what_was_found(emoji: dict[str, Any]) -> None:
    settings = SETTINGS.replace(duplicate_limit=2.0)
    audit = Audit(ingredients(emoji), settings.replace(attacks=("threshold",)))
    assert audit.validity.controls == {"attack-I-threshold": 1.0}
    assert audit.validity.reasons == []
    assert audit.validity.blind_image is not None
    assert audit.validity.blind_image.interval.low < 0.55
    assert audit.validity.n_near_duplicates == 0
    assert audit.validity.blind_facts is not None
    assert audit.validity.blind_facts.p_value > 0.05
    assert audit.validity.blind_facts.n_features > 20


@pytest.mark.slow
def test_epsilon_needs_coins_and_a_scenario_that_looked_at_none(emoji: dict[str, Any]) -> None:
    split = split_by_coin(emoji["member"][:40] + emoji["non_member"][:40], 5)
    shadow = {
        "shadow_model": MemorizingTarget(emoji["shadow_member"][:20]),
        "shadow_members": emoji["shadow_member"][:20],
        "shadow_non_members": emoji["shadow_non_member"][:20],
    }
    given = ingredients(
        emoji,
        members=split.members,
        non_members=split.non_members,
        target_model=MemorizingTarget(split.members),
        coin_split=split,
        claim=Claim(epsilon=1.0, delta=1e-5),
        **shadow,
    )
    settings = SETTINGS.replace(duplicate_limit=2.0, budget=1.0, attacks=("threshold",))
    found = one_result("III", "threshold", given, settings, Store(None))
    assert found.epsilon is not None
    assert found.epsilon.epsilon > 1
    assert found.claim_exceeded
    assert found.verdict == "fail"
    assert found.epsilon.provable >= found.epsilon.epsilon > 1
    assert found.epsilon.coin_split["seed"] == 5
    refused = one_result("I", "threshold", given, settings, Store(None))
    assert refused.epsilon is None
    assert "chosen by their membership" in refused.epsilon_refused
    assert refused.verdict == "pass"
    vague = dataclasses.replace(given, claim=Claim(epsilon=1.0, delta=0.1))
    with pytest.raises(ScoreError, match=r"80 samples cannot prove any epsilon at delta 0\.1"):
        one_result("III", "threshold", vague, settings, Store(None))
    bare = dataclasses.replace(given, coin_split=tuple(split))
    with pytest.raises(SampleError, match="coin_split is a tuple: return what"):
        one_result("III", "threshold", bare, settings, Store(None))
    fewer = {"members": split.members[1:], "non_members": split.non_members}
    moved = ingredients(emoji, **fewer, coin_split=split, **shadow)
    with pytest.raises(SampleError, match="are not where the coins of seed 5 put them"):
        one_result("III", "threshold", moved, settings, Store(None))
