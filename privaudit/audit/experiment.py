"""Who calibrates, who is evaluated, on which model, with which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.audit.scenarios import split_calibration
from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.samples import check_disjoint, check_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.audit.scenarios import Scenario
    from privaudit.captioners import Captioner
    from privaudit.encoders import Encoder
    from privaudit.samples import CoinSplit, Sample
    from privaudit.settings.resolve import Settings
    from privaudit.store import Store
    from privaudit.targets import Target

CAPTIONED_AT_ONCE = 16

__all__ = ["Arm", "Claim", "Ingredients", "make_arms", "write_captions"]


@dataclass(frozen=True)
class Claim:
    """A claimed differential privacy guarantee, to be disproved."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Ingredients:
    """What a user supplied for one audit; the shadow and the captioner only where needed."""

    target_model: Target
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    image_encoder: Encoder
    captioner: Captioner | None = None
    shadow_model: Target | None = None
    shadow_members: Sequence[Sample] = ()
    shadow_non_members: Sequence[Sample] = ()
    coin_split: CoinSplit | None = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Arm:
    """Labelled samples and the generator they are queried on."""

    generator: Target
    members: Sequence[Sample]
    non_members: Sequence[Sample]

    @property
    def samples(self) -> list[Sample]:
        """Members, then non-members."""
        return [*self.members, *self.non_members]


def make_arms(plan: Scenario, ingredients: Ingredients, settings: Settings) -> tuple[Arm, Arm]:
    """Check the samples and decide who calibrates and who is evaluated."""
    members, non_members = ingredients.members, ingredients.non_members
    check_set("members", members, captions=plan.knows_captions)
    check_set("non_members", non_members, captions=plan.knows_captions)
    check_disjoint("members", members, "non_members", non_members)
    if plan.knows_members:
        known_m, known_n, left_m, left_n = split_calibration(
            members, non_members, settings.calibration, settings.seed
        )
        calibration = Arm(ingredients.target_model, known_m, known_n)
        evaluation = Arm(ingredients.target_model, left_m, left_n)
    else:
        if ingredients.shadow_model is None:
            msg = f"{plan.name} calibrates on a shadow model, and there is none"
            raise SampleError(msg)
        shadow_m, shadow_n = ingredients.shadow_members, ingredients.shadow_non_members
        check_set("shadow_members", shadow_m, captions=plan.knows_captions)
        check_set("shadow_non_members", shadow_n, captions=plan.knows_captions)
        check_disjoint("shadow_members", shadow_m, "shadow_non_members", shadow_n)
        calibration = Arm(ingredients.shadow_model, shadow_m, shadow_n)
        evaluation = Arm(ingredients.target_model, members, non_members)
    check_disjoint(
        "the calibration set",
        calibration.samples,
        "the evaluation set",
        evaluation.samples,
    )
    return calibration, evaluation


def write_captions(
    plan: Scenario,
    arms: tuple[Arm, Arm],
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
) -> dict[str, str]:
    """Give every sample the text its attacker would ask with, by id."""
    samples = [sample for arm in arms for sample in arm.samples]
    if plan.knows_captions:
        return {sample.id: sample.caption for sample in samples}
    if ingredients.captioner is None:
        msg = f"{plan.name} asks with a captioner's captions, and there is no captioner"
        raise SampleError(msg)
    from privaudit.captioners import captioner_identity, checked_captions

    # The true captions stay behind: the captioner sees images alone.
    captioner = ingredients.captioner
    identity, persistent = captioner_identity(captioner)
    keys = {s.digest: fingerprint_values(caption=s.digest, captioner=identity) for s in samples}
    images = {sample.digest: sample.image for sample in samples}
    absent = set(store.absent(list(keys.values())))
    new = [digest for digest, key in keys.items() if key in absent]
    at_once = settings.batch_size or CAPTIONED_AT_ONCE
    for start in range(0, len(new), at_once):
        part = new[start : start + at_once]
        written = checked_captions(captioner, [images[digest] for digest in part], at_once)
        store.put_texts(
            {keys[digest]: text for digest, text in zip(part, written, strict=True)},
            persistent=persistent,
        )
    found = store.texts(list(keys.values()))
    return {sample.id: found[keys[sample.digest]] for sample in samples}
