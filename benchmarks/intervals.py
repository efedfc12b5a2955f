"""Coverage of AUC intervals at a nominal 95 %: ours, plain Wald DeLong, and ``confidenceinterval``.

``python benchmarks/intervals.py`` prints the table of docs/statistics.md. The last column needs
``pip install --no-deps confidenceinterval`` (it pins a setuptools that torch refuses).
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from common import show
from scipy.stats import norm

from privaudit.statistics import auc_interval

SEED = 20241124
SIZES = (10, 30, 100, 1000)
AUCS = (0.5, 0.6, 0.8, 0.95, 0.98)


def normal(draws: np.random.Generator, auc: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normals of one width, as far apart as the AUC says."""
    return draws.normal(norm.ppf(auc) * math.sqrt(2), 1, n), draws.normal(0, 1, n)


def skewed(draws: np.random.Generator, auc: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two exponentials, the members' with the longer tail."""
    return draws.exponential(auc / (1 - auc), n), draws.exponential(1, n)


def main() -> None:
    """Simulate, and print the share of intervals that hold the true AUC."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=4000, help="a fifth of it at n = 1000")
    wanted = parser.parse_args().repetitions
    try:
        from confidenceinterval import roc_auc_score as theirs
    except ImportError:
        theirs = None
    rows = []
    for name, scores in (("normal", normal), ("skewed", skewed)):
        for n in SIZES:
            for auc in AUCS:
                draws = np.random.default_rng([SEED, n, round(auc * 100)])
                repetitions = wanted // 5 if n == max(SIZES) else wanted
                held = np.zeros(3)
                for _ in range(repetitions):
                    members, others = scores(draws, auc, n)
                    ours = auc_interval(members, others)
                    held[0] += ours.low <= auc <= ours.high
                    reach = norm.ppf(0.975) * ours.standard_error
                    held[1] += abs(ours.auc - auc) <= reach
                    if theirs is not None:
                        labels = np.arange(2 * n) < n
                        _, (low, high) = theirs(labels, np.r_[members, others])
                        held[2] += low <= auc <= high
                shares = [f"{100 * share:.1f}" for share in held / repetitions]
                rows.append([name, n, auc, *(shares if theirs else shares[:2])])
    headers = ["scores", "n + n", "AUC", "privaudit %", "Wald DeLong %", "confidenceinterval %"]
    show(rows, headers[: len(rows[0])])


if __name__ == "__main__":
    main()
