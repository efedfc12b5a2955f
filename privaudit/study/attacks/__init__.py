"""The attacks of other papers, to compare with: one file each. The registry names their classes."""

from __future__ import annotations

from privaudit.study.attacks.consistency import ConsistencyAttack
from privaudit.study.attacks.generated import GeneratedAttack
from privaudit.study.attacks.monte_carlo import MonteCarloAttack
from privaudit.study.attacks.nearest import GanLeaksAttack, MatsumotoAttack

__all__ = [
    "ConsistencyAttack",
    "GanLeaksAttack",
    "GeneratedAttack",
    "MatsumotoAttack",
    "MonteCarloAttack",
]
