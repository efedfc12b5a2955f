"""The inference models: from features to a score that is higher for likely members.

Classes are imported when they are first used (PEP 562): the settings ask the registry for names
whenever pytest starts, and scikit-learn would take a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import REGISTRY, make_attack

if TYPE_CHECKING:
    from privaudit.attacks.base import InferenceModel
    from privaudit.attacks.classifier import ClassifierAttack
    from privaudit.attacks.combined import CombinedAttack
    from privaudit.attacks.distribution import DistributionAttack
    from privaudit.attacks.generated import GeneratedAttack
    from privaudit.attacks.monte_carlo import MonteCarloAttack
    from privaudit.attacks.nearest import GanLeaksAttack, MatsumotoAttack
    from privaudit.attacks.threshold import ThresholdAttack

__all__ = [
    "ClassifierAttack",
    "CombinedAttack",
    "DistributionAttack",
    "GanLeaksAttack",
    "GeneratedAttack",
    "InferenceModel",
    "MatsumotoAttack",
    "MonteCarloAttack",
    "ThresholdAttack",
    "make_attack",
]

_HOMES = {"InferenceModel": "privaudit.attacks.base"}
_HOMES |= {kind: module for module, _, kind in (entry.home.partition(":") for entry in REGISTRY)}


def __getattr__(name: str) -> Any:
    """Import a class when it is first used."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
