"""Who is exposed: single members, and groups of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.errors import SampleError
from privaudit.record import Counts, ExposedMember, GroupAUC, Interval
from privaudit.samples import Canaries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = ["exposed", "group_aucs", "groups_of"]

LEAST = 2
"""Samples of each class from which a group has an AUC with an interval."""


def exposed(
    members: Mapping[str, float], non_members: Mapping[str, float], confidence: float
) -> list[ExposedMember]:
    """Name the members who stand out, the highest score first.

    Parameters
    ----------
    members, non_members
        Scores by id.
    confidence
        One less the expected share of those named by chance.
    """
    scores = list(members.values())
    others = list(non_members.values())
    p_values = statistics.member_p_values(scores, others)
    named = statistics.exposed_members(scores, others, 1 - confidence)
    found = [
        ExposedMember(id=name, score=score, p_value=float(p))
        for (name, score), p, is_named in zip(members.items(), p_values, named, strict=True)
        if is_named
    ]
    return sorted(found, key=lambda one: (-one.score, one.id))


def group_aucs(
    members: Mapping[str, float],
    non_members: Mapping[str, float],
    groups: Mapping[str, str],
    confidence: float,
) -> list[GroupAUC]:
    """Compute the AUC within each group of samples.

    Parameters
    ----------
    members, non_members
        Scores by id.
    groups
        The group of each sample, by id; a sample without one is in none.
    confidence
        Of the intervals of all groups together (Bonferroni).

    Returns
    -------
    list of GroupAUC
        In the order of their names; of a group with fewer than two members or two non-members
        there is no AUC.
    """
    names = sorted(set(groups.values()), key=lambda name: (len(name), name))
    sides = [
        {
            name: [s for key, s in side.items() if groups.get(key) == name]
            for name in groups.values()
        }
        for side in (members, non_members)
    ]
    enough = [name for name in names if min(len(side[name]) for side in sides) >= LEAST]
    found = []
    for name in names:
        inside, outside = (np.asarray(side[name], dtype=np.float64) for side in sides)
        bounds = None
        if name in enough:
            level = 1 - (1 - confidence) / len(enough)
            bounds = statistics.auc_interval(inside, outside, level)
        found.append(
            GroupAUC(
                group=name,
                evaluation=Counts(members=len(inside), non_members=len(outside)),
                auc=None if bounds is None else bounds.auc,
                interval=None
                if bounds is None
                else Interval(low=bounds.low, high=bounds.high, confidence=confidence),
            )
        )
    return found


def groups_of(given: Any, samples: Sequence[Sample], coin_split: Any) -> dict[str, str]:
    """Return the group of each sample, by id.

    Parameters
    ----------
    given
        What the user says: a mapping from ids; ``None`` for nothing.
    samples
        The audit's members and non-members.
    coin_split
        Canaries are grouped by their exposure, if nothing else was said.

    Raises
    ------
    SampleError
        If it is no mapping, or knows no sample of the audit.
    """
    if given is None:
        exposures = coin_split.exposures if isinstance(coin_split, Canaries) else {}
        return {name: f"exposure {times}" for name, times in exposures.items()}
    ids = {sample.id for sample in samples}
    if not isinstance(given, Mapping) or not ids & set(given):
        msg = (
            f"sample_groups is a {type(given).__name__} that knows none of {len(ids)} samples: "
            "return a dictionary from the id of each sample to its group"
        )
        raise SampleError(msg)
    return {str(name): str(group) for name, group in given.items() if group is not None}
