"""One scenario of an audit: who calibrates, who is evaluated, on which model, in which words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.errors import CaptionerError, SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.samples import check_disjoint, check_set, split_by_coin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from privaudit.audit.estimate import Unmade
    from privaudit.audit.scenarios import Scenario
    from privaudit.captioners import Captioner
    from privaudit.samples import Sample
    from privaudit.store import Store
    from privaudit.targets import Target

CAPTIONED_AT_ONCE = 16

__all__ = [
    "Experiment",
    "LabelledSet",
    "check_sets",
    "count_asked",
    "split_auxiliary",
    "write_captions",
]


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
    by_digest = {sample.digest: sample for sample in samples}
    absent = set(store.absent(list(keys.values())))
    new = [digest for digest, key in keys.items() if key in absent]
    at_once = batch_size or CAPTIONED_AT_ONCE
    for start in range(0, len(new), at_once):
        part = new[start : start + at_once]
        images = [by_digest[digest].image for digest in part]
        written = checked_captions(captioner, images, at_once)
        store.put_texts(
            {keys[digest]: text for digest, text in zip(part, written, strict=True)},
            persistent=persistent,
        )
    found = store.texts(list(keys.values()))
    lost = [sample.id for sample in samples if keys[sample.digest] not in found]
    if lost:
        msg = (
            f"{len(lost)} of {len(samples)} captions, the first of sample {lost[0]!r}, were lost "
            "from the store while they were in use: is another process clearing it?"
        )
        raise CaptionerError(msg)
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
