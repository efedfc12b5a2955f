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
        self._needed = -math.log(1 - self.confidence)

    @property
    def auc(self) -> float:
        """Share of pairs won, NaN before the first."""
        return self._won / self.n_pairs if self.n_pairs else math.nan

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
