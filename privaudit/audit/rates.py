"""Success rate and operating points, at thresholds that were fixed on the calibration set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit import statistics
from privaudit.audit.verdict import decide
from privaudit.record import Interval, OperatingPoint, Rate, TprBudget

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.audit.scoring import Scores
    from privaudit.settings import AuditSettings

__all__ = ["judge_tpr", "rates"]

LOW_FPR_TARGETS = (0.01, 0.001)


def rates(
    scores: Scores, n_calibration_members: int, confidence: float
) -> tuple[Rate, list[OperatingPoint]]:
    """Return success rate and operating points, at thresholds fixed on the calibration set."""
    members, non_members = scores.members, scores.non_members
    success = statistics.success_rate_interval(members, non_members, scores.threshold, confidence)
    known = _known(scores, n_calibration_members)
    points = []
    for target in LOW_FPR_TARGETS:
        if len(non_members) * target < 1 - 1e-9:
            continue
        threshold = statistics.threshold_at_fpr(known, target)
        if threshold is not None:
            points.append(_operating_point(members, non_members, target, threshold, confidence))
    return _rate(success.estimate, success.low, success.high, confidence), points


def _known(scores: Scores, n_calibration_members: int) -> NDArray[np.float64]:
    return scores.calibration[n_calibration_members:]


def judge_tpr(
    scores: Scores, n_calibration_members: int, settings: AuditSettings, n_results: int
) -> TprBudget | None:
    """Decide on the share of members that is found at a low false positive rate.

    The gate is that of the AUC: ``point`` looks at the share, ``evidence`` at its lower bound,
    ``certify`` at its upper one. Bounds are Clopper and Pearson's, one-sided; the lower one's
    error is shared by all results (Bonferroni).

    Parameters
    ----------
    scores, n_calibration_members
        The scores, and how many of those of the calibration set are members'.
    settings
        With ``max_tpr``, ``at_fpr``, gate and confidence.
    n_results
        Results that are decided together.

    Returns
    -------
    TprBudget or None
        ``None`` if no ``max_tpr`` is set.
    """
    limit, target = settings.max_tpr, settings.at_fpr
    if limit is None:
        return None
    threshold = statistics.threshold_at_fpr(_known(scores, n_calibration_members), target)
    point, verdict = None, "inconclusive"
    if threshold is not None:
        alone = settings.gate == "certify"
        error = 1 - settings.confidence
        sides = scores.members, scores.non_members
        lower = _operating_point(*sides, target, threshold, 1 - 2 * error / n_results)
        upper = _operating_point(*sides, target, threshold, 1 - 2 * error) if alone else lower
        low, high = lower.tpr.interval.low, upper.tpr.interval.high
        verdict = decide(lower.tpr.value, low, high, limit, settings.gate)
        tpr = _rate(lower.tpr.value, low, high, settings.confidence)
        point = lower.model_copy(update={"tpr": tpr})
    return TprBudget(
        max_tpr=limit,
        source=settings.source("max_tpr"),
        at_fpr=target,
        needed=statistics.least_for_fpr(target),
        point=point,
        verdict=verdict,
    )


def _operating_point(
    members: NDArray[np.float64],
    non_members: NDArray[np.float64],
    target: float,
    threshold: float,
    confidence: float,
) -> OperatingPoint:
    at = statistics.rates_at(members, non_members, threshold)
    tpr = statistics.proportion_interval(at.true_positives, len(members), confidence)
    fpr = statistics.proportion_interval(at.false_positives, len(non_members), confidence)
    return OperatingPoint(
        target_fpr=target,
        threshold=threshold,
        tpr=_rate(at.tpr, tpr.low, tpr.high, confidence),
        fpr=_rate(at.fpr, fpr.low, fpr.high, confidence),
        true_positives=at.true_positives,
        false_positives=at.false_positives,
    )


def _rate(value: float, low: float, high: float, confidence: float) -> Rate:
    return Rate(value=value, interval=Interval(low=low, high=high, confidence=confidence))
