"""The sets of an audit: who calibrates, who is evaluated, on which model, in which words.

A calibration set and an evaluation set never share a sample.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.record import SampleSet
from privaudit.samples import (
    Canaries,
    CoinSplit,
    as_samples,
    check_disjoint,
    check_set,
    split_by_coin,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.plan import Unmade
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.captioners import Captioner
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Target

__all__ = [
    "AuditSamples",
    "LabelledSet",
    "Sets",
    "check_sets",
    "count_images",
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
class Sets:
    """The two sets of one threat model, and the words it asks with.

    Attributes
    ----------
    threat_model
        What the attacker knows.
    calibration, evaluation
        The two labelled sets, which share no sample.
    prompts
        The text to ask with, by sample id.
    """

    threat_model: ThreatModel
    calibration: LabelledSet
    evaluation: LabelledSet
    prompts: Mapping[str, str]

    @property
    def samples(self) -> list[Sample]:
        """Calibration samples, then evaluation samples."""
        return [*self.calibration.samples, *self.evaluation.samples]

    @property
    def labelled(self) -> tuple[LabelledSet, LabelledSet]:
        """The calibration set and the evaluation set."""
        return self.calibration, self.evaluation


class AuditSamples:
    """The members and non-members of one audit: ordered, checked and split once.

    Parameters
    ----------
    inputs
        What the user supplied.
    settings
        How many of them calibrate, and the seed of that choice.
    """

    def __init__(self, inputs: AuditInputs, settings: AuditSettings) -> None:
        self._inputs, self._settings = inputs, settings
        self._checked = False

    @functools.cached_property
    def members(self) -> list[Sample]:
        """The members, in an order that no hash seed decides."""
        return as_samples("members", self._inputs.members)

    @functools.cached_property
    def non_members(self) -> list[Sample]:
        """The non-members, likewise."""
        return as_samples("non_members", self._inputs.non_members)

    @property
    def sides(self) -> tuple[list[Sample], list[Sample]]:
        """The members, and the non-members."""
        return self.members, self.non_members

    def check(self) -> None:
        """Refuse samples that are unusable, once.

        Raises
        ------
        SampleError
            If a set is empty, two sets share a sample, or the coins are of other samples.
        """
        if self._checked:
            return
        check_set("members", self.members, captions=False)
        check_set("non_members", self.non_members, captions=False)
        check_disjoint("members", self.members, "non_members", self.non_members)
        split = self._inputs.coin_split
        if split is not None:
            if not isinstance(split, CoinSplit):
                msg = (
                    f"coin_split is a {type(split).__name__}: return what "
                    "privaudit.split_by_coin returned, which knows its seed"
                )
                raise SampleError(msg)
            split.check(self.members, self.non_members)
        self._checked = True

    def check_captions(self) -> None:
        """Refuse samples without a caption, for an attacker who asks with captions."""
        check_set("members", self.members)
        check_set("non_members", self.non_members)

    @functools.cached_property
    def split(self) -> tuple[list[Sample], list[Sample], list[Sample], list[Sample]]:
        """Members and non-members that the attacker of I and II knows, then the others."""
        chosen = self._settings
        return split_calibration(self.members, self.non_members, chosen.calibration, chosen.seed)

    @functools.cached_property
    def groups(self) -> dict[str, str]:
        """The group of each sample, by id; of canaries, unless the user groups them, the exposure.

        Raises
        ------
        SampleError
            If the user's groups are no mapping, or know no sample of the audit.
        """
        samples = (*self.members, *self.non_members)
        return groups_of(self._inputs.sample_groups, samples, self._inputs.coin_split)

    @functools.cached_property
    def digests(self) -> dict[str, SampleSet]:
        """Members and non-members, counted and hashed, by the name of their fixture."""
        return {
            "members": sample_set(self.members),
            "non_members": sample_set(self.non_members),
        }


def count_images(sets: Sets, m: int, *, base: bool) -> Counter[str]:
    """Count the images that each model is asked for under one threat model.

    Parameters
    ----------
    sets
        Whom it asks about.
    m
        Query budget.
    base
        Whether the base model is asked, too.
    """
    images: Counter[str] = Counter()
    for labelled in sets.labelled:
        for name in (labelled.role, *(("base_model",) if base else ())):
            images[f"{name} by {sets.threat_model.words}"] += m * len(labelled.samples)
    return images


def check_sets(calibration: LabelledSet, evaluation: LabelledSet, *, captions: bool) -> None:
    """Refuse to evaluate what calibrated, or what the shadow model that calibrates was given.

    Parameters
    ----------
    calibration, evaluation
        The two labelled sets of one threat model.
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

    texts = store.complete_texts(list(images), write, persistent=persistent)
    return {sample.id: texts[keys[sample.digest]] for sample in samples}


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
    threat_model: ThreatModel, n_members: int, n_non_members: int, calibration: float
) -> tuple[int, int]:
    """Count the members and non-members that are left to evaluate.

    Parameters
    ----------
    threat_model
        Whose evaluation set it is.
    n_members, n_non_members
        All samples of the audit.
    calibration
        As of :func:`split_calibration`.
    """
    known = _n_known(n_members, calibration) if threat_model.knows_members else 0
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


def groups_of(groups: Any, samples: Sequence[Sample], coin_split: Any) -> dict[str, str]:
    """Return the group of each sample, by id.

    Parameters
    ----------
    groups
        What the user supplied: a mapping from ids, or ``None``.
    samples
        The audit's members and non-members.
    coin_split
        Canaries are grouped by their exposure, unless the user groups them.

    Raises
    ------
    SampleError
        If it is no mapping, or knows no sample of the audit.
    """
    if groups is None:
        exposures = coin_split.exposures if isinstance(coin_split, Canaries) else {}
        return {name: f"exposure {times}" for name, times in exposures.items()}
    ids = {sample.id for sample in samples}
    if not isinstance(groups, Mapping) or not ids & set(groups):
        msg = (
            f"sample_groups is a {type(groups).__name__} that knows none of {len(ids)} samples: "
            "return a dictionary from the id of each sample to its group"
        )
        raise SampleError(msg)
    return {str(name): str(group) for name, group in groups.items() if group is not None}
