"""What each gate errs and finds, over an audit of twelve correlated results.

``python benchmarks/gates.py`` prints the tables of docs/statistics.md, through the functions that
an audit decides with. All twelve results, four scenarios of three inference models, have the same
true AUC. A sample's scores are correlated: 0.8 within a scenario, 0.4 between two, as the AUCs of
the over-fitted model of audits/ are.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from common import show
from scipy.stats import norm

from privaudit import AuditSettings
from privaudit.audit.scoring import Scores
from privaudit.audit.verdict import decide, decide_fixed, together, worst
from privaudit.record import Answers
from privaudit.statistics import (
    ResultScores,
    false_red_rate,
    samples_for_false_red,
    samples_to_decide,
    simultaneous_lower_bounds,
)

SEED = 20241124
SIZES = (50, 100, 200, 400, 500)
AUCS = (0.5, 0.6, 0.65, 0.7, 0.8)
BUDGET = 0.6
SCENARIOS, ATTACKS = 4, 3
WITHIN, BETWEEN = 0.8, 0.4
GATES = {gate: AuditSettings(gate=gate, budget=BUDGET) for gate in ("point", "certify")}
HEADERS = ["true AUC", "n + n", "audits", "point: red %", "FAIL shown %", "certify: PASS %"]
HEADERS.append("FAIL, max-T over all twelve %")


def audit(draws: np.random.Generator, n: int, auc: float) -> np.ndarray:
    """Draw the scores of n + n samples by scenario and inference model, shape (4, 3, 2n)."""
    common = draws.normal(size=(1, 1, 2 * n))
    scenario = draws.normal(size=(SCENARIOS, 1, 2 * n))
    own = draws.normal(size=(SCENARIOS, ATTACKS, 2 * n))
    scores = math.sqrt(BETWEEN) * common + math.sqrt(WITHIN - BETWEEN) * scenario
    scores = scores + math.sqrt(1 - WITHIN) * own
    scores[..., :n] += norm.ppf(auc) * math.sqrt(2)
    return np.asarray(scores)


def by_id(scores: np.ndarray) -> ResultScores:
    """Return the scores of one result by sample, members first."""
    n = len(scores) // 2
    names = [str(i) for i in range(2 * n)]
    return ResultScores(
        dict(zip(names[:n], scores[:n].tolist(), strict=True)),
        dict(zip(names[n:], scores[n:].tolist(), strict=True)),
    )


def judged(scores: np.ndarray) -> tuple[bool, bool, bool, bool]:
    """Decide one audit: red by ``point``, FAIL, PASS of ``certify``, FAIL if all were known."""
    n = scores.shape[-1] // 2
    point, certified, everything = [], [], {}
    for i, scenario in enumerate(scores):
        results = {str(j): by_id(one) for j, one in enumerate(scenario)}
        among = together(results, SCENARIOS, 0.95)
        for j, one in enumerate(scenario):
            found = Scores(0.0, np.zeros(1), one[:n], one[n:], (Answers(), Answers()))
            for gate, verdicts in (("point", point), ("certify", certified)):
                made = decide_fixed(found, GATES[gate], among)
                # As the check of exchanged sets does: a pass must be one the other way round.
                mirror = decide(1 - made.auc, 1 - made.high, 1 - made.low, BUDGET, gate)
                verdicts.append(made.verdict if mirror == "pass" else worst(made.verdict, mirror))
            everything[f"{i}{j}"] = results[str(j)]
    most = max(simultaneous_lower_bounds(everything).bounds.values())
    return (
        any(verdict != "pass" for verdict in point),
        "fail" in point,
        all(verdict == "pass" for verdict in certified),
        most > BUDGET,
    )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--at-the-budget", type=int, default=1000, help="repetitions there")
    arguments = parser.parse_args()
    rows = []
    for auc in AUCS:
        repetitions = arguments.at_the_budget if auc == BUDGET else arguments.repetitions
        for n in SIZES:
            draws = np.random.default_rng([SEED, n, round(100 * auc)])
            shares = np.mean([judged(audit(draws, n, auc)) for _ in range(repetitions)], axis=0)
            rows.append([auc, n, repetitions, *(f"{100 * share:.1f}" for share in shares)])
            print(*rows[-1], flush=True)
    print(f"\nbudget {BUDGET}, confidence 95 %, {SCENARIOS} × {ATTACKS} results")
    show(rows, HEADERS)
    print("\na clean model, gate point, and the n that decides both ways")
    k = SCENARIOS * ATTACKS
    rows = [
        [
            budget,
            *(f"{100 * false_red_rate(n, n, budget, k, two_sided=True):.1f}" for n in SIZES[:-1]),
            samples_for_false_red(budget, k),
            samples_to_decide(budget, k),
        ]
        for budget in (0.55, 0.6, 0.65, 0.7)
    ]
    headers = ["budget", *(f"red % at {n} + {n}" for n in SIZES[:-1])]
    show(rows, [*headers, "n for 5 %", "n to decide both ways"])


if __name__ == "__main__":
    main()
