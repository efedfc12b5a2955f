"""A budget for how many members may be found at a low false positive rate."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit import AuditSettings
from privaudit.audit.scoring import Scores
from privaudit.audit.verdict import judge_tpr
from privaudit.record import Answers, TprBudget

N = 200


def judged(found: int, *, known: int = 99, results: int = 1, **settings: object) -> TprBudget:
    """Score so many of 200 members above all others; the AUC stays near 0.5."""
    draws = np.random.default_rng(0)
    members, others, calibration = (draws.random(n) for n in (N, N, 2 * known))
    members[:found] = 2
    scores = Scores(0.0, calibration, members, others, (Answers(), Answers()))
    chosen = AuditSettings(max_tpr=0.05, **settings)
    budget = judge_tpr(scores, known, chosen, results)
    assert budget is not None
    return budget


@pytest.mark.parametrize(
    ("gate", "found", "verdict"),
    [
        ("point", 8, "pass"),
        ("point", 12, "inconclusive"),
        ("point", 30, "fail"),
        ("evidence", 12, "pass"),
        ("evidence", 30, "fail"),
        ("certify", 3, "pass"),
        ("certify", 8, "inconclusive"),
        ("certify", 30, "fail"),
    ],
)
def test_the_gate_decides_on_the_share_of_members_found(
    gate: str, found: int, verdict: str
) -> None:
    budget = judged(found, gate=gate)
    assert budget.verdict == verdict
    assert budget.point is not None
    assert budget.point.true_positives >= found


def test_many_results_share_the_error() -> None:
    one, twelve = judged(17), judged(17, results=12)
    assert one.point is not None
    assert twelve.point is not None
    assert twelve.point.tpr.interval.low < one.point.tpr.interval.low
    assert (one.verdict, twelve.verdict) == ("fail", "inconclusive")


def test_what_cannot_be_checked_is_not_green() -> None:
    for gate in ("point", "evidence", "certify"):
        budget = judged(0, known=98, gate=gate)
        assert (budget.verdict, budget.point, budget.needed) == ("inconclusive", None, 99)
    assert judged(0, known=98, at_fpr=0.02).verdict == "pass"


def test_without_a_limit_there_is_no_verdict() -> None:
    scores = Scores(0.0, np.zeros(4), np.ones(4), np.zeros(4), (Answers(), Answers()))
    assert judge_tpr(scores, 2, AuditSettings(), 1) is None
