"""What an audit found, as frozen dataclasses of plain Python values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEMA_VERSION", "AttackResult"]

SCHEMA_VERSION = 1
"""Version of the JSON that records become; raised when a reader could misunderstand it."""


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars and arrays, and tuples, into what JSON and xdist can carry."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


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
        The inference model, by its name in :mod:`privaudit.attacks.registry`.
    auc
        ROC-AUC over the evaluation set; of a sequential audit, the share of pairs won.
    auc_low, auc_high
        Its bounds, which hold for all results of the audit together.
    confidence, n_results
        With this confidence; and how many results that is (Bonferroni: each bound may err with
        probability (1 − confidence) / (2 × n_results), of a sequential audit with twice that).
    budget, budget_source
        The largest AUC accepted, and where that number was set.
    gate
        ``"point"``, ``"evidence"`` or ``"certify"``.
    verdict
        ``"pass"``, ``"fail"`` or ``"inconclusive"``.
    supported
        Whether both bounds are on one side of the budget.
    samples_needed
        Members and non-members that would put them there, if the AUC stays; ``None`` if they
        are there, or if no number is known.
    n_members, n_non_members
        Size of the evaluation set; of a sequential audit, what was used of it.
    n_calibration_members, n_calibration_non_members
        Size of the calibration set.
    n_queries
        Images this result was computed from, calibration included.
    attack_success_rate, success_rate_low, success_rate_high
        Accuracy over the evaluation set at the threshold fixed on the calibration set, both
        classes weighing the same, with an interval at ``confidence``.
    threshold
        That threshold.
    tpr_at_1_percent_fpr, achieved_fpr
        True and false positive rates at the threshold that 1 % of the calibration non-members
        are above; ``None`` with fewer than 100 of them, or 100 evaluated.
    low_fpr
        The same for 1 % and 0.1 %, with thresholds, counts and Clopper–Pearson intervals at
        ``confidence``.
    detectable_from_half, detectable_from_budget
        Smallest AUC that so many samples tell from 0.5, and from the budget, four times in
        five; ``None`` if none.
    validity
        What was found without the model, see :class:`privaudit.audit.validity.Validity`.
    sequential
        Of a sequential audit: ``n_pairs``, ``max_pairs``, and ``path``, the state after every
        chunk. Otherwise ``None``.
    epsilon, epsilon_delta
        Lower bound on ε at this δ (Steinke, Nasr & Jagielski 2023, guessing the surest half);
        it holds for all results of attack-III and attack-IV together. ``None`` where it cannot
        be concluded.
    epsilon_provable
        The largest ε that so many samples could have proved of any model.
    epsilon_from_rates
        The same by Clopper–Pearson bounds on the rates at the calibrated threshold, which take
        samples for independent.
    epsilon_refused
        Why there is no ε, or empty.
    claimed_epsilon
        The ε that a ``privacy_claim`` marker claims, or ``None``.
    coin_split
        The record that proves how membership was decided, or ``None``.
    member_scores, non_member_scores
        Score of every evaluation sample, by id.
    """

    scenario: str
    attack: str
    auc: float
    auc_low: float
    auc_high: float
    confidence: float
    n_results: int
    budget: float
    budget_source: str
    gate: str
    verdict: str
    supported: bool
    samples_needed: list[int] | None
    n_members: int
    n_non_members: int
    n_calibration_members: int
    n_calibration_non_members: int
    n_queries: int
    attack_success_rate: float
    success_rate_low: float
    success_rate_high: float
    threshold: float
    tpr_at_1_percent_fpr: float | None
    achieved_fpr: float | None
    low_fpr: list[dict[str, Any]]
    detectable_from_half: float | None
    detectable_from_budget: float | None
    validity: dict[str, Any]
    sequential: dict[str, Any] | None
    epsilon: float | None
    epsilon_delta: float | None
    epsilon_provable: float | None
    epsilon_from_rates: float | None
    epsilon_refused: str
    claimed_epsilon: float | None
    coin_split: dict[str, Any] | None
    member_scores: dict[str, float]
    non_member_scores: dict[str, float]

    def __post_init__(self) -> None:
        """Coerce every field to plain Python values."""
        plain = {"str": str, "float": float, "int": int, "bool": bool}
        for field in dataclasses.fields(self):
            value = _plain(getattr(self, field.name))
            kind = str(field.type)
            if kind in plain:
                value = plain[kind](value)
            elif kind == "float | None" and value is not None:
                value = float(value)
            object.__setattr__(self, field.name, value)

    @property
    def claim_exceeded(self) -> bool:
        """Whether ε is bounded above the ε that is claimed."""
        return (
            self.epsilon is not None
            and self.claimed_epsilon is not None
            and not self.epsilon <= self.claimed_epsilon
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return dataclasses.asdict(self)
