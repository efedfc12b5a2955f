"""Success rate and operating points, at thresholds that were fixed on the calibration set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit import statistics
from privaudit.record import Interval, OperatingPoint, Rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.audit.scoring import Scores

__all__ = ["rates"]

LOW_FPR_TARGETS = (0.01, 0.001)


def rates(
    scores: Scores, n_calibration_members: int, confidence: float
) -> tuple[Rate, list[OperatingPoint]]:
    """Return success rate and operating points, at thresholds fixed on the calibration set."""
    members, non_members = scores.members, scores.non_members
    success = statistics.success_rate_interval(members, non_members, scores.threshold, confidence)
    known = scores.calibration[n_calibration_members:]
    points = []
    for target in LOW_FPR_TARGETS:
        if len(non_members) * target < 1 - 1e-9:
            continue
        threshold = statistics.threshold_at_fpr(known, target)
        if threshold is not None:
            points.append(_operating_point(members, non_members, target, threshold, confidence))
    return _rate(success.estimate, success.low, success.high, confidence), points


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
