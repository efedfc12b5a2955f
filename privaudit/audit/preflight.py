"""What an audit is asked before it generates anything, see :mod:`privaudit.audit.validity`."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.audit import validity
from privaudit.audit.experiment import Arm
from privaudit.audit.scoring import Reader
from privaudit.encoders.base import encoder_identity
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.targets.controls import MemorizingTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from privaudit.audit.experiment import Ingredients
    from privaudit.engines.local import LocalEngine
    from privaudit.samples import Sample
    from privaudit.settings.resolve import Settings
    from privaudit.store import Store

__all__ = ["check_validity"]

POOLED_AT_ONCE = 64


def check_validity(
    attack: str,
    calibration: Arm,
    evaluation: Arm,
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
    engine: LocalEngine,
) -> validity.Validity:
    """Ask what can be asked without the model; nothing here generates an image."""
    check = _Preflight(attack, calibration, evaluation, ingredients, settings, store, engine)
    return validity.judge(
        blind_image=check.blind("images"),
        blind_caption=check.blind("captions"),
        blind_limit=settings.blind_limit,
        duplicates=check.duplicates(),
        evaluation_ids=[sample.id for sample in evaluation.samples],
        control_auc=check.control(),
    )


@dataclasses.dataclass
class _Preflight:
    """The questions, each answered once for all sessions of the same sets and encoder."""

    attack: str
    calibration: Arm
    evaluation: Arm
    ingredients: Ingredients
    settings: Settings
    store: Store
    engine: LocalEngine

    def _remembered(self, make: Callable[[], Any], **causes: Any) -> Any:
        identity, persistent = encoder_identity(self.ingredients.image_encoder)
        key = fingerprint_values(
            encoder=identity, seed=self.settings.seed, code=fingerprint_code(), **causes
        )
        return self.store.remembered(key, make, persistent=persistent)

    def blind(self, what: str) -> statistics.AucInterval | None:
        """Tell members from non-members by their images or captions alone."""
        sides = (self.ingredients.members, self.ingredients.non_members)
        # Two baselines share the error, so that two equal sets are called different in 5 % at
        # most.
        level, seed = 1 - (1 - self.settings.confidence) / 2, self.settings.seed

        def ask() -> dict[str, Any] | None:
            if what == "images":
                found = validity.blind_baseline(
                    *map(self._rows, sides), confidence=level, seed=seed
                )
            else:
                texts = [[sample.caption for sample in side] for side in sides]
                found = validity.blind_caption_baseline(*texts, confidence=level, seed=seed)
            return None if found is None else dataclasses.asdict(found)

        given = [[s.digest if what == "images" else s.caption for s in side] for side in sides]
        found = self._remembered(ask, what=f"blind {what}", sides=given, level=level)
        return None if found is None else statistics.AucInterval(**found)

    def duplicates(self) -> list[validity.NearDuplicate]:
        """Find the pictures that are on both sides of a divide."""
        sets = {
            "the calibration members": self.calibration.members,
            "the calibration non-members": self.calibration.non_members,
            "the evaluated members": self.evaluation.members,
            "the evaluated non-members": self.evaluation.non_members,
        }

        def ask() -> list[dict[str, Any]]:
            rows = {
                name: ([sample.id for sample in samples], self._rows(samples))
                for name, samples in sets.items()
            }
            found = validity.near_duplicates(rows, self.settings.duplicate_limit)
            return [vars(pair) for pair in found]

        found = self._remembered(
            ask,
            what="near-duplicates",
            sets={name: [(s.id, s.digest) for s in samples] for name, samples in sets.items()},
            limit=self.settings.duplicate_limit,
        )
        return [validity.NearDuplicate(**pair) for pair in found]

    def control(self) -> float:
        """AUC of the attack on a model that returns its training images, whatever it is asked.

        Asked for a member it returns the member; asked for a non-member, some member.
        """
        arms = []
        for arm in (self.calibration, self.evaluation):
            answers = {member.id: member for member in arm.members}
            answers |= {
                other.id: arm.members[i % len(arm.members)]
                for i, other in enumerate(arm.non_members)
            }
            control = MemorizingTarget(arm.members, answers)
            arms.append(Arm(control, arm.members, arm.non_members))
        prompts = {sample.id: sample.id for arm in arms for sample in arm.samples}
        encoder = self.ingredients.image_encoder
        reader = Reader(encoder, self.settings, self.store, prompts, 1, self.engine)
        scored = reader.scored(self.attack, *arms)
        return statistics.auc(scored.members, scored.non_members)

    def _rows(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        return np.stack([self._pooled[sample.digest] for sample in samples])

    @functools.cached_property
    def _pooled(self) -> dict[str, NDArray[np.float32]]:
        """Mean over tokens of each query image's features, by digest of the image."""
        encoder = self.ingredients.image_encoder
        identity, persistent = encoder_identity(encoder)
        everyone = [
            *self.calibration.samples,
            *self.evaluation.samples,
            *self.ingredients.members,
            *self.ingredients.non_members,
        ]
        images = {sample.digest: sample.image for sample in everyone}
        keys = {digest: fingerprint_values(pooled=digest, encoder=identity) for digest in images}
        absent = set(self.store.absent(list(keys.values())))
        new = [digest for digest, key in keys.items() if key in absent]
        for start in range(0, len(new), POOLED_AT_ONCE):
            part = {digest: images[digest] for digest in new[start : start + POOLED_AT_ONCE]}
            states = self.engine.features.encode(encoder, part, {})
            self.store.put_arrays(
                {keys[digest]: states[digest].mean(axis=0) for digest in part},
                persistent=persistent,
            )
        found = self.store.arrays(list(keys.values()))
        return {digest: found[key] for digest, key in keys.items()}
