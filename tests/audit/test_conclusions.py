"""What is decided for all results of an audit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.audit.scoring import Scores
from privaudit.audit.verdict import Multiplicity, clean_rate, decide_fixed, together
from privaudit.record import Answers, AuditRecord, Counts, NotCompleted
from privaudit.report.wording import explanation
from privaudit.statistics import ResultScores
from privaudit.store import Store
from privaudit.testing import MemorizingTarget
from tests.parts.encoders import PixelEncoder
from tests.record.test_schema import result

N = 200


def scored(draws: np.random.Generator, common: np.ndarray, weight: float) -> ResultScores:
    values = weight * common + (1 - weight**2) ** 0.5 * draws.normal(size=2 * N)
    ids = [str(i) for i in range(2 * N)]
    return ResultScores(
        dict(zip(ids[:N], values[:N], strict=True)), dict(zip(ids[N:], values[N:], strict=True))
    )


def test_results_that_are_one_cost_what_one_does() -> None:
    draws = np.random.default_rng(0)
    common = draws.normal(size=2 * N)
    reach = {
        weight: together(
            {name: scored(draws, common, weight) for name in "abc"}, 4, 0.95
        ).critical_value
        for weight in (0.0, 0.95, 1.0)
    }
    one, twelve = norm.ppf(1 - 0.05 / 4), norm.ppf(1 - 0.05 / 12)
    assert reach[1.0] == pytest.approx(one, abs=0.02)
    assert one < reach[0.95] < twelve - 0.05
    assert reach[0.0] == pytest.approx(twelve, abs=0.02)


def test_no_result_depends_on_which_is_asked_first(emoji: dict[str, Any]) -> None:
    given = AuditInputs(
        target_model=MemorizingTarget(emoji["member"]),
        members=emoji["member"][:24],
        non_members=emoji["non_member"][:24],
        image_encoder=PixelEncoder(),
        shadow_model=MemorizingTarget(emoji["shadow_member"][:24]),
        shadow_members=emoji["shadow_member"][:24],
        shadow_non_members=emoji["shadow_non_member"][:24],
    )
    settings = AuditSettings(
        duplicate_limit=2, attacks="threshold,distribution", scenarios="I,III", queries=1
    )
    asked = [(s, a) for s in settings.scenarios for a in settings.attacks]
    first, second, alone = (Audit(given, settings, Store(None)) for _ in range(3))
    forwards = {pair: first.result(*pair) for pair in asked}
    backwards = {pair: second.result(*pair) for pair in reversed(asked)}
    assert forwards == backwards
    assert alone.result(*asked[-1]) == forwards[asked[-1]]
    assert {found.verdict for found in forwards.values()} == {"fail"}


def test_a_clean_model_is_said_to_be_red_as_often_as_it_is() -> None:
    draws = np.random.default_rng(1)
    red = 0
    for _ in range(2000):
        values = draws.normal(size=(100, 12))
        ranks = values.argsort(axis=0).argsort(axis=0)
        aucs = (ranks[:50].sum(axis=0) - 50 * 49 / 2) / 2500
        red += aucs.max() > 0.6
    said = clean_rate((50, 50), 0.6, Multiplicity(12, 3, 2.6, 0.0))
    assert red / 2000 == pytest.approx(said, abs=0.03)
    assert clean_rate((50, 50), 0.6, Multiplicity(12, 3, 2.6, 0.0), auc=0.8) < 1e-4
    assert clean_rate((50, 50), 1.0, Multiplicity(12, 3, 2.6, 0.0)) == 0


def test_a_class_that_is_large_enough_is_not_asked_to_grow() -> None:
    draws = np.random.default_rng(0)
    few, many = draws.normal(0.6, 1, 12), draws.normal(0, 1, 900)
    found = Scores(0.0, np.zeros(1), few, many, (Answers(), Answers()))
    among = Multiplicity(1, 1, 1.645, 0.0)
    decision = decide_fixed(found, AuditSettings(), among)
    assert decision.verdict == "inconclusive"
    assert decision.samples_needed is not None
    assert decision.samples_needed.members > 12
    assert decision.samples_needed.non_members == 900
    said = explanation(
        result(
            verdict="inconclusive",
            auc_verdict="inconclusive",
            auc=decision.auc,
            samples_needed=decision.samples_needed,
            evaluation=Counts(members=12, non_members=900),
        )
    )
    assert "distinguishes 12 members from 900 non-members" in said


def test_constant_scores_tell_nothing_and_equal_classes_only_their_size() -> None:
    among = Multiplicity(12, 3, 2.6, 0.0)
    flat = Scores(0.0, np.zeros(1), np.ones(500), np.ones(500), (Answers(), Answers()))
    decision = decide_fixed(flat, AuditSettings(gate="certify"), among)
    assert (decision.low, decision.high, decision.verdict) == (0.0, 1.0, "inconclusive")
    apart = Scores(0.0, np.zeros(1), np.ones(6), np.zeros(6), (Answers(), Answers()))
    decision = decide_fixed(apart, AuditSettings(), among)
    assert decision.verdict == "inconclusive"
    n = decision.samples_needed.members if decision.samples_needed else 0
    enough = Scores(0.0, np.zeros(1), np.ones(n), np.zeros(n), (Answers(), Answers()))
    assert decide_fixed(enough, AuditSettings(), among).verdict == "fail"
    less = Scores(0.0, np.zeros(1), np.ones(n - 1), np.zeros(n - 1), (Answers(), Answers()))
    assert decide_fixed(less, AuditSettings(), among).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("verdicts", "missing", "decision"),
    [
        (["pass", "inconclusive", "fail"], [], "fail"),
        (["pass", "inconclusive"], ["invalid"], "inconclusive"),
        (["pass"], ["skipped"], "pass"),
        (["pass"], ["invalid", "error"], "invalid"),
        (["pass"], ["not run"], "unknown"),
        ([], ["skipped"], "unknown"),
    ],
)
def test_an_audit_is_what_its_worst_result_is(
    verdicts: list[str], missing: list[str], decision: str
) -> None:
    record = AuditRecord(
        name="a",
        results=[result(verdict=verdict) for verdict in verdicts],
        not_completed=[
            NotCompleted(scenario="attack-I", attack="threshold", outcome=o, reason="?")
            for o in missing
        ],
    )
    assert record.verdict == decision
