"""What an audit costs on machines we do not have: every assumption is a name below.

``python benchmarks/cost.py`` prints the tables of docs/cost.md.
"""

from __future__ import annotations

import math

import numpy as np
from common import show
from scipy.stats import norm

from privaudit.statistics import SequentialAUC

SECONDS_AN_IMAGE = {"SD 1.5, 512 px": 1.178, "SDXL, 1024 px": 3.31}
"""30 steps, bfloat16, SDPA, batches of one, one A100 80 GB: measured by the authors of diffusers
(``sayakpaul/sample-datasets``, ``collated_results_sdv15.csv``; diffusers' fast_diffusion page)."""
OVERHEAD = 1.05
"""An audit's time over generation alone: the most that benchmarks/throughput.py may find."""
EFFICIENCY = 0.85
"""Share of n workers' speed that n workers reach: 1.7 of 2, the least that
benchmarks/ray_workers.py may find."""
START_SECONDS = 120
"""To start the workers and load the model on each."""
BATCH = 16
"""Queries in a batch; the last batch of a worker may be alone."""
DOLLARS_A_GPU_HOUR = 1.5
"""A100 80 GB on demand, the middle of what was listed in 2026 ($0.80 to $3.00)."""
N, M, CALIBRATION = 1000, 3, 60
"""Members, and as many non-members; images a sample; known members of attack-I and II."""
CHUNK = BATCH // (2 * M) * 2 * M
"""Queries of a chunk of the sequential gate: the whole pairs in a batch."""
BUDGET, RESULTS, CONFIDENCE = 0.6, 12, 0.95
GPUS = (1, 8, 64)
REPETITIONS = 400


def median_pairs(auc: float) -> int:
    """Pairs until the sequential gate decides, at the confidence of one of twelve results."""
    draws = np.random.default_rng(round(100 * auc))
    shift = norm.ppf(auc) * math.sqrt(2)
    found = []
    for _ in range(REPETITIONS):
        test = SequentialAUC(BUDGET, 1 - (1 - CONFIDENCE) / RESULTS)
        test.update(draws.normal(shift, 1, N), draws.normal(0, 1, N))
        found.append(test.n_pairs if test.verdict else N)
    return int(np.median(found))


def images() -> dict[str, tuple[int, int]]:
    """Distinct images of each kind of audit: those known beforehand, and those asked in turn.

    A sequential audit has a chunk of pairs for every worker drawn at a time, and judges them
    one by one: what is drawn beyond the decision is paid for and not used.
    """
    fixed = 2 * N * M
    known = 2 * CALIBRATION * M
    return {
        # I and III ask the target the same, as do II and IV; so do both of the shadow.
        "fixed gate, all twelve results": (4 * fixed, 0),
        "fixed gate, attack-I and II": (2 * fixed, 0),
        "sequential, AUC 0.9: red after attack-I": (known, 2 * M * median_pairs(0.9)),
        "sequential, AUC 0.7: red after attack-I": (known, 2 * M * median_pairs(0.7)),
        "sequential, AUC 0.5: attack-I and II pass": (
            2 * known,
            4 * M * median_pairs(0.5),
        ),
    }


def hours(known: int, in_turn: int, seconds: float, gpus: int) -> float:
    """Wall time, of whole batches and the slowest worker."""
    drawn = math.ceil(known / BATCH / gpus) * BATCH + math.ceil(in_turn / CHUNK / gpus) * CHUNK
    efficiency = 1.0 if gpus == 1 else EFFICIENCY
    return (START_SECONDS + drawn / efficiency * seconds * OVERHEAD) / 3600


def main() -> None:
    """Print one table a model."""
    audits = images()
    for model, seconds in SECONDS_AN_IMAGE.items():
        rows = []
        for audit, (known, in_turn) in audits.items():
            row = [audit, f"{known + in_turn:,}"]
            for gpus in GPUS:
                took = hours(known, in_turn, seconds, gpus)
                row.append(f"{took:.2f} h, ${took * gpus * DOLLARS_A_GPU_HOUR:.2f}")
            rows.append(row)
        print(f"\n{model}\n")
        headers = ["audit", "images", *(f"{n} GPU{'s' if n > 1 else ''}" for n in GPUS)]
        show(rows, headers)
    pairs = ", ".join(f"{median_pairs(auc)} at an AUC of {auc}" for auc in (0.9, 0.7, 0.5))
    print(f"\nMedian pairs until the sequential gate decides: {pairs}.")


if __name__ == "__main__":
    main()
