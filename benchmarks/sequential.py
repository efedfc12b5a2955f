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
REPETITIONS = 2000
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


def main() -> None:
    """Simulate, and print how often each verdict came, and when."""
    rows = []
    for auc in (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.98):
        draws = np.random.default_rng([SEED, round(auc * 100)])
        shift = norm.ppf(auc) * math.sqrt(2)
        verdicts, pairs, looked = [], [], []
        for _ in range(REPETITIONS):
            members, others = draws.normal(shift, 1, PAIRS), draws.normal(0, 1, PAIRS)
            test = SequentialAUC(BUDGET)
            verdicts.append(test.update(members, others))
            pairs.append(test.n_pairs if test.verdict else math.inf)
            looked.append(peeked((members > others).astype(float)))
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


if __name__ == "__main__":
    main()
