"""Lower bounds on ε: how often they are too high, and how near they come to the truth.

``python benchmarks/epsilon.py`` prints the two tables of docs/statistics.md: errors over every n
from 60 to 1,200 at a nominal 5 %, and the bounds on a Gaussian mechanism whose ε is 4.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

import numpy as np
from common import show

from privaudit.statistics import Bonferroni, TopShare, epsilon_one_run, least_samples
from privaudit.statistics.gaussian import gaussian_mu

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20241124
SIZES = range(60, 1201)
DELTA = 1e-5
TRUE = 4.0


def constant(_: np.random.Generator, heads: np.ndarray) -> np.ndarray:
    """Scores that say nothing, all the same."""
    return np.zeros(len(heads))


def continuous(draws: np.random.Generator, heads: np.ndarray) -> np.ndarray:
    """Scores that say nothing, none the same."""
    return draws.normal(size=len(heads))


def integers(draws: np.random.Generator, heads: np.ndarray) -> np.ndarray:
    """Scores that say nothing, of five levels."""
    return draws.integers(0, 5, len(heads)).astype(float)


def randomised_response(draws: np.random.Generator, heads: np.ndarray) -> np.ndarray:
    """Two levels, right as often as ε = 1 allows."""
    keep = draws.random(len(heads)) < math.e / (1 + math.e)
    return np.where(keep, heads, ~heads).astype(float)


KINDS = {constant: 0.0, continuous: 0.0, integers: 0.0, randomised_response: 1.0}


def errors(
    kind: Callable[[np.random.Generator, np.ndarray], np.ndarray], repetitions: int
) -> list[str]:
    """Share of bounds above the truth: over all sizes, and at the worst of them."""
    shares = {"any": [], "gaussian": []}
    for n in SIZES:
        draws = np.random.default_rng([SEED, n])
        names = np.array([f"{i}.png" for i in range(n)])
        wrong = dict.fromkeys(shares, 0)
        for _ in range(repetitions):
            heads = draws.random(n) < 0.5
            scores = kind(draws, heads)
            ids = (names[heads].tolist(), names[~heads].tolist())
            for hypothesis, delta in (("any", 0.0), ("gaussian", DELTA)):
                if hypothesis == "gaussian" and KINDS[kind]:
                    continue  # randomised response is no Gaussian mechanism
                bound = epsilon_one_run(
                    scores[heads], scores[~heads], delta=delta, ids=ids, hypothesis=hypothesis
                )
                wrong[hypothesis] += bound.epsilon > KINDS[kind]
        for hypothesis, count in wrong.items():
            shares[hypothesis].append(100 * count / repetitions)
    row = [f"{np.mean(share):.1f} (worst n: {max(share):.0f})" for share in shares.values()]
    return row if not KINDS[kind] else [row[0], "does not apply"]


def tightness(n: int, repetitions: int) -> list[str]:
    """Mean bounds on a Gaussian mechanism that is (4, 1e-5)-private."""
    draws = np.random.default_rng([SEED, n, 1])
    mu, names = gaussian_mu(TRUE, DELTA), np.array([f"{i}.png" for i in range(n)])
    cases = [
        ("any", TopShare()),
        ("any", Bonferroni()),
        ("gaussian", TopShare(0.2)),
        ("gaussian", TopShare()),
        ("gaussian", Bonferroni()),
    ]
    found: list[list[float]] = [[] for _ in cases]
    for _ in range(repetitions):
        heads = draws.random(n) < 0.5
        scores = draws.normal(size=n) + mu * heads
        ids = (names[heads].tolist(), names[~heads].tolist())
        for values, (hypothesis, rule) in zip(found, cases, strict=True):
            bound = epsilon_one_run(
                scores[heads],
                scores[~heads],
                delta=DELTA,
                ids=ids,
                rule=rule,
                hypothesis=hypothesis,
            )
            values.append(bound.epsilon)
    return [
        f"{np.mean(values):.2f} ({np.mean(np.array(values) > TRUE):.0%} over)" for values in found
    ]


def main() -> None:
    """Simulate fair coins and scores, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40, help="at each of 1,141 sizes")
    repetitions = parser.parse_args().repetitions
    rows = [[kind.__name__, *errors(kind, repetitions)] for kind in KINDS]
    print(f"bounds over the truth, %, n = 60 to 1,200, {repetitions} repetitions each")
    show(rows, ["scores", "any", "gaussian"])
    print(f"\nmean bound, Gaussian mechanism, true ε = {TRUE:g}, δ = {DELTA:g}")
    headers = ["n", "any, TopShare", "any, Bonferroni"]
    headers += ["gaussian, TopShare(0.2)", "gaussian, TopShare", "gaussian, Bonferroni"]
    rows = [[n, *tightness(n, r)] for n, r in ((280, 100), (1000, 60), (10_000, 10))]
    show(rows, headers)
    print("\ncoins that could refute a claim, all guesses right, δ = 1e-5")
    rows = [
        [claim, *(least_samples(claim, delta=DELTA, hypothesis=h) for h in ("any", "gaussian"))]
        for claim in (1.0, 2.0, 4.0, 8.0)
    ]
    show(rows, ["claimed ε", "any", "gaussian"])


if __name__ == "__main__":
    main()
