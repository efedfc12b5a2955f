"""A fine-tune that remembers its training images: the audit must catch it.

It is an expected failure, so that the default run is green; ``--runxfail`` shows the red.
"""

from __future__ import annotations

from typing import Any

import pytest

import emoji_sets
import privaudit


@pytest.fixture(scope="session")
def target_model() -> Any:
    """Name the base pipeline with its U-Net fine-tuned for hundreds of epochs."""
    models = emoji_sets.MODELS
    return privaudit.SavedPipeline(models / "base", unet=models / "overfit/unet", device="cpu")


@pytest.mark.privacy_budget(
    max_auc=0.60,
    queries=3,
    num_inference_steps=10,
    guidance_scale=3.0,
    calibration=60,
    batch_size=64,
)
@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True, reason="it is over-fitted")
def test_membership_inference(membership_attack: privaudit.record.AttackResult) -> None:
    """Every attack goes over the budget."""
    assert membership_attack.auc <= membership_attack.budget
