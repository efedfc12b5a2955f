"""The inference models: from features to a score that is higher for likely members."""

from __future__ import annotations

from privaudit.attacks.base import InferenceModel
from privaudit.attacks.classifier import ClassifierAttack
from privaudit.attacks.distribution import DistributionAttack
from privaudit.attacks.threshold import ThresholdAttack

__all__ = [
    "ClassifierAttack",
    "DistributionAttack",
    "InferenceModel",
    "ThresholdAttack",
    "make_attack",
]


def make_attack(name: str, seed: int) -> InferenceModel:
    """Make an unfitted inference model by name.

    Parameters
    ----------
    name
        ``"threshold"``, ``"distribution"`` or ``"classifier"``.
    seed
        Seed of whatever is random in its fitting.
    """
    if name == "classifier":
        return ClassifierAttack(seed=seed)
    if name == "distribution":
        return DistributionAttack()
    return ThresholdAttack()
