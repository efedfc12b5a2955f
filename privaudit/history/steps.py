"""From a history to the releases of each audit, and where the AUC stepped."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privaudit.history.folder import Entry, Past

__all__ = ["Release", "releases"]


class Release(NamedTuple):
    """One model's audit, with the repetitions of it that found the same.

    Attributes
    ----------
    entry
        The first of them.
    past
        The result that is followed; ``None`` where this audit has none of that name.
    times
        How many they are.
    change
        ``"up"`` or ``"down"`` where the bounds do not overlap with those of the release that the
        last change was to, ``"other"`` where samples, settings or encoder are others, so that
        nothing can be compared; otherwise empty.
    """

    entry: Entry
    past: Past | None
    times: int
    change: str


def releases(
    entries: Iterable[Entry], result: str | None = None
) -> dict[str, tuple[str, list[Release]]]:
    """Follow one result of each audit through its releases.

    A step is called one where the bounds of two audits, each with its own confidence, do not
    overlap. That is a cautious test: with bounds of 95 % on each side and independent samples it
    errs in about 1 % of comparisons in each direction, and more rarely where the samples are the
    same. Each release is compared with the one after the last step, so a slow rise is a step too.

    Parameters
    ----------
    entries
        The oldest first.
    result
        Name of the result; by default, of each audit, the one that is highest in its last entry.

    Returns
    -------
    dict
        By the audit's name, the result's and the releases, the oldest first.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    followed = {}
    for name, those in by_name.items():
        last = those[-1].results
        chosen = result or max(last, key=lambda one: last[one].auc)
        followed[name] = (chosen, _releases(those, chosen))
    return followed


def _releases(entries: list[Entry], result: str) -> list[Release]:
    found: list[Release] = []
    reference: Entry | None = None
    for entry in entries:
        past = entry.results.get(result)
        if found and _same(found[-1].entry, entry):
            found[-1] = found[-1]._replace(times=found[-1].times + 1)
            continue
        change = ""
        if reference is not None and past is not None:
            change = _change(reference, entry, result)
        if past is not None and (reference is None or change):
            reference = entry
        found.append(Release(entry, past, 1, change))
    return found


def _same(before: Entry, entry: Entry) -> bool:
    """Tell whether an audit was only repeated."""
    return (before.target, before.comparable, before.results) == (
        entry.target,
        entry.comparable,
        entry.results,
    )


def _change(before: Entry, entry: Entry, result: str) -> str:
    old, new = before.results[result], entry.results[result]
    if before.comparable != entry.comparable:
        return "other"
    if new.low > old.high:
        return "up"
    return "down" if new.high < old.low else ""
