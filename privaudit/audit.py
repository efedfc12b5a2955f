"""One audit: scenario × inference model → record. The only place that knows the whole path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.attacks import make_attack
from privaudit.encoders.base import encode_in_batches
from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_values
from privaudit.gate import decide
from privaudit.queries import plan_queries
from privaudit.record import AttackResult
from privaudit.samples import check_disjoint, check_set, split_by_coin
from privaudit.scenarios import SCENARIOS, split_calibration
from privaudit.similarity import Features, aggregate, pooled_similarity, similarity_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.captioners import Captioner
    from privaudit.config import Settings
    from privaudit.encoders import Encoder
    from privaudit.generators import Generator
    from privaudit.queries import Query
    from privaudit.samples import Sample
    from privaudit.scenarios import Scenario
    from privaudit.store import Store

__all__ = ["Ingredients", "make_shadow", "run_attack"]


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


@dataclass(frozen=True)
class _Arm:
    """Labelled samples and the generator they are queried on."""

    generator: Generator
    members: Sequence[Sample]
    non_members: Sequence[Sample]


def run_attack(
    scenario: str,
    attack: str,
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
    progress: Callable[[int, int], None] | None = None,
) -> AttackResult:
    """Run one scenario with one inference model.

    Parameters
    ----------
    scenario
        ``"I"`` to ``"IV"``.
    attack
        The inference model's name.
    ingredients
        Models and samples.
    settings
        The audit's settings.
    store
        Where generated images and similarities are kept; what is there is not made again.
    progress
        Called with the number of queries answered and their total.

    Returns
    -------
    AttackResult
        The result over the evaluation set, with its verdict.

    Raises
    ------
    PrivauditError
        If an ingredient is unusable; bad samples are found before anything is generated.
    """
    plan = SCENARIOS[scenario]
    calibration, evaluation = _arms(plan, ingredients, settings)
    captions = _captions(plan, (calibration, evaluation), ingredients, settings, store)
    total = settings.queries * sum(
        len(a.members) + len(a.non_members) for a in (calibration, evaluation)
    )
    done = 0

    def features(generator: Generator, samples: Sequence[Sample]) -> Features:
        nonlocal done
        prompts = [captions[sample.id] for sample in samples]
        queries = plan_queries(samples, prompts, settings.queries, settings.seed)

        def report(answered: int) -> None:
            if progress is not None:
                progress(done + answered, total)

        rows = _similarities(queries, generator, ingredients.image_encoder, settings, store, report)
        done += len(queries)
        rows = rows.reshape(len(samples), settings.queries, -1)
        reduced = aggregate(rows, settings.aggregation, axis=1)
        return Features(vectors=reduced[:, 1:], pooled=reduced[:, 0])

    known = features(calibration.generator, [*calibration.members, *calibration.non_members])
    labels = np.arange(len(known)) < len(calibration.members)
    model = make_attack(attack, settings.seed).fit(known, labels)
    member_scores = model.score(features(evaluation.generator, evaluation.members))
    non_member_scores = model.score(features(evaluation.generator, evaluation.non_members))

    auc = statistics.auc(member_scores, non_member_scores)
    low_fpr = statistics.tpr_at_fpr(member_scores, non_member_scores, 0.01)
    return AttackResult(
        scenario=plan.name,
        attack=attack,
        auc=auc,
        budget=settings.budget,
        budget_source=settings.source("budget"),
        verdict=decide(auc, settings.budget),
        n_members=len(evaluation.members),
        n_non_members=len(evaluation.non_members),
        n_calibration_members=len(calibration.members),
        n_calibration_non_members=len(calibration.non_members),
        attack_success_rate=statistics.success_rate(
            member_scores, non_member_scores, model.threshold
        ),
        threshold=model.threshold,
        tpr_at_1_percent_fpr=None if low_fpr is None else low_fpr.tpr,
        achieved_fpr=None if low_fpr is None else low_fpr.fpr,
        member_scores=_by_id(evaluation.members, member_scores),
        non_member_scores=_by_id(evaluation.non_members, non_member_scores),
    )


def _by_id(samples: Sequence[Sample], scores: NDArray[np.float64]) -> dict[str, float]:
    return {sample.id: float(score) for sample, score in zip(samples, scores, strict=True)}


def _arms(plan: Scenario, ingredients: Ingredients, settings: Settings) -> tuple[_Arm, _Arm]:
    """Check the samples and decide who calibrates and who is evaluated."""
    members, non_members = ingredients.members, ingredients.non_members
    check_set("members", members, captions=plan.knows_captions)
    check_set("non_members", non_members, captions=plan.knows_captions)
    check_disjoint("members", members, "non_members", non_members)
    if plan.knows_members:
        known_m, known_n, left_m, left_n = split_calibration(
            members, non_members, settings.calibration, settings.seed
        )
        calibration = _Arm(ingredients.target_model, known_m, known_n)
        evaluation = _Arm(ingredients.target_model, left_m, left_n)
    else:
        if ingredients.shadow_model is None:
            msg = f"{plan.name} calibrates on a shadow model, and there is none"
            raise SampleError(msg)
        shadow_m, shadow_n = ingredients.shadow_members, ingredients.shadow_non_members
        check_set("shadow_members", shadow_m, captions=plan.knows_captions)
        check_set("shadow_non_members", shadow_n, captions=plan.knows_captions)
        check_disjoint("shadow_members", shadow_m, "shadow_non_members", shadow_n)
        calibration = _Arm(ingredients.shadow_model, shadow_m, shadow_n)
        evaluation = _Arm(ingredients.target_model, members, non_members)
    check_disjoint(
        "the calibration set",
        [*calibration.members, *calibration.non_members],
        "the evaluation set",
        [*evaluation.members, *evaluation.non_members],
    )
    return calibration, evaluation


def _captions(
    plan: Scenario,
    arms: tuple[_Arm, _Arm],
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
) -> dict[str, str]:
    """Give every sample the text its attacker would ask with, by id."""
    samples = [sample for arm in arms for sample in (*arm.members, *arm.non_members)]
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


def _similarities(
    queries: Sequence[Query],
    generator: Generator,
    encoder: Encoder,
    settings: Settings,
    store: Store,
    report: Callable[[int], None],
) -> NDArray[np.float32]:
    """Answer queries: rows of (1 + d), the pooled similarity and the vector, in their order.

    Batches are embedded and reduced as they come, so memory does not grow with the number of
    images, and what was answered before a failure is kept.
    """
    encoder_print = getattr(encoder, "fingerprint", None)
    persistent = generator.persistent and encoder_print is not None
    image_keys = [
        fingerprint_values(model=generator.fingerprint, prompt=q.prompt, seed=q.seed)
        for q in queries
    ]
    keys = [
        fingerprint_values(
            image=image_key,
            query=query.sample.digest,
            encoder=encoder_print or f"object:{id(encoder)}",
            similarity=settings.similarity,
            axis=settings.similarity_axis,
        )
        for image_key, query in zip(image_keys, queries, strict=True)
    ]
    missing = [
        i for i, key in enumerate(keys) if store.similarity(key, persistent=persistent) is None
    ]
    size = generator.batch_size(settings.batch_size)
    for start in range(0, len(missing), size):
        part = missing[start : start + size]
        images = _images(
            [queries[i] for i in part], [image_keys[i] for i in part], generator, store
        )
        asked = {queries[i].sample.id: queries[i].sample.image for i in part}
        encoded = encode_in_batches(encoder, [*asked.values(), *images], size)
        of_query = dict(zip(asked, encoded, strict=False))
        for i, generated in zip(part, encoded[len(asked) :], strict=True):
            query = of_query[queries[i].sample.id]
            row = np.concatenate(
                [
                    pooled_similarity(query, generated, settings.similarity)[None],
                    similarity_vector(
                        query, generated, settings.similarity, settings.similarity_axis
                    ),
                ]
            )
            store.put_similarity(keys[i], row.astype(np.float32), persistent=persistent)
        report(len(queries) - len(missing) + start + len(part))
    rows: list[Any] = [store.similarity(key, persistent=persistent) for key in keys]
    return np.stack(rows)


def _images(
    queries: Sequence[Query], keys: Sequence[str], generator: Generator, store: Store
) -> list[Image.Image]:
    """Fetch a batch of images from the store, generating those it lacks."""

    def generate(missing: Sequence[int]) -> list[Image.Image]:
        return generator.generate(
            [queries[i].prompt for i in missing], [queries[i].seed for i in missing]
        )

    if not generator.persistent:
        return generate(range(len(queries)))
    with store.lock(generator.fingerprint):
        found = [store.image(key) for key in keys]
        missing = [i for i, image in enumerate(found) if image is None]
        if missing:
            for i, image in zip(missing, generate(missing), strict=True):
                store.put_image(keys[i], image)
                found[i] = image
    return [image for image in found if image is not None]


def make_shadow(
    fine_tune: Callable[[Sequence[Sample]], Any],
    auxiliary: Sequence[Sample],
    members: Sequence[Sample],
    non_members: Sequence[Sample],
    seed: int,
) -> tuple[Any, list[Sample], list[Sample]]:
    """Make the attacker's shadow model from auxiliary samples.

    Parameters
    ----------
    fine_tune
        The user's: from samples to a model.
    auxiliary
        Samples like the target's; a fair coin decides for each whether the shadow is trained
        on it.
    members, non_members
        The audit's samples, with which the auxiliary ones must share nothing.
    seed
        Seed of the coins.

    Returns
    -------
    shadow model, shadow members, shadow non-members

    Raises
    ------
    SampleError
        If the sets are unusable; this is found before the fine-tuning starts.
    """
    check_set("members", members, captions=False)
    check_set("non_members", non_members, captions=False)
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
    return fine_tune(heads), heads, tails
