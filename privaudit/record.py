"""What an audit found, as frozen dataclasses of plain Python values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEMA_VERSION", "AttackResult"]

SCHEMA_VERSION = 1
"""Version of the JSON that records become; raised when a reader could misunderstand it."""


@dataclass(frozen=True)
class AttackResult:
    """One scenario with one inference model: what the ``membership_attack`` fixture returns.

    Every value is coerced to plain Python: a NumPy scalar would stop an xdist worker from
    sending its report, and pytest would then end green.

    Attributes
    ----------
    scenario
        ``"attack-I"`` to ``"attack-IV"``.
    attack
        The inference model: ``"threshold"``, ``"distribution"`` or ``"classifier"``.
    auc
        ROC-AUC over the evaluation set.
    budget, budget_source
        The largest AUC accepted, and where that number was set.
    verdict
        ``"pass"`` or ``"fail"``.
    n_members, n_non_members
        Size of the evaluation set.
    n_calibration_members, n_calibration_non_members
        Size of the calibration set.
    attack_success_rate
        Accuracy over the evaluation set at the threshold fixed on the calibration set, both
        classes weighing the same.
    threshold
        That threshold.
    tpr_at_1_percent_fpr
        True positive rate at a false positive rate of at most 1 %; ``None`` with fewer than 100
        non-members, who cannot show such a rate.
    achieved_fpr
        The false positive rate at that point.
    member_scores, non_member_scores
        Score of every evaluation sample, by id.
    """

    scenario: str
    attack: str
    auc: float
    budget: float
    budget_source: str
    verdict: str
    n_members: int
    n_non_members: int
    n_calibration_members: int
    n_calibration_non_members: int
    attack_success_rate: float
    threshold: float
    tpr_at_1_percent_fpr: float | None
    achieved_fpr: float | None
    member_scores: dict[str, float]
    non_member_scores: dict[str, float]

    def __post_init__(self) -> None:
        """Coerce every field to plain Python values."""
        plain = {"str": str, "float": float, "int": int}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = str(field.type)
            if kind in plain:
                value = plain[kind](value)
            elif kind.startswith("dict"):
                value = {str(key): float(score) for key, score in value.items()}
            elif value is not None:
                value = float(value)
            object.__setattr__(self, field.name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return dataclasses.asdict(self)
