"""The sequential gate, and a fixed-sample interval looked at after every pair.

``python benchmarks/sequential.py`` prints the table of docs/statistics.md.
"""

from __future__ import annotations

import math

import numpy as np
from common import show
from scipy.stats import norm

from privaudit.statistics import SequentialAUC

SEED = 20241124
REPETITIONS = 1000
CORRECTED = 200
"""Of them, those whose estimate is computed, which takes longer than the gate."""
AUDITS = 200
RESULTS = 12
PAIRS = 500
BUDGET = 0.6


def peeked(outcomes: np.ndarray) -> str | None:
    """Decide by the 95 % normal interval of the mean, after each of 10, 11, … pairs."""
    n = np.arange(1, len(outcomes) + 1)
    mean = outcomes.cumsum() / n
    reach = norm.ppf(0.975) * np.sqrt(np.maximum(mean * (1 - mean), 1e-12) / n)
    fail, good = (mean - reach > BUDGET)[9:], (mean + reach <= BUDGET)[9:]
    first = np.flatnonzero(fail | good)
    return None if len(first) == 0 else "fail" if fail[first[0]] else "pass"


def together(auc: float) -> list[str]:
    """Judge audits of twelve results, each of which may err with a twelfth of 5 %."""
    draws = np.random.default_rng([SEED, round(auc * 100), RESULTS])
    fails = passes = 0
    pairs = []
    for _ in range(AUDITS):
        common, own = draws.normal(size=(2 * PAIRS, 1)), draws.normal(size=(2 * PAIRS, RESULTS))
        scores = math.sqrt(0.6) * common + math.sqrt(0.4) * own
        scores[:PAIRS] += norm.ppf(auc) * math.sqrt(2)
        tests = [SequentialAUC(BUDGET, 1 - 0.05 / RESULTS) for _ in range(RESULTS)]
        for k, test in enumerate(tests):
            test.update(scores[:PAIRS, k], scores[PAIRS:, k])
        verdicts = [test.verdict for test in tests]
        fails += "fail" in verdicts
        passes += all(verdict == "pass" for verdict in verdicts)
        pairs.append(max(test.n_pairs for test in tests))
    return [
        f"{100 * fails / AUDITS:.1f}",
        f"{100 * passes / AUDITS:.1f}",
        f"{np.median(pairs):.0f}",
    ]


def main() -> None:
    """Simulate, and print how often each verdict came, and when."""
    rows: list[list[object]] = []
    estimates: list[list[object]] = []
    for auc in (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.98):
        draws = np.random.default_rng([SEED, round(auc * 100)])
        shift = norm.ppf(auc) * math.sqrt(2)
        verdicts, pairs, looked = [], [], []
        shown: list[tuple[str | None, float, float]] = []
        for repetition in range(REPETITIONS):
            members, others = draws.normal(shift, 1, PAIRS), draws.normal(0, 1, PAIRS)
            test = SequentialAUC(BUDGET)
            verdicts.append(test.update(members, others))
            pairs.append(test.n_pairs if test.verdict else math.inf)
            looked.append(peeked((members > others).astype(float)))
            if repetition < CORRECTED:
                shown.append((test.verdict, test.auc, test.estimate))
        of_fails = [each for each in shown if each[0] == "fail"]
        means = [
            f"{np.mean([each[i] for each in chosen]):.3f}" if len(chosen) > 10 else "too few"
            for chosen in (shown, of_fails)
            for i in (1, 2)
        ]
        estimates.append([auc, *means])
        median = np.median(pairs)
        rows.append(
            [
                auc,
                *(f"{100 * verdicts.count(v) / REPETITIONS:.1f}" for v in ("fail", "pass")),
                f"{median:.0f}" if math.isfinite(median) else f"over {PAIRS}",
                *(f"{100 * looked.count(v) / REPETITIONS:.1f}" for v in ("fail", "pass")),
            ]
        )
    headers = [
        "true AUC",
        "FAIL %",
        "PASS %",
        "median pairs",
        "peeked interval: FAIL %",
        "PASS %",
    ]
    print(f"budget {BUDGET}, confidence 95 %, at most {PAIRS} pairs, {REPETITIONS} repetitions")
    show(rows, headers)
    print(f"\nmean over {CORRECTED} audits: share of pairs won at the stop, and the estimate")
    headers = ["true AUC", "share at the stop", "estimate", "share, of fails", "estimate, of fails"]
    show(estimates, headers)
    print(f"\n{AUDITS} audits of {RESULTS} results, scores correlated 0.6, error shared")
    rows = [[auc, *together(auc)] for auc in (0.5, 0.6, 0.8)]
    headers = ["true AUC", "any FAIL %", "all PASS %", "median pairs"]
    show(rows, headers)


if __name__ == "__main__":
    main()
