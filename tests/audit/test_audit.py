"""The whole path below the plugin: controls, real pipelines, failures midway, the store."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from privaudit import AuditInputs, AuditSettings, PipelineTarget, Sample
from privaudit.attacks.registry import names, registered
from privaudit.audit.sets import split_auxiliary
from privaudit.captioners import as_captioner, checked_captions
from privaudit.encoders import as_encoder
from privaudit.engines.local import LocalEngine
from privaudit.errors import CaptionerError, GeneratorError, SampleError
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.testing import MemorizingTarget, ObliviousTarget
from tests.parts.audits import one_result
from tests.parts.encoders import PixelEncoder, tiny_vit
from tests.parts.pipelines import tiny_pipeline

# To raw pixels the phases of the moon are one picture.
SETTINGS = AuditSettings(duplicate_limit=2.0)


def with_settings(**changes: Any) -> AuditSettings:
    return SETTINGS.replace(**changes)


def ingredients(emoji: dict[str, Any], model: Any, n: int = 30, **changes: Any) -> AuditInputs:
    values = {
        "target_model": model,
        "members": emoji["member"][:n],
        "non_members": emoji["non_member"][:n],
        "image_encoder": PixelEncoder(),
        "shadow_model": MemorizingTarget(emoji["shadow_member"][:n]),
        "shadow_members": emoji["shadow_member"][:n],
        "shadow_non_members": emoji["shadow_non_member"][:n],
        **changes,
    }
    return AuditInputs(**values)


@pytest.mark.parametrize("encoder", ["pixels", pytest.param("vit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("scenario", ["I", pytest.param("III", marks=pytest.mark.slow)])
def test_the_memorising_control_is_always_found(
    scenario: str, encoder: str, emoji: dict[str, Any]
) -> None:
    given = ingredients(
        emoji,
        MemorizingTarget(emoji["member"]),
        image_encoder=PixelEncoder()
        if encoder == "pixels"
        else as_encoder(tiny_vit(), device="cpu"),
    )
    for attack in ("threshold", "distribution", "classifier"):
        result = one_result(scenario, attack, given, SETTINGS, Store(None))
        assert result.auc == 1.0, attack
        assert result.verdict == "fail"


@pytest.mark.slow  # ten audits each
@pytest.mark.parametrize(
    "attack",
    # zhang misses even a copy by this encoder, which is invalid: its null is in test_pool_attacks.
    [
        pytest.param(n, marks=[pytest.mark.nightly] if registered(n).needs_pool else [])
        for n in names()
        if n != "zhang" and not registered(n).needs_clip  # whose null is in test_clip
    ],
)
def test_the_oblivious_control_stays_within_chance(attack: str, emoji: dict[str, Any]) -> None:
    """Mean over ten seeds, each of which flips other coins for membership."""
    from privaudit.samples import split_by_coin

    pool = [*emoji["member"], *emoji["non_member"]]
    aucs = []
    for seed in range(10):
        members, non_members = split_by_coin(pool, seed)
        given = ingredients(emoji, ObliviousTarget(), members=members, non_members=non_members)
        settings = with_settings(seed=seed, queries=1)
        aucs.append(one_result("I", attack, given, settings, Store(None)).auc)
    # 10 splits of about 70+70: the mean's standard error is 0.016 or less.
    assert abs(sum(aucs) / len(aucs) - 0.5) < 0.06


@pytest.mark.slow
def test_batch_size_and_order_never_change_a_result(emoji: dict[str, Any], tmp_path: Path) -> None:
    model = PipelineTarget(tiny_pipeline(), num_inference_steps=2)
    encoder = as_encoder(tiny_vit(), device="cpu")
    given = ingredients(emoji, model, n=12, image_encoder=encoder)
    backwards = replace(given, members=given.members[::-1], non_members=given.non_members[::-1])
    results = [
        one_result(
            "I", "threshold", which, with_settings(batch_size=size, budget=1), Store(None)
        ).member_scores
        for which, size in ((given, 16), (given, 3), (given, 100), (backwards, 7))
    ]
    assert results[0] == results[1] == results[2] == results[3]


class Counting:
    """A callable that counts its images, and can be told to fail."""

    fingerprint = "counting-1"

    def __init__(self, fail_after: int = 10**9) -> None:
        self.made = 0
        self.fail_after = fail_after

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        if self.made >= self.fail_after:
            msg = "the endpoint is down"
            raise ConnectionError(msg)
        self.made += len(prompts)
        drawn = [zlib.crc32(f"{p} {s}".encode()) for p, s in zip(prompts, seeds, strict=True)]
        return ObliviousTarget().generate(prompts, drawn)


def test_what_was_generated_before_a_failure_is_kept(emoji: dict[str, Any], tmp_path: Path) -> None:
    failing = Counting(fail_after=48)
    with pytest.raises(GeneratorError, match="raised ConnectionError on a batch of 16 prompts"):
        one_result(
            "I",
            "threshold",
            ingredients(emoji, as_target(failing)),
            with_settings(batch_size=16),
            Store(tmp_path),
        )
    assert failing.made == 3 + 3 * 16  # the first query, twice and with another prompt
    again = Counting()
    given = ingredients(emoji, as_target(again))
    interrupted = one_result("I", "threshold", given, SETTINGS, Store(tmp_path))
    # 49 were stored, of which one is drawn again: is it still the same model?
    assert again.made == 60 * 3 - 49 + 1
    whole = ingredients(emoji, as_target(Counting()))
    assert one_result("I", "threshold", whole, SETTINGS, Store(None)) == interrupted


@pytest.mark.slow
def test_nothing_is_generated_twice(emoji: dict[str, Any], tmp_path: Path) -> None:
    model, store = Counting(), Store(tmp_path)
    given = ingredients(emoji, as_target(model))
    first = one_result("I", "threshold", given, SETTINGS, store)
    one_result("I", "classifier", given, SETTINGS, store)
    one_result("III", "threshold", given, SETTINGS, store)
    one_result("I", "threshold", given, with_settings(similarity="manhattan"), store)
    assert model.made == 60 * 3 + 2
    assert one_result("I", "threshold", given, SETTINGS, Store(tmp_path)) == first
    assert model.made == 60 * 3 + 3  # whether it is still the same model


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"members": []}, "0 samples in members"),
        ({"non_members": []}, "0 samples in non_members"),
        ({"shadow_members": []}, "0 samples in shadow_members"),
    ],
)
def test_bad_sets_are_found_before_anything_is_generated(
    changes: dict[str, Any], said: str, emoji: dict[str, Any]
) -> None:
    model = Counting()
    with pytest.raises(SampleError, match=said):
        one_result(
            "III",
            "threshold",
            ingredients(emoji, as_target(model), **changes),
            SETTINGS,
            Store(None),
        )
    assert model.made == 0


def test_an_image_in_both_sets_is_found_before_anything_is_generated(emoji: dict[str, Any]) -> None:
    model = Counting()
    leaked = Sample(emoji["member"][3].image.copy(), "other words", id="leaked")
    cases = [
        ("I", {"non_members": [*emoji["non_member"][:9], leaked]}, "same image"),
        ("III", {"shadow_members": [*emoji["shadow_member"][:9], leaked]}, "same image"),
        ("I", {"members": [Sample(leaked.image, " ", id="x")]}, "empty caption"),
    ]
    for scenario, changes, said in cases:
        given = ingredients(emoji, as_target(model), **changes)
        with pytest.raises(SampleError, match=said):
            one_result(scenario, "threshold", given, SETTINGS, Store(None))
    assert model.made == 0


def test_a_member_that_calibrates_and_is_evaluated_is_found(emoji: dict[str, Any]) -> None:
    twin = Sample(emoji["member"][0].image.copy(), "other words", id="twin")
    members = [emoji["member"][0], twin]
    model = Counting()
    given = ingredients(emoji, as_target(model), members=members)
    # Two members, one of which calibrates: whichever it is, its twin is evaluated.
    with pytest.raises(SampleError, match="of the evaluation set is the same image"):
        one_result("I", "threshold", given, with_settings(calibration=1), Store(None))
    assert model.made == 0


def test_coins_decide_what_the_shadow_is_tuned_on_after_the_checks(emoji: dict[str, Any]) -> None:
    auxiliary = emoji["shadow_member"][:20]
    inside, outside = split_auxiliary(auxiliary, emoji["member"], emoji["non_member"], 0)
    assert inside
    assert outside
    assert {s.id for s in inside} | {s.id for s in outside} == {s.id for s in auxiliary}
    with pytest.raises(SampleError, match="is in both"):
        split_auxiliary(emoji["member"][:4], emoji["member"], emoji["non_member"], 0)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda images: ["x"], "returned 1 captions for 2 images"),
        (lambda images: "x", "returned str captions for 2 images"),
        (
            lambda images: ["x", " "],
            "1 of 2 captions by .* blank or no text, the first for image 1",
        ),
        (lambda images: 1 / 0, "raised ZeroDivisionError on 2 images"),
    ],
)
def test_bad_captions_are_typed_errors(function: Any, said: str) -> None:
    with pytest.raises(CaptionerError, match=said):
        checked_captions(as_captioner(function), [Image.new("RGB", (4, 4))] * 2, 16)


class Workers(LocalEngine):
    """An engine that would do as many batches at one time, and notes what it is asked."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self.asked: list[int] = []
        self.batches: list[int | None] = []

    def run(self, task: Any, queries: Any, *others: Any) -> None:
        self.asked.append(len(queries))
        self.batches.append(task.batch_size)
        super().run(task, queries, *others)


@pytest.mark.slow
def test_a_sequential_audit_keeps_all_workers_busy_and_its_record(emoji: dict[str, Any]) -> None:
    given = ingredients(emoji, MemorizingTarget(emoji["member"]), 60)
    settings = with_settings(sequential=True, budget=0.7, scenarios=("I",), attacks=("threshold",))
    engines = Workers(1), Workers(4)
    one, four = (one_result("I", "threshold", given, settings, Store(None), e) for e in engines)
    assert one == four
    assert one.sequential is not None
    assert 0 < one.sequential.n_pairs < one.sequential.max_pairs
    # Before the pairs comes the calibration set.
    chunk = 16 // (2 * settings.queries) * 2 * settings.queries
    n_chunks = one.evaluation.members * 2 * settings.queries // chunk
    assert engines[0].asked[1:] == [chunk] * n_chunks
    assert engines[1].asked[1:] == [4 * chunk] * -(-n_chunks // 4)
    assert {size for engine in engines for size in engine.batches[1:]} == {chunk}
