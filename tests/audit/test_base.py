"""Calibration by the base model: what the target's answers have over those of its base."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit import Audit, AuditInputs, AuditSettings, SavedPipeline
from privaudit.audit.checks.passes import judge_base
from privaudit.audit.models import Models
from privaudit.audit.threat_models import get_threat_model
from privaudit.errors import InvalidAuditError
from privaudit.record import BlindBaseline, Interval
from privaudit.store import Store
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.encoders import PixelEncoder

SETTINGS = AuditSettings(duplicate_limit=2.0, attacks="combined", scenarios="I")


class Painter:
    """Draws a picture of its own for every prompt and seed, with a trace of those it has seen."""

    def __init__(self, seen: list[Any], trace: float) -> None:
        self._seen = {sample.caption: sample.image for sample in seen}
        self._trace = trace
        self.fingerprint = f"painter-{len(seen)}-{trace}"
        self.asked = 0

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.asked += len(prompts)
        return [self._draw(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _draw(self, prompt: str, seed: int) -> Image.Image:
        digest = hashlib.sha256(f"{prompt} {seed}".encode()).digest()
        draws = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        pixels = np.kron(draws.integers(0, 256, (8, 8, 3)), np.ones((4, 4, 1)))
        if prompt in self._seen:
            own = np.asarray(self._seen[prompt], dtype=float)
            pixels = (1 - self._trace) * pixels + self._trace * own
        return Image.fromarray(pixels.round().astype(np.uint8))


def audit(
    emoji: dict[str, Any],
    base: Any,
    trace: float = 0.02,
    store: Store | None = None,
    **changes: Any,
) -> Audit:
    members, others = emoji["member"][:60], emoji["non_member"][:60]
    inputs = AuditInputs(
        target_model=Painter(members, trace),
        members=members,
        non_members=others,
        image_encoder=PixelEncoder(),
        base_model=base,
    )
    return Audit(inputs, SETTINGS.replace(**changes), store or Store(None))


def test_a_faint_trace_shows_over_what_the_base_draws(emoji: dict[str, Any]) -> None:
    store = Store(None)  # what one audit scored is not taken for the other's
    alone = audit(emoji, None, store=store).result("I", "combined")
    over = audit(emoji, Painter([], 0.0), store=store).result("I", "combined")
    assert alone.auc < 0.9
    assert over.auc > 0.98


@pytest.mark.slow
def test_the_record_says_what_the_base_was_asked_and_what_it_tells(emoji: dict[str, Any]) -> None:
    base = Painter([], 0.0)
    one = audit(emoji, base)
    one.result("I", "combined")
    record = one.record()
    images = record.provenance.images
    assert images.asked == {"target_model by caption": 360, "base_model by caption": 360}
    assert images.generated == 720
    found = record.validity.base["attack-I-combined"]
    assert found.interval.low <= 0.5
    assert record.provenance.models["base_model"]["identity"] == "callable:painter-0-0.0"


@pytest.mark.slow
def test_the_plan_counts_the_base_and_the_setting_leaves_it_out(emoji: dict[str, Any]) -> None:
    base = Painter([], 0.0)
    assert audit(emoji, base).estimate(scenario="I").n_new == 720
    base.asked = 0
    without = audit(emoji, base, base_calibration=False)
    assert without.estimate(scenario="I").n_new == 360
    alone = without.result("I", "combined")
    assert alone.auc == audit(emoji, None).result("I", "combined").auc
    assert base.asked <= 2  # whether the target draws as it does


def test_the_papers_models_do_not_ask_the_base(emoji: dict[str, Any]) -> None:
    base = Painter([], 0.0)
    assert audit(emoji, base, attacks="threshold").estimate(scenario="I").n_new == 360


def test_a_base_that_knows_the_members_makes_the_audit_invalid(emoji: dict[str, Any]) -> None:
    knows = Painter(emoji["member"][:60], 0.3)
    one = audit(emoji, knows)
    with pytest.raises(InvalidAuditError, match=r"base AUC .* tells members from non-members"):
        one.result("I", "combined")
    assert one.record().validity.base["attack-I-combined"].auc > 0.9


def test_a_base_whose_bounds_are_unknown_is_no_excuse() -> None:
    level = 0.95
    found = BlindBaseline(auc=0.7, interval=Interval(low=0.5, high=0.9, confidence=level))
    assert judge_base("attack-I-combined", found) == []
    unknown = Interval.model_construct(low=float("nan"), high=1.0, confidence=level)
    assert judge_base("attack-I-combined", found.model_copy(update={"interval": unknown}))


def test_a_saved_pipeline_knows_its_own_base(emoji: dict[str, Any]) -> None:
    models = AUDITS / "models"
    tuned = SavedPipeline(models / "base", unet=models / "overfit" / "unet", device="cpu")
    plain = SavedPipeline(models / "base", device="cpu")
    assert tuned.base is not None
    assert tuned.base.fingerprint == plain.fingerprint
    assert plain.base is None

    def base_of(target: Any, **changes: Any) -> Any:
        inputs = AuditInputs(
            target_model=target,
            members=emoji["member"][:4],
            non_members=emoji["non_member"][:4],
            image_encoder=PixelEncoder(),
        )
        return Models(inputs, SETTINGS.replace(**changes), Store(None)).base_to_ask(
            get_threat_model("I")
        )

    own = base_of(tuned)
    assert (
        own.fingerprint
        == Models(
            AuditInputs(plain, [], [], PixelEncoder()), SETTINGS, Store(None)
        ).target.fingerprint
    )
    assert base_of(plain) is None
    assert base_of(ObliviousTarget()) is None
    assert base_of(tuned, base_calibration=False) is None
    assert base_of(tuned, attacks="threshold,classifier") is None
