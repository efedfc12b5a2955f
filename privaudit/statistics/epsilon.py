"""Lower bounds on the ε of differential privacy, from who was told from whom.

All hold only where each sample's membership was decided by an independent fair coin, as
:func:`privaudit.split_by_coin` does, and where the rule that turns scores into guesses was fixed
before the memberships were seen.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc
from scipy.stats import binom

from privaudit.errors import SettingError
from privaudit.statistics import gaussian
from privaudit.statistics.guesses import Bonferroni, Fixed, Rule, make_guesses
from privaudit.statistics.intervals import proportion_interval
from privaudit.statistics.roc import rates_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    Bound = Callable[[int, int, int, float, float], float]

__all__ = [
    "EpsilonBound",
    "epsilon_from_rates",
    "epsilon_one_run",
    "least_samples",
    "one_run_p_value",
]

Hypothesis = Literal["any", "gaussian"]
"""``"any"``: every (ε, δ)-private mechanism (Steinke et al. 2023). ``"gaussian"``: the mechanism
adds Gaussian noise, as DP-SGD does, and only its amount is in doubt (Mahloujifar et al. 2024)."""
LARGEST = 50.0
"""No audit of fewer than 10²¹ samples bounds ε beyond this."""
MOST_SAMPLES = {"any": 1_000_000, "gaussian": 30_000}
"""Where :func:`least_samples` stops to search."""
STEP = 1.25
"""By how much more it tries next."""


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
        How the guesses were made.
    hypothesis
        What the bound takes for granted of the mechanism: ``"any"`` nothing, ``"gaussian"`` that
        its noise is Gaussian.
    correct, guesses
        Guesses that were right, and how many were made, at the bound reported.
    provable
        What the bound would be had all guesses been right: no model, however bad, is shown to
        have more by so few samples. NaN of a bound from rates.
    """

    epsilon: float
    delta: float
    confidence: float
    rule: Rule
    hypothesis: Hypothesis
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
    tail = float(bdtrc(correct - 1, guesses, chance))
    slack = 0.0
    if delta > 0 and correct > 0:
        steps = np.arange(1, correct + 1)
        below = np.cumsum(binom.pmf(correct - steps, guesses, chance))
        slack = float((below / steps).max())
    return min(1.0, tail + 2 * n * delta * slack)


@functools.lru_cache(maxsize=4096)
def _any(correct: int, guesses: int, n: int, delta: float, error: float) -> float:
    def excess(epsilon: float) -> float:
        return one_run_p_value(correct, guesses, n, epsilon, delta) - error

    if guesses == 0 or excess(0.0) >= 0:
        return 0.0
    return LARGEST if excess(LARGEST) < 0 else float(brentq(excess, 0.0, LARGEST, xtol=1e-6))


@functools.lru_cache(maxsize=4096)
def _gaussian(correct: int, guesses: int, n: int, delta: float, error: float) -> float:
    # No Gaussian mechanism is (ε, 0)-private, so at δ = 0 any amount of it refutes all.
    mu = gaussian.largest_refuted(correct, guesses, n, error) if 2 * correct > guesses else 0.0
    return min(LARGEST, gaussian.gaussian_epsilon(mu, delta))


BOUNDS: dict[str, Bound] = {"any": _any, "gaussian": _gaussian}


def _check(delta: float, confidence: float, hypothesis: str) -> None:
    if not 0 <= delta < 1:
        msg = f"delta={delta!r} is outside [0, 1)"
        raise SettingError(msg)
    if not 0 < confidence < 1:
        msg = f"confidence={confidence!r} is outside (0, 1)"
        raise SettingError(msg)
    if hypothesis not in BOUNDS:
        msg = f"hypothesis={hypothesis!r} is unknown: use {' or '.join(map(repr, BOUNDS))}"
        raise SettingError(msg)
    if hypothesis == "gaussian" and delta == 0:
        msg = "no Gaussian mechanism is private at delta=0: use a delta above 0, such as 1e-5"
        raise SettingError(msg)


