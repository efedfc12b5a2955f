"""One result: a scenario with an inference model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from privaudit.record.comparison import Comparison
from privaudit.record.values import (
    Claim,
    Count,
    Counts,
    DetectableAUC,
    EpsilonBound,
    ExposedMember,
    GroupAUC,
    NearCopies,
    OperatingPoint,
    Rate,
    SequentialPath,
    Share,
    ShareInterval,
    TprBudget,
    Value,
    Verdict,
)

__all__ = ["AttackResult"]


class AttackResult(Value):
    """One scenario with one inference model: what the ``membership_attack`` fixture returns.

    Attributes
    ----------
    scenario
        ``"attack-I"`` to ``"attack-IV"``, ``"img2img"`` or ``"weights"``.
    attack
        The inference model, or the attack with that access, by its name in
        :mod:`privaudit.attacks.registry`.
    auc
        ROC-AUC over the evaluation set; of a sequential audit, an estimate corrected for stopping.
    verdict
        ``"pass"``; ``"reported"`` of an attack with more than text that decides nothing;
        ``"fail"`` where it is shown that the AUC is over the budget, or ε over a claim, or more
        members are found than may be, or that the AUC rose over the baseline's; otherwise
        ``"inconclusive"``, which is as red.
    auc_verdict
        The verdict on the AUC alone.
    interval
        Bounds of the AUC. With this confidence all lower bounds of the audit hold together, and
        so do all upper ones; under the gate ``certify`` each upper bound holds by itself.
    n_results
        Results that the bounds are corrected for: by the largest of the deviations of one
        scenario's results (max-T), with the error split evenly over the scenarios. Of a
        sequential audit, each may err with probability (1 − confidence) / n_results.
    supported
        Whether both bounds are on one side of the budget.
    samples_needed
        Samples that would put them there, if the AUC stays; ``None`` if they are there, or if no
        number is known.
    clean_rate
        How often an audit of a model that leaks nothing has a result at least as high, at most;
        ``None`` within the budget, and of a sequential audit.
    budget, budget_source
        The largest AUC accepted, and where that number was set.
    gate
        ``"point"``, ``"evidence"`` or ``"certify"``.
    evaluation, calibration
        Sizes of the two sets; of a sequential audit, what was used of the first.
    n_queries
        Images this result was computed from, calibration included.
    success_rate
        Accuracy over the evaluation set at ``threshold``, both classes weighing the same.
    threshold
        Decision threshold on the score, fixed on the calibration set.
    operating_points
        Rates at thresholds for low false positive rates; none with fewer than 100 non-members.
    tpr_budget
        What became of a ``max_tpr``, if one was set.
    detectable
        What so many samples can tell.
    sequential
        Of a sequential audit, how it ended.
    epsilon, epsilon_refused
        A lower bound on ε, or why there is none.
    claim
        What a ``privacy_claim`` marker claims.
    near_copies
        How many samples were redrawn nearly exactly; of a sequential audit, and where that was not
        measured, ``None``.
    blocks
        Names of the similarities that the inference model read, where it reads several; the
        paper's three read one, and have none here.
    exposed
        The members who stand out from the non-members one by one, the highest score first: the
        expected share of those named by chance is 1 − confidence at most.
    groups
        The AUC within each group of samples, if groups were given.
    comparison
        How it stands beside the same result of the baseline, if there is one.
    member_scores, non_member_scores
        Score of every evaluation sample, by id.
    """

    scenario: str
    attack: str
    auc: Share
    verdict: Annotated[str, Field(pattern="^(pass|fail|inconclusive|reported)$")]
    auc_verdict: Verdict
    interval: ShareInterval
    n_results: Count
    supported: bool
    samples_needed: Counts | None
    clean_rate: Share | None = None
    budget: Share
    budget_source: str
    gate: Annotated[str, Field(pattern="^(point|evidence|certify)$")]
    evaluation: Counts
    calibration: Counts
    n_queries: Count
    success_rate: Rate
    threshold: float
    operating_points: list[OperatingPoint]
    tpr_budget: TprBudget | None = None
    detectable: DetectableAUC
    sequential: SequentialPath | None = None
    epsilon: EpsilonBound | None = None
    epsilon_refused: str = ""
    claim: Claim | None = None
    near_copies: NearCopies | None = None
    blocks: list[str] = []
    exposed: list[ExposedMember] = []
    groups: list[GroupAUC] = []
    comparison: Comparison | None = None
    member_scores: dict[str, float]
    non_member_scores: dict[str, float]

    @property
    def name(self) -> str:
        """Scenario and inference model, such as ``"attack-I-threshold"``."""
        return f"{self.scenario}-{self.attack}"

    @property
    def claim_exceeded(self) -> bool:
        """Whether ε is bounded above the ε that is claimed."""
        if self.epsilon is None or self.claim is None:
            return False
        return not self.epsilon.epsilon <= self.claim.epsilon

    @property
    def claim_irrefutable(self) -> bool:
        """Whether so few coins could not refute the ε that is claimed, whatever the model."""
        if self.epsilon is None or self.claim is None or self.claim_exceeded:
            return False
        return not self.epsilon.provable > self.claim.epsilon

    def at_fpr(self, target: float) -> OperatingPoint | None:
        """Return the rates at one of the low false positive rates, or ``None``."""
        return next((p for p in self.operating_points if p.target_fpr == target), None)
