"""An AUC against a budget, looked at as often as one likes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincc, betaln

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics.roc import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["SequentialAUC"]

LEAK_PRIOR = (1.0, 1.0)
"""Beta weights of the AUCs above the budget: any leak is as likely as another."""
NO_LEAK_PRIOR = (5.0, 5.0)
"""Beta weights of the AUCs below the budget: a model that does not leak has one near 0.5."""


def _log_evidence(
    total: NDArray[np.float64] | float,
    n: NDArray[np.float64] | float,
    bound: float,
    prior: tuple[float, float],
) -> NDArray[np.float64]:
    r"""Log of the evidence that the mean of n outcomes in [0, 1] is above a bound.

    It is a betting martingale: the likelihood ratio of Bernoulli(p) and Bernoulli(bound), with
    p drawn from a Beta prior cut to (bound, 1]. By convexity of :math:`x \mapsto
    (p/b)^x ((1-p)/(1-b))^{1-x}` its expectation never grows while the mean is at most the bound,
    for any distribution on [0, 1], ties at one half among them (Waudby-Smith & Ramdas 2024,
    section 4; Ville's inequality does the rest).
    """
    a, b = prior
    with np.errstate(divide="ignore"):  # no weight left above the bound: evidence of -inf
        left = np.log(betaincc(a + total, b + n - total, bound))
    return np.asarray(
        betaln(a + total, b + n - total)
        + left
        - betaln(a, b)
        - math.log(betaincc(a, b, bound))
        - total * math.log(bound)
        - (n - total) * math.log1p(-bound)
    )


class SequentialAUC:
    """Decide whether an AUC is over a budget, after as few pairs as it takes.

    The i-th member is paired with the i-th non-member. A pair is won when the member scores
    higher, and half won when they tie; the pairs are independent, and the mean outcome is the
    AUC. Evidence for either side is collected pair by pair, and it may be looked at after each:
    the probability of ever deciding wrongly is at most 1 − confidence, for any true AUC.

    Parameters
    ----------
    budget
        The largest AUC accepted, in (0, 1).
    confidence
        In (0, 1). For k results decided together, give 1 − (1 − confidence) / k.

    Attributes
    ----------
    verdict
        ``"pass"``, ``"fail"``, or ``None`` while undecided. A verdict is final.
    n_pairs
        Pairs it took; pairs given after the verdict are not counted.
    auc
        Share of those pairs won. It is what the verdict rests on, and no estimate: an audit
        stops where chance has carried this share away from the budget. Print ``estimate``.

    Raises
    ------
    SettingError
        If a parameter is out of its range.
    """

    def __init__(self, budget: float, confidence: float = 0.95) -> None:
        for name, value in (("budget", budget), ("confidence", confidence)):
            if not 0 < value < 1:
                msg = f"{name}={value!r} is outside (0, 1)"
                raise SettingError(msg)
        self.budget = float(budget)
        self.confidence = float(confidence)
        self.verdict: Literal["pass", "fail"] | None = None
        self.n_pairs = 0
        self._won = 0.0
        self._tied = 0
        self._needed = -math.log(1 - self.confidence)

    @property
    def auc(self) -> float:
        """Share of pairs won when it stopped, NaN before the first."""
        return self._won / self.n_pairs if self.n_pairs else math.nan

    @property
    def estimate(self) -> float:
        r"""AUC corrected for where it stopped, in [0, 1]; NaN before the first pair.

        The first pair alone is an unbiased estimate, and so is its expectation given the pairs
        it took and the number won (Rao & Blackwell; for sequential plans Girshick, Mosteller &
        Savage 1946): the share, among all orders of outcomes that stop there and not before, of
        those that begin with a pair won. It is unbiased over all audits of a model, those that
        fail and those that do not, whatever the largest number of pairs; with ties nearly so.
        """
        if not self.n_pairs:
            return math.nan
        lost = self.n_pairs - self._won - self._tied / 2
        shares = np.array([lost, self._tied, self._won - self._tied / 2]) / self.n_pairs
        total = round(2 * self._won)
        low, high = _undecided(self.n_pairs - 1, self.budget, self._needed)
        return _expected_first(total, self.n_pairs, shares, low, high)

    @property
    def low(self) -> float:
        """Lower bound of the AUC: it holds, with the confidence, at all times at once."""
        return _bound(self._won, self.n_pairs, self._needed, LEAK_PRIOR)

    @property
    def high(self) -> float:
        """Upper bound of the AUC: it holds, with the confidence, at all times at once."""
        lost = self.n_pairs - self._won
        return 1 - _bound(lost, self.n_pairs, self._needed, NO_LEAK_PRIOR)

    @property
    def pairs_needed(self) -> int | None:
        """Pairs after which it would be decided if the evidence kept growing at its rate.

        ``None`` when it is decided, or when there is no evidence for either side.
        """
        if self.verdict is not None or not self.n_pairs:
            return None
        n, won = self.n_pairs, self._won
        collected = max(
            float(_log_evidence(won, n, self.budget, LEAK_PRIOR)),
            float(_log_evidence(n - won, n, 1 - self.budget, NO_LEAK_PRIOR)),
        )
        return math.ceil(n * self._needed / collected) if collected > 0 else None

    def could_fail(self, n: int) -> bool:
        """Tell whether n pairs, all of them won, would show that the AUC is over the budget."""
        return bool(_log_evidence(n, n, self.budget, LEAK_PRIOR) >= self._needed)

    def update(
        self, member_scores: ArrayLike, non_member_scores: ArrayLike
    ) -> Literal["pass", "fail"] | None:
        """Add pairs, and decide if they allow it.

        Parameters
        ----------
        member_scores, non_member_scores
            Scores of new samples, the same number of each. Their order must not depend on the
            scores.

        Returns
        -------
        ``"pass"``, ``"fail"`` or ``None``

        Raises
        ------
        ScoreError
            If the numbers differ, there are none, or a score is not finite.
        """
        members, non_members = checked(member_scores, non_member_scores)
        if len(members) != len(non_members):
            msg = (
                f"{len(members)} member and {len(non_members)} non-member scores do not pair: "
                "give as many of each"
            )
            raise ScoreError(msg)
        if self.verdict is not None:
            return self.verdict
        outcomes = np.where(members > non_members, 1.0, np.where(members == non_members, 0.5, 0.0))
        won = self._won + np.cumsum(outcomes)
        n = self.n_pairs + np.arange(1.0, len(outcomes) + 1)
        needed = self._needed
        leaks = _log_evidence(won, n, self.budget, LEAK_PRIOR) >= needed
        tight = _log_evidence(n - won, n, 1 - self.budget, NO_LEAK_PRIOR) >= needed
        decided = np.flatnonzero(leaks | tight)
        last = int(decided[0]) if len(decided) else len(outcomes) - 1
        self._won, self.n_pairs = float(won[last]), int(n[last])
        self._tied += int((outcomes[: last + 1] == 0.5).sum())
        if len(decided):
            self.verdict = "fail" if leaks[last] else "pass"
        return self.verdict


def _bound(total: float, n: int, needed: float, prior: tuple[float, float]) -> float:
    """Largest mean that the evidence says is too low; 0 if there is none."""
    if n == 0:
        return 0.0
    mean = total / n

    def excess(bound: float) -> float:
        return float(_log_evidence(total, n, bound, prior)) - needed

    smallest = 1e-12
    if mean <= smallest or excess(smallest) < 0:
        return 0.0
    largest = min(mean, 1 - smallest)
    # With every pair won there may be evidence against all but 1 itself.
    return largest if excess(largest) >= 0 else float(brentq(excess, smallest, largest, xtol=1e-6))


def _undecided(n: int, budget: float, needed: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Smallest and largest doubled number of pairs won that decide nothing, after 1 … n pairs."""
    pairs = np.arange(1.0, n + 1)

    def first(decides: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> NDArray[np.intp]:
        # Bisection of all at once; what decides at one number decides at each above it.
        low, high = np.full(n, -1), (2 * pairs + 1).astype(int)
        while (high - low > 1).any():
            middle = (low + high) // 2
            over = decides(middle / 2)
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return high

    leaks = first(lambda won: _log_evidence(won, pairs, budget, LEAK_PRIOR) >= needed)
    tight = first(lambda lost: _log_evidence(lost, pairs, 1 - budget, NO_LEAK_PRIOR) >= needed)
    return (2 * pairs).astype(int) - tight + 1, leaks - 1


def _expected_first(
    total: int,
    n: int,
    shares: NDArray[np.float64],
    low: NDArray[np.intp],
    high: NDArray[np.intp],
) -> float:
    """Expect the first outcome, given that n outcomes add up to half the total and stop there.

    Paths are weighted by the shares of outcomes lost, tied and won; without ties all paths that
    end at one place weigh the same, whatever the shares.
    """
    reached = np.zeros(2 * n + 1)
    reached[:3] = shares
    begun = reached.copy()
    begun[:3] *= (0.0, 0.5, 1.0)
    for i in range(n - 1):
        left, right = max(int(low[i]), 0), min(int(high[i]), 2 * (i + 1)) + 1
        for paths in (reached, begun):
            window = paths[left:right].copy()
            paths[:] = 0.0
            paths[left : right + 2] = np.convolve(window, shares)
        scale = reached[left : right + 2].sum()
        reached /= scale
        begun /= scale
    return float(begun[total] / reached[total])
