"""A fine-tune that remembers its training images: the audit must catch it.

It is an expected failure, so that the default run is green; ``--runxfail`` shows the red.
"""

from __future__ import annotations

from typing import Any

import pytest
from diffusers import UNet2DConditionModel

import emoji_sets
import privaudit


@pytest.fixture(scope="session")
def target_model() -> Any:
    """Load the base pipeline with its U-Net fine-tuned for hundreds of epochs."""
    unet = UNet2DConditionModel.from_pretrained(emoji_sets.MODELS / "overfit" / "unet")
    return privaudit.load_pipeline(emoji_sets.MODELS / "base", unet=unet, device="cpu")


@pytest.mark.privacy_budget(
    max_auc=0.60,
    queries=3,
    num_inference_steps=10,
    guidance_scale=3.0,
    calibration=60,
    batch_size=64,
)
@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True, reason="it is over-fitted")
def test_membership_inference(membership_attack: privaudit.AttackResult) -> None:
    """Every attack goes over the budget."""
    assert membership_attack.auc <= membership_attack.budget
