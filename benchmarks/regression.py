"""How often a comparison with a baseline errs and finds, in simulation and on real models.

``python benchmarks/regression.py simulated`` prints a table of docs/regression.md through the
functions that an audit decides with. All twelve results, four scenarios of three inference models,
have one true AUC. A sample's scores are correlated: 0.8 within a scenario, 0.4 between two, and
between two models as the column says.

``python benchmarks/regression.py chain --work DIR`` compares each of six real models with the one
before, see release_chain.py. What there is not yet is fine-tuned and audited, and kept in DIR;
``--models`` does so with some of them alone.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import release_chain
from common import show
from scipy.stats import norm

from privaudit.statistics import ResultScores, change_bounds, change_reach

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

SEED = 20261125
SCENARIOS, ATTACKS = 4, 3
WITHIN, BETWEEN = 0.8, 0.4
CONFIDENCE = 0.95
SIZES = (50, 100, 200, 400)
RISES = ((0.55, 0.55), (0.55, 0.60), (0.55, 0.65), (0.55, 0.75))
ALIKE = (0.0, 0.5, 0.9)
"""Correlations of a sample's scores under the two models; the first is also that of others."""


def scores(draws: np.random.Generator, n: int) -> np.ndarray:
    """Draw scores of unit variance of 2n samples, shape (4, 3, 2n)."""
    common = draws.normal(size=(1, 1, 2 * n))
    scenario = draws.normal(size=(SCENARIOS, 1, 2 * n))
    own = draws.normal(size=(SCENARIOS, ATTACKS, 2 * n))
    drawn = math.sqrt(BETWEEN) * common + math.sqrt(WITHIN - BETWEEN) * scenario
    return np.asarray(drawn + math.sqrt(1 - WITHIN) * own)


def result(values: np.ndarray) -> ResultScores:
    """Return one result's scores by sample id, the first half members."""
    n = len(values) // 2
    names = [str(i) for i in range(2 * n)]
    return ResultScores(
        dict(zip(names[:n], values[:n].tolist(), strict=True)),
        dict(zip(names[n:], values[n:].tolist(), strict=True)),
    )


def rise_is_shown(
    draws: np.random.Generator, n: int, aucs: tuple[float, float], alike: float
) -> bool:
    """Draw two audits of the same samples, and tell whether any of the twelve results rose."""
    shared = scores(draws, n)
    both = []
    for auc in aucs:
        drawn = math.sqrt(alike) * shared + math.sqrt(1 - alike) * scores(draws, n)
        drawn[..., :n] += norm.ppf(auc) * math.sqrt(2)
        both.append(drawn)
    level = 1 - (1 - CONFIDENCE) / SCENARIOS
    for old, new in zip(*both, strict=True):
        pairs = {str(k): (result(old[k]), result(new[k])) for k in range(ATTACKS)}
        reach = change_reach(pairs, level)
        if any(change_bounds(*pair, reach, reach)[0] > 0 for pair in pairs.values()):
            return True
    return False


def simulated(rounds: int) -> None:
    """Print how often a comparison is red."""
    rows = []
    for n in SIZES:
        for aucs in RISES:
            shares = []
            for alike in ALIKE:
                draws = np.random.default_rng([SEED, n, int(100 * alike), int(100 * aucs[1])])
                red = sum(rise_is_shown(draws, n, aucs, alike) for _ in range(rounds))
                shares.append(f"{red / rounds:.1%}")
            rows.append([f"{n} + {n}", *(f"{auc:.2f}" for auc in aucs), rounds, *shares])
    headers = ["samples", "old AUC", "new AUC", "audits", *(f"red, alike {r}" for r in ALIKE)]
    show(rows, headers)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["simulated", "chain"])
    parser.add_argument("--rounds", type=int, default=1000, help="audits of each cell")
    parser.add_argument("--work", type=Path, help="folder of models, images and records")
    parser.add_argument("--models", nargs="+", choices=[*release_chain.MODELS_MADE], default=[])
    recipe = release_chain.Recipe()
    for name, default in recipe._asdict().items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, help=f"default: {default}")
    given = parser.parse_args()
    if given.what == "simulated":
        simulated(given.rounds)
        return
    if given.work is None:
        parser.error("chain keeps models and images: name a folder with --work")
    recipe = recipe._replace(**{name: getattr(given, name) for name in recipe._fields})
    release_chain.make(given.work, recipe, given.models or release_chain.MODELS_MADE)
    release_chain.report(given.work, recipe)
    if not given.models:
        release_chain.check_wiring(recipe)


if __name__ == "__main__":
    main()
