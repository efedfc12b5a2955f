"""The same members and as many steps, with DP-SGD: the audit must pass.

There is no ``privacy_claim``: the training promises ε = 8 at δ = 1e-3, which 280 coins could refute
of no model (``privaudit.statistics.least_samples``). A test that cannot fail shows nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

import emoji_sets
import privaudit


@pytest.fixture(scope="session")
def target_model() -> Any:
    """Name the base pipeline with the bias terms trained to (ε = 8, δ = 1e-3)."""
    base = emoji_sets.MODELS / "base"
    return privaudit.SavedPipeline(base, biases=emoji_sets.MODELS / "dp", device="cpu")


@pytest.mark.privacy_budget(
    max_auc=0.60,
    queries=3,
    num_inference_steps=10,
    guidance_scale=3.0,
    calibration=60,
    batch_size=64,
)
def test_membership_inference(membership_attack: privaudit.record.AttackResult) -> None:
    """No attack goes over the budget."""
    assert membership_attack.auc <= membership_attack.budget
