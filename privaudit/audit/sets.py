"""The sets of one scenario: who calibrates, who is evaluated, on which model, in which words."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.record import SampleSet
from privaudit.samples import Canaries, check_disjoint, check_set, split_by_coin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privaudit.audit.plan import Unmade
    from privaudit.audit.threat_models import Scenario
    from privaudit.captioners import Captioner
    from privaudit.samples import Sample
    from privaudit.store import Store
    from privaudit.targets import Target

__all__ = [
    "Experiment",
    "LabelledSet",
    "check_sets",
    "count_asked",
    "groups_of",
    "n_evaluated",
    "sample_set",
    "split_auxiliary",
    "split_calibration",
    "write_captions",
]


CAPTIONED_AT_ONCE = 16


@dataclass(frozen=True)
class LabelledSet:
    """Members and non-members, and the target they are asked of.

    Attributes
    ----------
    target
        Who answers.
    members, non_members
        What it was, and was not, fine-tuned on.
    role
        What a record calls it, such as ``"target_model"``.
    """

    target: Target | Unmade
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    role: str = field(default="target_model", kw_only=True)

    @property
    def samples(self) -> list[Sample]:
        """Members, then non-members."""
        return [*self.members, *self.non_members]

    @property
    def names(self) -> tuple[str, str]:
        """What a record calls members and non-members of a shadow model."""
        return self.role.replace("model", "members"), self.role.replace("model", "non_members")


@dataclass(frozen=True)
class Experiment:
    """What one scenario asks.

    Attributes
    ----------
    scenario
        What its attacker knows.
    calibration, evaluation
        The two labelled sets, which share no sample.
    prompts
        The text to ask with, by sample id.
    """

    scenario: Scenario
    calibration: LabelledSet
    evaluation: LabelledSet
    prompts: Mapping[str, str]

    @property
    def samples(self) -> list[Sample]:
        """Calibration samples, then evaluation samples."""
        return [*self.calibration.samples, *self.evaluation.samples]


def count_asked(experiment: Experiment, m: int, *, base: bool) -> Counter[str]:
    """Count the images that each model is asked for in one scenario.

    Parameters
    ----------
    experiment
        Whom it asks about.
    m
        Query budget.
    base
        Whether the base model is asked, too.
    """
    asked: Counter[str] = Counter()
    for labelled in (experiment.calibration, experiment.evaluation):
        for name in (labelled.role, *(("base_model",) if base else ())):
            asked[f"{name} by {experiment.scenario.words}"] += m * len(labelled.samples)
    return asked


def check_sets(calibration: LabelledSet, evaluation: LabelledSet, *, captions: bool) -> None:
    """Refuse to evaluate what calibrated, or what the shadow model that calibrates was given.

    Parameters
    ----------
    calibration, evaluation
        The two labelled sets of an experiment.
    captions
        Whether the attacker asks with captions, which a shadow model's samples must then have.

    Raises
    ------
    SampleError
        If a set of the shadow model is unusable, or two sets share a sample or an image.
    """
    if calibration.role != evaluation.role:
        sides = calibration.names
        check_set(sides[0], calibration.members, captions=captions)
        check_set(sides[1], calibration.non_members, captions=captions)
        check_disjoint(sides[0], calibration.members, sides[1], calibration.non_members)
    check_disjoint(
        "the calibration set", calibration.samples, "the evaluation set", evaluation.samples
    )


def write_captions(
    captioner: Captioner, samples: Sequence[Sample], batch_size: int | None, store: Store
) -> dict[str, str]:
    """Have a captioner write the text that an attacker without captions asks with.

    The true captions stay behind: the captioner sees images alone.

    Parameters
    ----------
    captioner
        From images to captions.
    samples
        Whose images it sees.
    batch_size
        Images in one call; ``None`` for 16.
    store
        Where its captions are kept.

    Returns
    -------
    dict
        Captions by sample id.

    Raises
    ------
    CaptionerError
        If it raises, or writes no usable caption.
    """
    from privaudit.captioners import captioner_identity, checked_captions

    identity, persistent = captioner_identity(captioner)
    keys = {s.digest: fingerprint_values(caption=s.digest, captioner=identity) for s in samples}
    images = {keys[sample.digest]: sample.image for sample in samples}
    at_once = batch_size or CAPTIONED_AT_ONCE

    def write(absent: list[str]) -> Iterator[dict[str, str]]:
        for start in range(0, len(absent), at_once):
            part = absent[start : start + at_once]
            captions = checked_captions(captioner, [images[key] for key in part], at_once)
            yield dict(zip(part, captions, strict=True))

    found = store.complete_texts(list(images), write, persistent=persistent)
    return {sample.id: found[keys[sample.digest]] for sample in samples}


def split_auxiliary(
    auxiliary: Sequence[Sample],
    members: Sequence[Sample],
    non_members: Sequence[Sample],
    seed: int,
) -> tuple[list[Sample], list[Sample]]:
    """Decide by fair coins which auxiliary samples a shadow model is to be fine-tuned on.

    Parameters
    ----------
    auxiliary
        Samples like the target's.
    members, non_members
        The audit's samples, with which the auxiliary ones must share nothing.
    seed
        Seed of the coins.

    Returns
    -------
    shadow members, shadow non-members

    Raises
    ------
    SampleError
        If the sets are unusable; this is found before the fine-tuning starts.
    """
    check_set("auxiliary_samples", auxiliary)
    check_disjoint(
        "members and non_members", [*members, *non_members], "auxiliary_samples", auxiliary
    )
    heads, tails = split_by_coin(auxiliary, seed)
    if not heads or not tails:
        msg = (
            f"{len(auxiliary)} auxiliary_samples gave {len(heads)} shadow members and "
            f"{len(tails)} non-members: supply more"
        )
        raise SampleError(msg)
    return heads, tails


def _n_known(n_members: int, calibration: float) -> int:
    return round(calibration * n_members) if calibration < 1 else int(calibration)


def n_evaluated(
    what: Scenario, n_members: int, n_non_members: int, calibration: float
) -> tuple[int, int]:
    """Count the members and non-members that are left to evaluate.

    Parameters
    ----------
    what
        The scenario.
    n_members, n_non_members
        All samples of the audit.
    calibration
        As of :func:`split_calibration`.
    """
    known = _n_known(n_members, calibration) if what.knows_members else 0
    return max(0, n_members - known), max(0, n_non_members - known)


def split_calibration(
    members: Sequence[Sample], non_members: Sequence[Sample], calibration: float, seed: int
) -> tuple[list[Sample], list[Sample], list[Sample], list[Sample]]:
    """Choose which samples the attacker of scenarios I and II calibrates on.

    Parameters
    ----------
    members, non_members
        All samples of the audit.
    calibration
        How many members the attacker knows: a share below 1, or a whole number from 1. As many
        non-members join them.
    seed
        Seed of the choice, which depends on the ids only.

    Returns
    -------
    calibration members, calibration non-members, evaluation members, evaluation non-members

    Raises
    ------
    SampleError
        If nothing would be left to evaluate, or nothing to calibrate on.
    """
    known = _n_known(len(members), calibration)
    least = min(len(members), len(non_members))
    if not 0 < known < least:
        msg = (
            f"{len(members)} members and {len(non_members)} non-members cannot be split: "
            f"calibrating on {known} of each leaves none to evaluate or none to calibrate on; "
            "add samples or change --privaudit-calibration"
        )
        raise SampleError(msg)
    parts: list[list[Sample]] = []
    for name, samples in (("members", members), ("non-members", non_members)):
        ids = sorted(sample.id for sample in samples)
        chosen = set(random.Random(f"{seed}/{name}").sample(ids, known))  # noqa: S311
        parts.append([sample for sample in samples if sample.id in chosen])
        parts.append([sample for sample in samples if sample.id not in chosen])
    return parts[0], parts[2], parts[1], parts[3]


def sample_set(samples: Iterable[Sample]) -> SampleSet:
    """Count a set of samples, and hash their ids, captions and pixels, in whatever order."""
    rows = sorted((sample.id, sample.caption, sample.digest) for sample in samples)
    return SampleSet(count=len(rows), digest=fingerprint_values(samples=rows))


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
