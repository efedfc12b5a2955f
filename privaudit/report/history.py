"""A history in words: each audit's releases, plotted, and where the AUC stepped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.history.steps import releases
from privaudit.report.forest import Row, forest
from privaudit.report.verdicts import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.history import Entry, Release

__all__ = ["get_verdict", "release_label", "render_history"]

CHANGES = {
    "up": "stepped UP",
    "down": "stepped down",
    "other": "other samples, settings or encoder: not compared with the above",
}


def render_history(entries: Sequence[Entry], result: str | None = None) -> Iterator[str]:
    """Yield, for each audit, a plot of its releases, and a sentence for each step.

    Parameters
    ----------
    entries
        The oldest first.
    result
        Name of the result to follow; by default the highest of each audit's last entry.
    """
    for name, (followed, those) in releases(entries, result).items():
        count = "1 release" if len(those) == 1 else f"{len(those)} releases, the newest last"
        yield f"{name}: {followed}, {count} (*: AUC, -: its bounds, |: the budget)"
        yield from forest([_row(one) for one in those], those[-1].entry.budget)
        steps = [one for one in those if one.change in ("up", "down")]
        for one in steps:
            what = f"{CHANGES[one.change]} at {release_label(one)}"
            yield f"{what}: the bounds do not overlap any more"
        if not steps:
            yield "no step: the bounds overlap (a paired test sees more: --privaudit-baseline)"
        yield ""


def release_label(one: Release) -> str:
    """Return a release's day and commit; outside a repository, the end of the model's identity."""
    commit = one.entry.commit
    dirty = "+" if commit and commit.endswith("-dirty") else ""
    what = commit[:8] + dirty if commit else f"model {one.entry.target[-8:]}"
    return f"{one.entry.ended[:10]} {what}"


def get_verdict(one: Release) -> str:
    """Return the verdict on the result that is followed; of an audit without it, the audit's."""
    return one.entry.verdict if one.past is None else one.past.verdict


def _row(one: Release) -> Row:
    words = [written(get_verdict(one))]
    words += [f"{one.times} times"] if one.times > 1 else []
    words += [CHANGES[one.change]] if one.change else []
    if one.past is None:
        return Row(release_label(one), None, words=", ".join(["no such result", *words]))
    return Row(release_label(one), one.past.auc, one.past.low, one.past.high, ", ".join(words))
