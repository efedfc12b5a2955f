r"""One-run auditing of f-differential privacy: a bound for mechanisms that are Gaussian.

Mahloujifar, Melis & Chaudhuri 2024, "Auditing f-differential privacy in one run". With m coins
and r guesses let :math:`p_t` be the probability that exactly t guesses are right, and let
:math:`\bar f(x) = 1 - f(x)` be the largest probability an event of probability x may rise to when
one sample is flipped. Their theorem (for two-sided coins, T = all counts of at least j) says

.. math:: \sum_{t \ge j} \frac{t}{m} p_t \le
          \bar f\Big(\sum_{t \ge j - 1} \frac{r - t}{m} p_t\Big).

With :math:`G_j = P(\text{at least } j)` and :math:`A_j = \sum_{t > j} G_t`, summation by parts
gives the smallest :math:`G_{j-1}` that the counts above it allow:

.. math:: G_{j-1} \ge \frac{m \bar f^{-1}((j G_j + A_j)/m) + G_j + A_j}{r - j + 1}.

It grows with each :math:`G_t`, so one walk from :math:`G_v = \alpha` down to 0 decides: where it
passes 1, v right guesses have a probability under :math:`\alpha` and f is refuted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["gaussian_delta", "gaussian_epsilon", "gaussian_mu", "largest_refuted", "refuted"]

LARGEST_MU = 12.0
"""Means this far apart are told apart by anything: no audit asks for more."""
GRID, ROUNDS = 33, 4
"""Each round refutes a grid of means at once and goes on between two of them: 12 / 32⁴ left."""


def gaussian_delta(epsilon: float, mu: float) -> float:
    r"""Return the smallest δ at which a Gaussian mechanism is (ε, δ)-private.

    :math:`\Phi(-\varepsilon/\mu + \mu/2) - e^\varepsilon \Phi(-\varepsilon/\mu - \mu/2)`: Dong,
    Roth & Su 2022, corollary 2.13; μ is sensitivity over noise.
    """
    if mu <= 0:
        return 0.0
    far = epsilon + float(log_ndtr(-epsilon / mu - mu / 2))
    return max(0.0, float(ndtr(-epsilon / mu + mu / 2)) - math.exp(far))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the smallest ε at which a Gaussian mechanism is (ε, δ)-private; infinite at δ = 0."""
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    if delta == 0:
        return math.inf
    largest = mu * mu / 2 + mu * 40  # beyond it even the first term is under 1e-300
    return float(brentq(lambda e: gaussian_delta(e, mu) - delta, 0.0, largest, xtol=1e-9))


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the largest μ whose Gaussian mechanism is (ε, δ)-private."""
    if delta == 0:
        return 0.0
    return float(brentq(lambda mu: gaussian_delta(epsilon, mu) - delta, 1e-9, 1e3, xtol=1e-9))


def refuted(
    correct: int, guesses: int, n: int, mu: NDArray[np.float64], error: float
) -> NDArray[np.bool_]:
    """Tell which Gaussian mechanisms let so many guesses be right with less than the error.

    Parameters
    ----------
    correct, guesses, n
        Right guesses, guesses, and coins.
    mu
        Mechanisms, of any shape.
    error
        In (0, 1).
    """
    share = np.full(mu.shape, error)
    above = np.zeros(mu.shape)
    for j in range(correct, 0, -1):
        rise = ndtr(ndtri(np.minimum((j * share + above) / n, 1.0)) - mu)
        least = (n * rise + share + above) / (guesses - j + 1)
        above = above + share
        share = np.maximum(share, least)
        if (share > 1).all():
            break
    return np.asarray(share > 1)


def largest_refuted(correct: int, guesses: int, n: int, error: float) -> float:
    """Return the largest μ that so many right guesses refute, 0 if none."""
    low, high = 0.0, LARGEST_MU
    for _ in range(ROUNDS):
        grid = np.linspace(low, high, GRID)
        too_small = refuted(correct, guesses, n, grid, error)
        if too_small.all():
            return high
        first = int(np.argmin(too_small))
        if first == 0:
            return low
        low, high = float(grid[first - 1]), float(grid[first])
    return low
