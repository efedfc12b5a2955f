"""What an audit found beside an earlier one, its baseline."""

from __future__ import annotations

from datetime import datetime

from privaudit.record.values import (
    Count,
    Counts,
    Interval,
    NearCopies,
    OperatingPoint,
    Share,
    ShareInterval,
    Value,
    Verdict,
)

__all__ = ["BaselineUsed", "Comparison"]


class Comparison(Value):
    """One result beside the same one of the baseline.

    Attributes
    ----------
    auc, interval
        The baseline's AUC, with its bounds as the baseline's audit had them.
    evaluation
        The baseline's evaluated samples.
    change, bounds
        The AUC less the baseline's, and its bounds: as of a result, all lower ones of the audit
        hold together, and so do the upper ones; under the gate ``certify`` each upper one by
        itself.
    p_value
        One-sided, of this result alone, of the hypothesis that the AUC did not rise.
    n_shared, paired
        Evaluated samples that both have, and whether those are all.
    correlation
        Of the two AUCs, by the samples they share.
    detectable
        The smallest rise that so many samples show four times in five.
    provable
        The largest rise that so many samples could show of any model: where it is not over the
        tolerance, nothing could be red, and that is no gate.
    same_model
        Whether it is the baseline's model with the baseline's scores: then nothing changed.
    tpr, near_copies
        The baseline's rates at a false positive rate of 1 %, and the samples that it redrew nearly
        exactly; ``None`` where the baseline has none.
    max_rise, source
        The largest rise accepted, ``None`` where any rise is red that is shown, and where that was
        set.
    verdict
        ``"pass"``; ``"fail"`` where it is shown that the AUC rose too far; ``"inconclusive"``
        where the gate says no and it is not shown, or where so few samples could show nothing.
    """

    auc: Share
    interval: ShareInterval
    evaluation: Counts
    change: float
    bounds: Interval
    p_value: Share
    n_shared: Count
    paired: bool
    correlation: float
    detectable: float
    provable: float
    same_model: bool = False
    tpr: OperatingPoint | None = None
    near_copies: NearCopies | None = None
    max_rise: float | None = None
    source: str = "default"
    verdict: Verdict


class BaselineUsed(Value):
    """The baseline that an audit was compared with.

    Attributes
    ----------
    where
        Its file, or what else it is.
    verdict
        Of the audit that it was made from.
    written, commit, privaudit_version
        When, from which commit, and by which version it was written.
    same_model
        Whether its target has the identity of the target under audit.
    notes
        What a reader of the comparison should know, one sentence each.
    """

    where: str
    verdict: str
    written: datetime
    commit: str | None = None
    privaudit_version: str
    same_model: bool = False
    notes: list[str] = []
