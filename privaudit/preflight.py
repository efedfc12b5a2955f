"""What an audit is asked before it generates anything, see :mod:`privaudit.validity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics, validity
from privaudit.arms import Arm, Reader
from privaudit.encoders.base import encode_in_batches, encoder_identity
from privaudit.fingerprint import fingerprint_values
from privaudit.generators.controls import MemorizingGenerator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from privaudit.arms import Ingredients
    from privaudit.config import Settings
    from privaudit.encoders import Encoder
    from privaudit.samples import Sample
    from privaudit.store import Store

__all__ = ["check_validity"]


def check_validity(
    attack: str,
    calibration: Arm,
    evaluation: Arm,
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
) -> validity.Validity:
    """Ask what can be asked without the model; nothing here generates an image."""
    encoder = ingredients.image_encoder

    def remembered(make: Callable[[], Any], **causes: Any) -> Any:
        identity, _ = encoder_identity(encoder)
        key = fingerprint_values(encoder=identity, seed=settings.seed, **causes)
        if key not in store.memo:
            store.memo[key] = make()
        return store.memo[key]

    members, non_members = ingredients.members, ingredients.non_members
    sides = [[sample.digest for sample in side] for side in (members, non_members)]
    everyone = [*calibration.samples, *evaluation.samples, *members, *non_members]
    pooled = _pooled(everyone, encoder, settings, store)

    def rows(samples: Sequence[Sample]) -> NDArray[np.float32]:
        return np.stack([pooled[sample.digest] for sample in samples])

    # Two baselines share the error, so that two equal sets are called different in 5 % at most.
    level = 1 - (1 - settings.confidence) / 2
    blind_image = remembered(
        lambda: validity.blind_baseline(
            rows(members), rows(non_members), confidence=level, seed=settings.seed
        ),
        what="blind images",
        sides=sides,
        level=level,
    )
    texts = [[sample.caption for sample in side] for side in (members, non_members)]
    blind_caption = remembered(
        lambda: validity.blind_caption_baseline(*texts, confidence=level, seed=settings.seed),
        what="blind captions",
        texts=texts,
        level=level,
    )
    sets = {
        "the calibration members": calibration.members,
        "the calibration non-members": calibration.non_members,
        "the evaluated members": evaluation.members,
        "the evaluated non-members": evaluation.non_members,
    }
    parts = {name: [sample.digest for sample in samples] for name, samples in sets.items()}
    duplicates = remembered(
        lambda: validity.near_duplicates(
            {name: ([s.id for s in samples], rows(samples)) for name, samples in sets.items()},
            settings.duplicate_limit,
        ),
        what="near-duplicates",
        parts=parts,
        limit=settings.duplicate_limit,
    )
    control = remembered(
        lambda: _control(attack, calibration, evaluation, encoder, settings, store),
        what="control",
        parts=parts,
        attack=attack,
        similarity=settings.similarity,
        axis=settings.similarity_axis,
    )
    return validity.judge(
        blind_image=blind_image,
        blind_caption=blind_caption,
        blind_limit=settings.blind_limit,
        duplicates=duplicates,
        evaluation_ids=[sample.id for sample in evaluation.samples],
        control_auc=control,
    )


def _control(
    attack: str,
    calibration: Arm,
    evaluation: Arm,
    encoder: Encoder,
    settings: Settings,
    store: Store,
) -> float:
    """AUC of the attack on a model that returns its training images, whatever it is asked.

    Asked for a member it returns the member; asked for a non-member, some member.
    """
    arms = []
    for arm in (calibration, evaluation):
        answers = {member.id: member for member in arm.members}
        answers |= {
            other.id: arm.members[i % len(arm.members)] for i, other in enumerate(arm.non_members)
        }
        arms.append(Arm(MemorizingGenerator(arm.members, answers), arm.members, arm.non_members))
    prompts = {sample.id: sample.id for arm in arms for sample in arm.samples}
    reader = Reader(encoder, settings, store, prompts)
    model = reader.calibrated(attack, arms[0], 1)
    scores = [
        model.score(reader.features(arms[1].generator, samples, 1))
        for samples in (arms[1].members, arms[1].non_members)
    ]
    return statistics.auc(*scores)


def _pooled(
    samples: Sequence[Sample], encoder: Encoder, settings: Settings, store: Store
) -> dict[str, NDArray[np.float32]]:
    """Mean over tokens of each query image's features, by digest of the image."""
    identity, persistent = encoder_identity(encoder)
    keys = {
        sample.digest: fingerprint_values(pooled=sample.digest, encoder=identity)
        for sample in samples
    }
    images = {sample.digest: sample.image for sample in samples}
    new = [
        digest
        for digest, key in keys.items()
        if store.similarity(key, persistent=persistent) is None
    ]
    for start in range(0, len(new), settings.batch_size):
        part = new[start : start + settings.batch_size]
        states = encode_in_batches(encoder, [images[d] for d in part], settings.batch_size)
        for digest, values in zip(part, states.mean(axis=1), strict=True):
            store.put_similarity(keys[digest], values, persistent=persistent)
    found: dict[str, Any] = {
        digest: store.similarity(key, persistent=persistent) for digest, key in keys.items()
    }
    return found
