"""Lower bounds on the ε of differential privacy, from who was told from whom.

Both hold only where each sample's membership was decided by an independent fair coin, as
:func:`privaudit.split_by_coin` does, and where the rule that turns scores into guesses was fixed
before the memberships were seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from privaudit.errors import SettingError
from privaudit.statistics.intervals import proportion_interval
from privaudit.statistics.roc import checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["EpsilonBound", "epsilon_from_rates", "epsilon_one_run", "one_run_p_value"]

SHARE = 0.5
"""Share of the samples that the rule ``"surest"`` guesses."""
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the samples that the rule ``"corrected"`` guesses, the surest first."""
LARGEST = 50.0
"""No audit of fewer than 10²¹ samples bounds ε beyond this."""


@dataclass(frozen=True)
class EpsilonBound:
    """A lower bound on ε.

    Attributes
    ----------
    epsilon
        The model is not (ε', δ)-differentially private for any ε' below this; 0 says nothing.
    delta
        The δ it holds at.
    confidence
        The probability that such a bound is right.
    rule
        How the guesses were made, see the function.
    correct, guesses
        Guesses that were right, and how many were made, at the bound reported.
    provable
        What the bound would be had all these guesses been right: no model, however bad, is
        shown to have more by so few samples. NaN of a bound from rates.
    """

    epsilon: float
    delta: float
    confidence: float
    rule: str
    correct: int
    guesses: int
    provable: float = math.nan


def one_run_p_value(correct: int, guesses: int, n: int, epsilon: float, delta: float) -> float:
    r"""Probability that an (ε, δ)-private model lets so many guesses be right.

    With :math:`B \sim \mathrm{Bin}(r, e^\varepsilon/(1+e^\varepsilon))` it is
    :math:`P(B \ge v) + 2 n \delta \max_{1 \le i \le v} P(v - i \le B < v)/i`: Steinke, Nasr &
    Jagielski 2023, theorem 5.2, with r guesses among n coin flips, v of them right.
    """
    chance = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, chance))
    slack = 0.0
    if delta > 0 and correct > 0:
        steps = np.arange(1, correct + 1)
        below = np.cumsum(binom.pmf(correct - steps, guesses, chance))
        slack = float((below / steps).max())
    return min(1.0, tail + 2 * n * delta * slack)


def _one_run(correct: int, guesses: int, n: int, delta: float, error: float) -> float:
    def excess(epsilon: float) -> float:
        return one_run_p_value(correct, guesses, n, epsilon, delta) - error

    if guesses == 0 or excess(0.0) >= 0:
        return 0.0
    return LARGEST if excess(LARGEST) < 0 else float(brentq(excess, 0.0, LARGEST, xtol=1e-6))


def _check(
    delta: float, confidence: float, rule: str, threshold: float | None, rules: tuple[str, ...]
) -> None:
    if not 0 <= delta < 1:
        msg = f"delta={delta!r} is outside [0, 1)"
        raise SettingError(msg)
    if not 0 < confidence < 1:
        msg = f"confidence={confidence!r} is outside (0, 1)"
        raise SettingError(msg)
    if rule not in rules:
        msg = f"rule={rule!r} is unknown: use one of {', '.join(rules)}"
        raise SettingError(msg)
    if rule == "fixed" and threshold is None:
        msg = "rule='fixed' needs a threshold that was chosen on other samples"
        raise SettingError(msg)


