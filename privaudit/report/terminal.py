"""The table in pytest's terminal summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.report.log import AuditLog

__all__ = ["render"]

HEADERS = ("scenario", "attack", "AUC", "success rate", "TPR @ 1% FPR", "n", "verdict")


def _row(result: dict[str, Any]) -> list[str]:
    tpr = result["tpr_at_1_percent_fpr"]
    return [
        result["scenario"],
        result["attack"],
        f"{result['auc']:.3f}",
        f"{result['attack_success_rate']:.1%}",
        "n < 100" if tpr is None else f"{tpr:.1%}",
        f"{result['n_members']}+{result['n_non_members']}",
        result["verdict"].upper() if result["verdict"] == "fail" else result["verdict"],
    ]


def render(log: AuditLog) -> Iterator[str]:
    """Yield the lines of the summary: a table for each audit, then what was not completed.

    ``n`` is members+non-members evaluated; ``n < 100`` says that there are too few non-members
    to observe a false positive rate of 1 %.
    """
    from tabulate import tabulate

    for audit in log.audits():
        yield f"{audit['name']}: budget {audit['budget']:g} ({audit['budget_source']})"
        if audit["results"]:
            rows = [_row(result) for result in audit["results"]]
            align = ("left", "left", "right", "right", "right", "right", "left")
            table = tabulate(rows, HEADERS, disable_numparse=True, colalign=align)
            yield from table.splitlines()
        reasons: dict[tuple[str, str], list[str]] = {}
        for item in audit["not_completed"]:
            label = f"{item['scenario']}-{item['attack']}"
            reasons.setdefault((item["outcome"], item["reason"]), []).append(label)
        for (outcome, reason), labels in reasons.items():
            yield f"{outcome}: {', '.join(labels)}: {reason}"
        yield ""
    completed = log.counts()["completed"]
    if completed == 0:
        yield f"no audit was completed: {len(log)} items, 0 results; nothing is known of any model"
    yield from log.notes
