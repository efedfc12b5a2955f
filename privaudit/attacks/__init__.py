"""The inference models: from features to a score that is higher for likely members.

Classes are imported when they are first used (PEP 562): the settings ask the registry for names
whenever pytest starts, and scikit-learn would take a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from privaudit.attacks import registry
from privaudit.attacks.registry import make_attack

if TYPE_CHECKING:
    from privaudit.attacks.base import (
        InferenceModel,
        check_calibration,
        check_spread,
        out_of_fold,
        standardiser,
        youden,
    )
    from privaudit.attacks.classifier import ClassifierAttack
    from privaudit.attacks.combined import CombinedAttack
    from privaudit.attacks.distribution import DistributionAttack
    from privaudit.attacks.pool import distances, nearest
    from privaudit.attacks.threshold import ThresholdAttack

__all__ = [
    "ClassifierAttack",
    "CombinedAttack",
    "DistributionAttack",
    "InferenceModel",
    "ThresholdAttack",
    "check_calibration",
    "check_spread",
    "distances",
    "make_attack",
    "nearest",
    "out_of_fold",
    "registry",
    "standardiser",
    "youden",
]

__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": [
            "InferenceModel",
            "check_calibration",
            "check_spread",
            "out_of_fold",
            "standardiser",
            "youden",
        ],
        "classifier": ["ClassifierAttack"],
        "combined": ["CombinedAttack"],
        "distribution": ["DistributionAttack"],
        "pool": ["distances", "nearest"],
        "threshold": ["ThresholdAttack"],
    },
)
