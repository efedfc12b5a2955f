"""The inference models: from features to a score that is higher for likely members.

Classes are imported when they are first used (PEP 562): the settings ask the registry for names
whenever pytest starts, and scikit-learn would take a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

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

_HOMES = {"base": ["InferenceModel"]}
for _entry in REGISTRY:
    _module, _, _kind = _entry.home.removeprefix(f"{__name__}.").partition(":")
    _HOMES.setdefault(_module, []).append(_kind)
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs=_HOMES)
