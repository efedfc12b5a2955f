"""How often a lower bound on epsilon is above 0 although nothing leaks, at a nominal 5 %.

``python benchmarks/epsilon.py`` prints the table of docs/statistics.md.
"""

from __future__ import annotations

import numpy as np
from common import show

from privaudit.statistics import epsilon_from_rates, epsilon_one_run

SEED = 20241124
REPETITIONS = 10_000
RULES = {
    epsilon_one_run: ("surest", "fixed", "split", "corrected"),
    epsilon_from_rates: ("fixed", "split", "corrected"),
}


def main() -> None:
    """Simulate fair coins and scores that know nothing of them."""
    rows = []
    for bound, rules in RULES.items():
        for rule in rules:
            row = [bound.__name__, rule]
            for n in (100, 1000):
                draws = np.random.default_rng([SEED, n])
                above = 0
                for repetition in range(REPETITIONS):
                    heads = draws.random(2 * n) < 0.5
                    scores, calibration = draws.normal(size=2 * n), draws.normal(size=n)
                    found = bound(
                        scores[heads],
                        scores[~heads],
                        delta=0.0,
                        rule=rule,
                        threshold=float(np.median(calibration)) if rule == "fixed" else None,
                        seed=repetition,
                    )
                    above += found.epsilon > 0
                row.append(f"{100 * above / REPETITIONS:.1f}")
            rows.append(row)
    headers = ["bound", "rule", "n = 100+100: above 0, %", "n = 1000+1000: above 0, %"]
    print(f"delta 0, confidence 95 %, {REPETITIONS} repetitions")
    show(rows, headers)


if __name__ == "__main__":
    main()
