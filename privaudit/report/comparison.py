"""A comparison with a baseline, in words and as a table."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from privaudit.report.tables import render_table
from privaudit.report.verdicts import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.record import AttackResult, AuditRecord, Comparison

__all__ = ["change_headline", "change_lines", "change_reason"]

COLUMNS = (
    ("scenario", "left"),
    ("attack", "left"),
    ("old", "right"),
    ("new", "right"),
    ("change", "right"),
    ("bounds", "right"),
    ("TPR @ 1% FPR", "right"),
    ("near copies", "right"),
    ("verdict", "left"),
)
DISPENSABLE = ("TPR @ 1% FPR", "near copies", "bounds")
ALIKE = 0.8
"""Correlation of two AUCs for which the cost of other samples is told."""


def change_reason(result: AttackResult) -> str:
    """Say why a change is red, numbers first; nothing if it is not, or if there is none."""
    found = result.comparison
    if found is None or found.verdict == "pass":
        return ""
    low, high = found.bounds.low, found.bounds.high
    rise = (
        f"AUC {result.auc:.3f}, and {found.auc:.3f} in the baseline: a change of "
        f"{found.change:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    limit, source = _limit(found)
    who = f"{result.scenario} by {result.attack}"
    if found.verdict == "fail":
        return f"{rise}, shown to be over {limit} ({source}): {who}, {_basis(result, found)}"
    n, old = result.evaluation, found.evaluation
    certify = result.gate == "certify" and found.max_rise is not None
    if certify or found.provable > (found.max_rise or 0.0):
        shown = "a rise is shown, and " if low > 0 else ""
        return (
            f"{rise}: {shown}not that it is within {limit} ({source}): {who}, "
            f"{_basis(result, found)}"
        )
    return (
        f"{n.members}+{n.non_members} samples beside {old.members}+{old.non_members} could not "
        f"show a rise over {limit} ({source}), whatever the model: {who} would never fail; add "
        "samples, or compare fewer scenarios or inference models"
    )


def _limit(found: Comparison) -> tuple[str, str]:
    if found.max_rise is None:
        return "0", "no max_rise is set"
    return f"max_rise {found.max_rise:g}", found.source


def _basis(result: AttackResult, found: Comparison) -> str:
    """Say what the bounds rest on."""
    shared = "the same samples" if found.paired else f"{found.n_shared} samples in common"
    together = f", {result.n_results} results together" if result.n_results > 1 else ""
    return (
        f"with {found.bounds.confidence:.0%} confidence{together}, on {shared} "
        f"(p = {found.p_value:.2g} alone)"
    )


def change_headline(audit: AuditRecord) -> list[str]:
    """Say how many results changed for the worse, for the sentence that heads an audit."""
    found = [result.comparison for result in audit.results if result.comparison is not None]
    if not found:
        return []
    risen = sum(one.verdict == "fail" for one in found)
    undecided = sum(one.verdict == "inconclusive" for one in found)
    doubt = f", {undecided} inconclusive" if undecided else ""
    return [f"{risen} of {len(found)} over the baseline{doubt}"]


def change_lines(audit: AuditRecord, width: int = 120) -> Iterator[str]:
    """Yield what stands beside a baseline, a line for each result, wrapped to a width."""
    used = audit.baseline
    compared = [(r, r.comparison) for r in audit.results if r.comparison is not None]
    if used is None or not compared:
        return
    model = "the same model" if used.same_model else "another model"
    commit = f", commit {used.commit[:12]}" if used.commit else ""
    head = (
        f"beside baseline {used.where} of {used.written:%Y-%m-%d} (privaudit "
        f"{used.privaudit_version}{commit}; {model}):"
    )
    yield from textwrap.wrap(head, width)
    yield from render_table([_row(*each) for each in compared], COLUMNS, DISPENSABLE, width)
    for line in (_legend(*compared[0]), *_cost([each for _, each in compared]), *used.notes):
        yield from textwrap.wrap(line, width)


def _row(result: AttackResult, found: Comparison) -> dict[str, str]:
    new_tpr, copies, before = result.at_fpr(0.01), result.near_copies, found.near_copies
    tpr = [f"{at.tpr.value:.1%}" if at else "-" for at in (found.tpr, new_tpr)]
    counts = [str(n.members) if n else "-" for n in (before, copies)]
    return {
        "scenario": result.scenario,
        "attack": result.attack,
        "old": f"{found.auc:.3f}",
        "new": f"{result.auc:.3f}",
        "change": f"{found.change:+.3f}",
        "bounds": f"{found.bounds.low:+.3f} to {found.bounds.high:+.3f}",
        "TPR @ 1% FPR": " -> ".join(tpr) if tpr != ["-", "-"] else "n < 100",
        "near copies": " -> ".join(counts) if counts != ["-", "-"] else "not known",
        "verdict": written(found.verdict),
    }


def _legend(result: AttackResult, found: Comparison) -> str:
    sure = f"with {found.bounds.confidence:.0%} confidence"
    lower = f"the {result.n_results} lower bounds hold together {sure}"
    if result.n_results == 1:
        lower = f"each bound holds {sure}"
    rule = "red where the lower bound is over 0"
    if found.max_rise is not None:
        limit = f"max_rise {found.max_rise:g} ({found.source})"
        rule = {
            "point": f"red where the change is over {limit} and its lower bound over 0",
            "evidence": f"red where the lower bound is over {limit}",
            "certify": f"green where the upper bound is within {limit}",
        }[result.gate]
    return f"{rule}; {lower}"


def _cost(compared: list[Comparison]) -> Iterator[str]:
    """Say what a comparison could show, and what other samples cost."""
    least = max(one.detectable for one in compared)
    rise = f"a rise of {least:.3f} or more is shown with 80 % power"
    if all(one.paired for one in compared):
        yield f"paired, on the same samples: {rise}"
        return
    shared = min(one.n_shared for one in compared)
    whose = max(one.evaluation.members + one.evaluation.non_members for one in compared)
    paired = least * ((1 - ALIKE) / (1 - min(one.correlation for one in compared))) ** 0.5
    yield (
        f"not paired, {shared} of the baseline's {whose} samples are among these: {rise}; on the "
        f"same samples about {paired:.3f}, if the two AUCs are correlated by {ALIKE}"
    )
