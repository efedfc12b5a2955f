"""One decision for all results of an audit: bounds that hold together."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics.intervals import auc_bound, placements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "ResultScores",
    "SimultaneousBounds",
    "correlations_of",
    "influences",
    "largest_deviation",
    "sides",
    "simultaneous_lower_bounds",
]

DRAWS = 40_000
"""Of the largest deviation: its 95 % point is then known to 0.1 % of the error."""


@dataclass(frozen=True)
class ResultScores:
    """Scores of one result, by sample id.

    Attributes
    ----------
    members, non_members
        Score of each sample. An id that several results share is the same sample in all.
    """

    members: Mapping[str, float]
    non_members: Mapping[str, float]


@dataclass(frozen=True)
class SimultaneousBounds:
    """One-sided bounds of the AUCs of an audit's results.

    Attributes
    ----------
    bounds
        The bound of each result, by its name, in [0, 1].
    confidence
        The probability that all of them hold at once.
    critical_value
        How many standard errors they are away from the estimates.
    correlation
        Mean correlation of two results' AUCs, estimated from the samples they share; 0 for a
        single result, and where the estimate is below 0.
    """

    bounds: dict[str, float]
    confidence: float
    critical_value: float
    correlation: float


def _check(k: int, confidence: float) -> None:
    if not k:
        msg = "0 results: there is nothing to bound"
        raise ScoreError(msg)
    if not 0.5 <= confidence < 1:
        msg = f"confidence={confidence!r} is outside [0.5, 1)"
        raise SettingError(msg)


def sides(result: ResultScores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return members' and non-members' scores as arrays, in the order of the mappings."""
    return tuple(  # type: ignore[return-value]
        np.fromiter(side.values(), dtype=np.float64)
        for side in (result.members, result.non_members)
    )


def simultaneous_lower_bounds(
    results: Mapping[str, ResultScores], confidence: float = 0.95, seed: int = 0
) -> SimultaneousBounds:
    r"""Bound the AUCs of all results from below, so that all bounds hold at once.

    The number of standard errors between estimate and bound is the quantile of the largest of
    the k deviations, found by the Gaussian multiplier method: each sample gets one standard
    normal weight :math:`\xi`, the same in all results, and a result deviates by
    :math:`\sum_i \xi_i (V_{10}(i) - A)/m + \sum_j \xi_j (V_{01}(j) - A)/n` with DeLong's
    placements V (Chernozhukov, Chetverikov & Kato 2013, with the influence function of the AUC).
    Given the scores these are normal with a known covariance, from which they are drawn. Results
    that tell the same samples apart deviate together, and then the price of asking k times is
    far below that of k independent questions (Bonferroni), which it never exceeds.

    Each bound itself is :func:`privaudit.statistics.auc_bound`: on the logit scale, with the
    variance that is kept from being too small.

    Parameters
    ----------
    results
        Scores of each result that is decided, by its name. Results that were skipped do not
        belong here: they would widen the bounds of the others.
    confidence
        In [0.5, 1).
    seed
        Of the draws.

    Raises
    ------
    ScoreError
        If there is no result, a class has fewer than two scores, or one is not finite.
    SettingError
        If ``confidence`` is outside [0.5, 1).

    Examples
    --------
    >>> scores = ResultScores({"a": 3.0, "b": 1.0, "c": 2.5}, {"d": 0.0, "e": 2.0, "f": 1.5})
    >>> both = simultaneous_lower_bounds({"I": scores, "II": scores})
    >>> alone = simultaneous_lower_bounds({"I": scores})
    >>> round(both.correlation, 6), both.bounds["I"] >= alone.bounds["I"] - 0.005
    (1.0, True)
    """
    _check(len(results), confidence)
    correlations = _correlations(results)
    critical = largest_deviation(correlations, confidence, seed)
    bounds = {
        name: auc_bound(*sides(result), critical, lower=True) for name, result in results.items()
    }
    return SimultaneousBounds(bounds, confidence, critical, _mean(correlations))


def largest_deviation(correlations: NDArray[np.float64], confidence: float, seed: int = 0) -> float:
    """Return the quantile of the largest of correlated standard normal deviations.

    It is at least that of one of them, and at most Bonferroni's.

    Parameters
    ----------
    correlations
        Shape (k, k).
    confidence
        In [0.5, 1).
    seed
        Of the draws.

    Raises
    ------
    ScoreError
        If k is 0.
    SettingError
        If ``confidence`` is outside [0.5, 1).
    """
    k = len(correlations)
    _check(k, confidence)
    single = float(norm.ppf(confidence))
    if k == 1:
        return single
    bonferroni = float(norm.ppf(1 - (1 - confidence) / k))
    values, vectors = np.linalg.eigh(correlations)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = _weights(seed, k) @ root.T
    largest = float(np.quantile(draws.max(axis=1), confidence, method="higher"))
    return min(max(largest, single), bonferroni)


def _mean(correlations: NDArray[np.float64]) -> float:
    k = len(correlations)
    return max(0.0, float(correlations[~np.eye(k, dtype=bool)].mean())) if k > 1 else 0.0


@functools.lru_cache(maxsize=2)
def _weights(seed: int, k: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((DRAWS, k))


def _correlations(results: Mapping[str, ResultScores]) -> NDArray[np.float64]:
    return correlations_of([influences(result) for result in results.values()])


def influences(result: ResultScores) -> dict[str, float]:
    """Return by how much each sample moves the AUC away from its expectation, by id.

    Raises
    ------
    ScoreError
        If a class has fewer than two scores, or one is not finite.
    """
    return {
        name: float(value)
        for scores, places in zip(
            (result.members, result.non_members), placements(*sides(result)), strict=True
        )
        for name, value in zip(scores, (places - places.mean()) / len(places), strict=True)
    }


def correlations_of(columns: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the correlations of statistics, each given by what every sample moves it by.

    One that no sample moves is taken as independent of the others.
    """
    rows: dict[str, int] = {}
    for column in columns:
        for name in column:
            rows.setdefault(name, len(rows))
    influence = np.zeros((len(rows), len(columns)))
    for place, column in enumerate(columns):
        influence[[rows[name] for name in column], place] = list(column.values())
    covariance = influence.T @ influence
    spread = np.sqrt(np.diag(covariance))
    scale = np.where(spread > 0, spread, 1.0)
    correlations = np.asarray(covariance / np.outer(scale, scale))
    np.fill_diagonal(correlations, 1.0)
    return correlations
