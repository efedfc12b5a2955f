"""Queries that a target will not answer by a policy of its own: counted, and never scored."""

from __future__ import annotations

import collections
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from privaudit.audit.validity import LARGEST_DEAD_SHARE
from privaudit.engines.missing import refusal_key
from privaudit.errors import InvalidAuditError
from privaudit.record import Answers, Validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scorer
    from privaudit.samples import Sample

__all__ = ["LeftOut", "check_none_refused", "may_refuse", "without_refused"]


@dataclass(frozen=True)
class LeftOut:
    """A scenario without the samples that somebody will not draw.

    Attributes
    ----------
    experiment
        What is left of it.
    validity
        What was counted, and why nothing can be concluded if it is too much.
    notes
        A sentence for each model that refused.
    """

    experiment: Experiment
    validity: Validity
    notes: list[str]


def may_refuse(scorer: Scorer, experiment: Experiment) -> bool:
    """Tell whether any model of a scenario is one that may have a policy."""
    models = [experiment.calibration.target, experiment.evaluation.target, scorer.base]
    return any(getattr(model, "may_refuse", False) for model in models)


def without_refused(scorer: Scorer, experiment: Experiment) -> LeftOut:
    """Ask all of a scenario's queries, and leave out the samples that one of them was refused for.

    Parameters
    ----------
    scorer
        Asks.
    experiment
        Whom, about whom.
    """
    sets = (experiment.calibration, experiment.evaluation)
    scorer.prefetch(sets)
    found: dict[str, dict[str, list[str]]] = collections.defaultdict(dict)
    asked: dict[str, int] = collections.Counter()
    for labelled in sets:
        models = {labelled.role: labelled.target}
        if scorer.base is not None:
            models["base_model"] = scorer.base
        for name, model in models.items():
            found[name] |= _refused_in(scorer, model, labelled.samples)
            asked[name] += scorer.m * len(labelled.samples)
    gone = {sample for refusals in found.values() for sample in refusals}
    left = [_kept(labelled, gone) for labelled in sets]
    reasons, notes, counted = [], [], {}
    for name, refusals in found.items():
        n = sum(map(len, refusals.values()))
        if not n:
            continue
        counted[f"{name} by {experiment.scenario.words}, refusals"] = Answers(
            n=asked[name], refused=n
        )
        code = collections.Counter(c for codes in refusals.values() for c in codes)
        said = (
            f"{name} refused {n} of {asked[name]} queries by a policy of its own "
            f"({code.most_common(1)[0][0]})"
        )
        members = sum(sample.id in refusals for one in sets for sample in one.members)
        others = len(refusals) - members
        notes.append(f"{said}: {members} members and {others} non-members are left out")
        if n > LARGEST_DEAD_SHARE * asked[name]:
            reasons.append(
                f"{said}, and a model that will not draw what it knows hides whatever it "
                "memorised\nhave the filter turned off for the audit, or audit other samples"
            )
    if not reasons and not all(side for s in left for side in (s.members, s.non_members)):
        reasons.append("after refusals, a set of members or non-members is empty: add samples")
    experiment = replace(experiment, calibration=left[0], evaluation=left[1])
    return LeftOut(experiment, Validity(answers=counted, reasons=reasons), notes)


def _refused_in(scorer: Scorer, model: object, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Return the codes by which a model refused, by the id of the sample."""
    queries = scorer.queries(samples)
    keys = [refusal_key(image) for image in scorer.task(model).keys(queries)[0]]
    said = scorer.store.texts(keys)
    found: dict[str, list[str]] = collections.defaultdict(list)
    for query, key in zip(queries, keys, strict=True):
        if key in said:
            found[query.sample.id].append(said[key])
    return dict(found)


def check_none_refused(scorer: Scorer, *sets: LabelledSet) -> None:
    """Refuse to conclude anything from a sequential audit that was refused a picture.

    It cannot leave samples out: it asks pair by pair, and stops by what it saw.

    Raises
    ------
    InvalidAuditError
        If there was a refusal.
    """
    models = [(labelled.target, labelled.samples) for labelled in sets]
    if scorer.base is not None:
        models += [(scorer.base, labelled.samples) for labelled in sets]
    n = sum(
        len(codes)
        for model, samples in models
        if getattr(model, "may_refuse", False)
        for codes in _refused_in(scorer, model, samples).values()
    )
    if n:
        msg = (
            f"{n} queries were refused by a policy of the service's own, and a sequential audit "
            "cannot leave samples out: run it without --privaudit-sequential, which asks nothing "
            "again"
        )
        raise InvalidAuditError(msg)


def _kept(labelled: LabelledSet, gone: set[str]) -> LabelledSet:
    members, others = (
        [sample for sample in side if sample.id not in gone]
        for side in (labelled.members, labelled.non_members)
    )
    return replace(labelled, members=members, non_members=others)
