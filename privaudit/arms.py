"""Who calibrates, who is evaluated, on which model, with which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks import make_attack
from privaudit.engines.local import run_queries
from privaudit.errors import SampleError
from privaudit.queries import plan_queries
from privaudit.samples import check_disjoint, check_set
from privaudit.scenarios import split_calibration
from privaudit.similarity import Features, aggregate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privaudit.attacks import InferenceModel
    from privaudit.captioners import Captioner
    from privaudit.config import Settings
    from privaudit.encoders import Encoder
    from privaudit.generators import Generator
    from privaudit.samples import CoinSplit, Sample
    from privaudit.scenarios import Scenario
    from privaudit.store import Store

__all__ = ["Arm", "Claim", "Ingredients", "Reader", "make_arms", "write_captions"]


@dataclass(frozen=True)
class Claim:
    """A claimed differential privacy guarantee, to be disproved."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Ingredients:
    """What a user supplied for one audit; the shadow and the captioner only where needed."""

    target_model: Generator
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    image_encoder: Encoder
    captioner: Captioner | None = None
    shadow_model: Generator | None = None
    shadow_members: Sequence[Sample] = ()
    shadow_non_members: Sequence[Sample] = ()
    coin_split: CoinSplit | None = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Arm:
    """Labelled samples and the generator they are queried on."""

    generator: Generator
    members: Sequence[Sample]
    non_members: Sequence[Sample]

    @property
    def samples(self) -> list[Sample]:
        """Members, then non-members."""
        return [*self.members, *self.non_members]


@dataclass
class Reader:
    """Turns samples into the features of one encoder, through one generator at a time."""

    encoder: Encoder
    settings: Settings
    store: Store
    prompts: Mapping[str, str]
    total: int = 0
    progress: Callable[[int, int], None] | None = None
    answered: int = 0

    def features(self, generator: Generator, samples: Sequence[Sample], m: int) -> Features:
        """Query the generator m times for each sample, and compare."""
        prompts = [self.prompts[sample.id] for sample in samples]
        queries = plan_queries(samples, prompts, m, self.settings.seed)

        def report(answered: int) -> None:
            if self.progress is not None:
                self.progress(self.answered + answered, self.total)

        rows = run_queries(queries, generator, self.encoder, self.settings, self.store, report)
        self.answered += len(queries)
        rows = rows.reshape(len(samples), m, -1)
        reduced = aggregate(rows, self.settings.aggregation, axis=1)
        return Features(vectors=reduced[:, 1:], pooled=reduced[:, 0])

    def calibrated(self, attack: str, arm: Arm, m: int) -> InferenceModel:
        """Fit an inference model on the calibration set."""
        known = self.features(arm.generator, arm.samples, m)
        labels = np.arange(len(known)) < len(arm.members)
        return make_attack(attack, self.settings.seed).fit(known, labels)


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
    from privaudit.captioners import checked_captions

    # The true captions stay behind: the captioner sees images alone.
    captioner = ingredients.captioner
    new = [sample for sample in samples if (id(captioner), sample.digest) not in store.captions]
    written = checked_captions(captioner, [sample.image for sample in new], settings.batch_size)
    store.captions.update(
        ((id(captioner), sample.digest), text) for sample, text in zip(new, written, strict=True)
    )
    return {sample.id: store.captions[id(captioner), sample.digest] for sample in samples}