def epsilon_one_run(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    *,
    delta: float,
    ids: tuple[Sequence[str], Sequence[str]] | None = None,
    confidence: float = 0.95,
    rule: Rule = Bonferroni(),  # noqa: B008  # frozen
    hypothesis: Hypothesis = "any",
) -> EpsilonBound:
    """Bound ε from one fine-tune, on who was guessed right.

    It assumes nothing of the scores: samples may influence one another through the model.

    Parameters
    ----------
    member_scores, non_member_scores
        Scores of all samples whose coin fell on heads, and on tails.
    delta
        In [0, 1).
    ids
        The samples' ids, members' and non-members', by which equal scores are ordered. Without
        them ties count as wrong guesses.
    confidence
        In (0, 1).
    rule
        Who is guessed, see :mod:`privaudit.statistics.guesses`.
    hypothesis
        ``"any"``: the bound of Steinke, Nasr & Jagielski 2023, for every mechanism.
        ``"gaussian"``: that of Mahloujifar, Melis & Chaudhuri 2024 for mechanisms with Gaussian
        noise, which is larger, and says nothing of a model fine-tuned without noise except that
        no such noise explains it.

    Raises
    ------
    ScoreError
        If a class is empty, a score is not finite, or the ids do not name each score once.
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> bound = epsilon_one_run([3.0] * 50, [1.0] * 50, delta=0.0)
    >>> round(bound.epsilon, 2), bound.correct, bound.guesses
    (2.83, 80, 80)
    """
    _check(delta, confidence, hypothesis)
    tries = make_guesses(member_scores, non_member_scores, rule, ids)
    n, error = np.size(member_scores) + np.size(non_member_scores), (1 - confidence) / len(tries)
    bound = BOUNDS[hypothesis]
    epsilon, correct, made = max(
        (bound(each.correct, each.made, n, delta, error), each.correct, each.made) for each in tries
    )
    provable = max(bound(made, made, n, delta, error) for made in {each.made for each in tries})
    return EpsilonBound(epsilon, delta, confidence, rule, hypothesis, correct, made, provable)


def least_samples(
    claim: float,
    *,
    delta: float,
    confidence: float = 0.95,
    rule: Rule = Bonferroni(),  # noqa: B008  # frozen
    hypothesis: Hypothesis = "any",
) -> int | None:
    """Return how many coins could refute a claim of ε, if every guess were right.

    Parameters
    ----------
    claim
        ε, above 0.
    delta, confidence, rule, hypothesis
        As in :func:`epsilon_one_run`.

    Returns
    -------
    int or None
        ``None`` when no number up to a million (30,000 with ``"gaussian"``) could.

    Raises
    ------
    SettingError
        If a parameter is out of its range.

    Examples
    --------
    >>> least_samples(1.0, delta=0.0, rule=Bonferroni((1.0,)))
    10
    """
    _check(delta, confidence, hypothesis)
    if not 0 < claim < LARGEST:
        msg = f"claim={claim!r} is outside (0, {LARGEST:g})"
        raise SettingError(msg)
    mu = np.array([gaussian.gaussian_mu(claim, delta)]) if hypothesis == "gaussian" else None

    def refutable(n: int) -> bool:
        tries = [made for made in rule.tries(n) if made]
        error = (1 - confidence) / len(rule.tries(n))
        if mu is None:
            return any(one_run_p_value(made, made, n, claim, delta) < error for made in tries)
        return any(bool(gaussian.refuted(made, made, n, mu, error)[0]) for made in tries)

    # More coins also make the δ-term larger, so what refutes may be a window: small steps.
    low, high = 1, 2
    while not refutable(high):
        low, high = high, max(high + 1, int(high * STEP))
        if high > MOST_SAMPLES[hypothesis]:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refutable(middle) else (middle, high)
    return high


def epsilon_from_rates(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    *,
    threshold: float,
    delta: float,
    confidence: float = 0.95,
    rule: Literal["fixed"] = "fixed",
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
    member_scores, non_member_scores, delta, confidence
        As in :func:`epsilon_one_run`.
    threshold
        Above it is a member; chosen on other samples.
    rule
        ``"fixed"``, the only one.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    SettingError
        If a parameter is out of its range.
    """
    _check(delta, confidence, "any")
    if rule != "fixed":
        msg = f"rule={rule!r} is unknown: rates are bounded at a fixed threshold"
        raise SettingError(msg)
    at = rates_at(member_scores, non_member_scores, threshold)
    m, n = np.size(member_scores), np.size(non_member_scores)
    level = 1 - (1 - confidence) / 2
    tpr = proportion_interval(at.true_positives, m, level)
    fpr = proportion_interval(at.false_positives, n, level)
    epsilon = 0.0
    for right, wrong in ((tpr.low, fpr.high), (1 - fpr.high, 1 - tpr.low)):
        if right > delta and wrong > 0:
            epsilon = max(epsilon, math.log((right - delta) / wrong))
    correct = at.true_positives + n - at.false_positives
    return EpsilonBound(epsilon, delta, confidence, Fixed(threshold), "any", correct, m + n)
