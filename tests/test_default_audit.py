"""The models of audits/: one is made again from nothing, and leaks as the committed one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import AuditInputs, AuditSettings, PipelineTarget, load_encoder, load_pipeline
from privaudit.statistics import auc
from privaudit.store import Store
from tests.parts import AUDITS
from tests.parts.audits import one_result

MODELS = AUDITS / "models"
SETTINGS = AuditSettings(calibration=60.0, batch_size=64)


def attack(pipeline: Any, emoji: dict[str, Any]) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    given = AuditInputs(
        target_model=PipelineTarget(pipeline, num_inference_steps=10, guidance_scale=3.0),
        members=emoji["member"],
        non_members=emoji["non_member"],
        image_encoder=load_encoder("efficientnet-lite0", device="cpu"),
    )
    return one_result("I", "threshold", given, SETTINGS, Store(None))


@pytest.mark.slow
def test_the_overfitted_fine_tune_can_be_made_again(emoji: dict[str, Any]) -> None:
    import make_models

    unet = MODELS / "overfit" / "unet"
    committed = attack(load_pipeline(MODELS / "base", unet=unet, device="cpu"), emoji)
    remade = attack(make_models.fine_tune_whole("member").pipeline, emoji)

    draws = np.random.default_rng(0)
    members = np.array(list(committed.member_scores.values()))
    non_members = np.array(list(committed.non_member_scores.values()))
    resampled = [
        auc(draws.choice(members, len(members)), draws.choice(non_members, len(non_members)))
        for _ in range(2000)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert low <= remade.auc <= high


def test_the_committed_models_are_small_enough() -> None:
    assert sum(file.stat().st_size for file in MODELS.rglob("*")) <= 25_000_000
    for folder in MODELS.iterdir():
        assert (folder / "README.md").is_file(), f"{folder.name} has no model card"


def test_every_emoji_plays_one_part(emoji: dict[str, Any]) -> None:
    samples = [sample for role in emoji.values() for sample in role]
    assert len({sample.id for sample in samples}) == len(samples)
    assert len({sample.digest for sample in samples}) == len(samples)
    assert min(len(emoji["member"]), len(emoji["non_member"])) >= 120
