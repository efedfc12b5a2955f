"""Statistics of two sets of scores, members' and non-members'; higher means more likely member."""

from __future__ import annotations

from privaudit.statistics.roc import OperatingPoint, auc, success_rate, tpr_at_fpr

__all__ = ["OperatingPoint", "auc", "success_rate", "tpr_at_fpr"]
