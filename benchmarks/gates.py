"""What each gate errs and finds, over an audit of twelve correlated results.

``python benchmarks/gates.py`` prints the tables of docs/statistics.md, through the functions that
an audit calls. All twelve results have the same true AUC; two results' scores of a sample are
correlated (0.6).
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.stats import norm
from tabulate import tabulate

from privaudit.statistics import (
    ResultScores,
    auc_exceeds,
    false_red_rate,
    iut_upper_bounds,
    samples_to_decide,
    simultaneous_lower_bounds,
)

SEED = 20241124
SIZES = (50, 100, 200, 400, 500)
AUCS = (0.5, 0.6, 0.65, 0.7, 0.8)
BUDGET = 0.6
K = 12
CORRELATION = 0.6
RANKS = 6 / math.pi * math.asin(CORRELATION / 2)
"""Correlation of the AUCs, near 1/2: that of the scores' ranks (Pearson 1907)."""


def audit(draws: np.random.Generator, n: int, auc: float) -> dict[str, ResultScores]:
    """Draw twelve results of n + n samples."""
    common, own = draws.normal(size=(2 * n, 1)), draws.normal(size=(2 * n, K))
    scores = math.sqrt(CORRELATION) * common + math.sqrt(1 - CORRELATION) * own
    scores[:n] += norm.ppf(auc) * math.sqrt(2)
    ids = [str(i) for i in range(2 * n)]
    return {
        str(k): ResultScores(
            dict(zip(ids[:n], scores[:n, k], strict=True)),
            dict(zip(ids[n:], scores[n:, k], strict=True)),
        )
        for k in range(K)
    }


def rates(n: int, auc: float, repetitions: int) -> list[str]:
    """Share of audits that are red by ``point``, shown to fail, and certified."""
    draws = np.random.default_rng([SEED, n, round(100 * auc)])
    red = fail = passed = 0
    for _ in range(repetitions):
        results = audit(draws, n, auc)
        red += any(
            auc_exceeds(list(r.members.values()), list(r.non_members.values()), BUDGET)
            for r in results.values()
        )
        fail += max(simultaneous_lower_bounds(results).bounds.values()) > BUDGET
        passed += max(iut_upper_bounds(results).bounds.values()) <= BUDGET
    return [f"{100 * count / repetitions:.1f}" for count in (red, fail, passed)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=150)
    parser.add_argument("--at-the-budget", type=int, default=800, help="repetitions there")
    arguments = parser.parse_args()
    rows = []
    for auc in AUCS:
        repetitions = arguments.at_the_budget if auc == BUDGET else arguments.repetitions
        for n in SIZES:
            rows.append([auc, n, repetitions, *rates(n, auc, repetitions)])
            print(*rows[-1], flush=True)
    print(f"\nbudget {BUDGET}, confidence 95 %, {K} results, correlation {CORRELATION} of scores")
    headers = ["true AUC", "n + n", "audits", "point: red %", "FAIL shown %", "certify: PASS %"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))
    print("\na clean model, gate point, and the n that decides both ways")
    rows = [
        [
            budget,
            *(f"{100 * false_red_rate(n, n, budget, K, RANKS):.1f}" for n in SIZES[:-1]),
            samples_to_decide(budget, K, RANKS),
            samples_to_decide(budget, K),
        ]
        for budget in (0.55, 0.6, 0.65, 0.7)
    ]
    headers = ["budget", *(f"red % at {n} + {n}" for n in SIZES[:-1])]
    headers += [f"n to decide, {K} results", "n to decide, independent"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