def _labelled(
    member_scores: ArrayLike, non_member_scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """All scores, and whose are members'."""
    members, non_members = checked(member_scores, non_member_scores)
    scores = np.concatenate([members, non_members])
    return scores, np.arange(len(scores)) < len(members)


def _halves(n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Halve all samples together, whatever their side: each half's coins are then still fair."""
    order = np.random.default_rng(seed).permutation(n)
    return order[: n // 2], order[n // 2 :]


def epsilon_one_run(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    rule: str = "surest",
    threshold: float | None = None,
    seed: int = 0,
) -> EpsilonBound:
    """Bound ε from one fine-tune (Steinke, Nasr & Jagielski 2023).

    It assumes nothing of the scores: samples may influence one another through the model.

    Parameters
    ----------
    member_scores, non_member_scores
        Scores of all samples whose coin fell on heads, and on tails.
    delta
        In [0, 1).
    confidence
        In (0, 1).
    rule
        ``"surest"``: a quarter of the samples, the highest scores, is guessed members, the
        lowest quarter non-members, and nothing is guessed of the rest. ``"fixed"``: above
        ``threshold`` is guessed a member, all else a non-member. ``"corrected"``: the surest 5,
        10, 20, 50 and 100 % are guessed, the highest scores as members and as many of the
        lowest as non-members, and each of the five bounds gets a fifth of the error.
        ``"split"``: a random half decides which of these shares to guess, and the other half
        is guessed.
    threshold
        Of ``"fixed"``, chosen on other samples.
    seed
        Of the random half.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    SettingError
        If a parameter is out of its range.
    """
    _check(delta, confidence, rule, threshold, ("surest", "fixed", "split", "corrected"))
    scores, labels = _labelled(member_scores, non_member_scores)
    n, error = len(scores), 1 - confidence
    if threshold is not None and rule == "fixed":
        correct, guesses = int(((scores > threshold) == labels).sum()), len(scores)
        found = [(_one_run(correct, guesses, n, delta, error), correct, guesses)]
    elif rule == "surest":
        found = _surest(scores, labels, (SHARE,), delta, error)
    elif rule == "corrected":
        error /= len(SHARES)
        found = _surest(scores, labels, SHARES, delta, error)
    else:
        first, second = _halves(len(scores), seed)
        tried = _surest(scores[first], labels[first], SHARES, delta, error)
        best = max(range(len(SHARES)), key=lambda i: tried[i][0])
        found = _surest(scores[second], labels[second], SHARES[best : best + 1], delta, error)
        n = len(second)
    epsilon, correct, guesses = max(found)
    provable = _one_run(guesses, guesses, n, delta, error)
    return EpsilonBound(epsilon, delta, confidence, rule, correct, guesses, provable)


def _surest(
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    shares: tuple[float, ...],
    delta: float,
    error: float,
) -> list[tuple[float, int, int]]:
    """Bound, correct and made guesses, when the most extreme share of the samples is guessed."""
    # Ties are broken by a hash-like shuffle, not by the order given, which is by membership.
    shuffled = np.random.default_rng(len(scores)).permutation(len(scores))
    order = shuffled[np.argsort(scores[shuffled], kind="stable")]
    found = []
    for share in shares:
        each = int(share * len(scores) / 2)
        low, high = order[:each], order[len(order) - each :]
        correct = int(labels[high].sum() + (~labels[low]).sum())
        found.append((_one_run(correct, 2 * each, len(scores), delta, error), correct, 2 * each))
    return found


def epsilon_from_rates(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    rule: str = "corrected",
    threshold: float | None = None,
    seed: int = 0,
) -> EpsilonBound:
    r"""Bound ε from true and false positive rates, with Clopper–Pearson bounds on each.

    A private model obeys :math:`\mathrm{TPR} \le e^\varepsilon \mathrm{FPR} + \delta`, and the
    same of true and false negatives (Kairouz et al. 2015, theorem 2.1), so
    :math:`\varepsilon \ge \log((\mathrm{TPR}_L - \delta) / \mathrm{FPR}_U)`; the four bounds
    share the error. The counts are taken as binomial, so samples must not influence one
    another's scores. Within one fine-tune that is an approximation:
    :func:`epsilon_one_run` does not need it.

    Parameters
    ----------
    member_scores, non_member_scores, delta, confidence, threshold, seed
        As in :func:`epsilon_one_run`.
    rule
        ``"fixed"``: at ``threshold``. ``"corrected"``: the best of nine thresholds, at the
        deciles of all scores together, each with a ninth of the error. ``"split"``: the
        threshold that is best on a random half, applied to the other.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    SettingError
        If a parameter is out of its range.
    """
    _check(delta, confidence, rule, threshold, ("fixed", "split", "corrected"))
    scores, labels = _labelled(member_scores, non_member_scores)
    error = 1 - confidence
    if rule == "fixed":
        found = [_rates(scores, labels, threshold, delta, error)]  # type: ignore[arg-type]
    elif rule == "corrected":
        deciles = np.quantile(scores, np.arange(1, 10) / 10)
        found = [_rates(scores, labels, float(t), delta, error / len(deciles)) for t in deciles]
    else:
        first, second = _halves(len(scores), seed)
        candidates = np.quantile(scores[first], np.arange(1, 20) / 20)
        tried = [_rates(scores[first], labels[first], float(t), delta, error) for t in candidates]
        best = max(range(len(candidates)), key=lambda i: tried[i][0])
        chosen = float(candidates[best])
        found = [_rates(scores[second], labels[second], chosen, delta, error)]
    epsilon, correct, guesses = max(found)
    return EpsilonBound(epsilon, delta, confidence, rule, correct, guesses)


def _rates(
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    threshold: float,
    delta: float,
    error: float,
) -> tuple[float, int, int]:
    positive = scores > threshold
    m, n = int(labels.sum()), int((~labels).sum())
    hits, alarms = int((positive & labels).sum()), int((positive & ~labels).sum())
    best = 0.0
    if m and n:
        tpr, fpr = (proportion_interval(k, of, 1 - error / 2) for k, of in ((hits, m), (alarms, n)))
        for right, wrong in ((tpr.low, fpr.high), (1 - fpr.high, 1 - tpr.low)):
            if right > delta and wrong > 0:
                best = max(best, math.log((right - delta) / wrong))
    return best, hits + n - alarms, m + n
