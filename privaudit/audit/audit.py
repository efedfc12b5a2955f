"""One audit: scenario × inference model → record. The only place that knows the whole path."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.audit.conclusions import bound_epsilon, conclude, low_fpr_rates
from privaudit.audit.experiment import Arm, Claim, Ingredients, make_arms, write_captions
from privaudit.audit.preflight import check_validity
from privaudit.audit.scenarios import SCENARIOS
from privaudit.audit.scoring import Reader, Scored
from privaudit.engines.local import LocalEngine
from privaudit.errors import InvalidAuditError, SampleError
from privaudit.record.result import AttackResult
from privaudit.samples import CoinSplit, check_disjoint, check_set, split_by_coin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from privaudit.attacks import InferenceModel
    from privaudit.audit.conclusions import Scores
    from privaudit.audit.estimate import Plan
    from privaudit.engines import Engine
    from privaudit.samples import Sample
    from privaudit.settings.resolve import Settings
    from privaudit.store import Store

LEAST_CHUNK = 16
"""Queries that a sequential audit asks at a time, unless a batch size is set."""

__all__ = ["Claim", "Ingredients", "plan_attack", "run_attack", "split_auxiliary"]


def run_attack(
    scenario: str,
    attack: str,
    ingredients: Ingredients,
    settings: Settings,
    store: Store,
    engine: Engine | None = None,
    progress: Callable[[int], None] = lambda _: None,
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
    engine
        Where the target and the shadow model run; by default in this process. What is asked
        before, without either, always does.
    progress
        Called after each batch with the number of images generated.

    Returns
    -------
    AttackResult
        The result over the evaluation set, with its verdict.

    Raises
    ------
    InvalidAuditError
        If nothing could be concluded from this audit; found before anything is generated.
    PrivauditError
        If an ingredient is unusable; bad samples are found before anything is generated.
    """
    plan = SCENARIOS[scenario]
    calibration, evaluation = make_arms(plan, ingredients, settings)
    local = engine if isinstance(engine, LocalEngine) else LocalEngine()
    split = ingredients.coin_split
    if split is not None:
        if not isinstance(split, CoinSplit):
            msg = (
                f"coin_split is a {type(split).__name__}: return what privaudit.split_by_coin "
                "returned, which knows its seed"
            )
            raise SampleError(msg)
        split.check(ingredients.members, ingredients.non_members)
    findings = check_validity(attack, calibration, evaluation, ingredients, settings, store, local)
    if findings.reasons:
        raise InvalidAuditError("; ".join(findings.reasons))
    captions = write_captions(plan, (calibration, evaluation), ingredients, settings, store)
    m = settings.queries
    reader = Reader(
        ingredients.image_encoder, settings, store, captions, m, engine or local, progress
    )
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    model: InferenceModel | Scored
    sequential: dict[str, Any] | None
    if settings.sequential:
        reader.prefetch([calibration])
        model = reader.calibrated(attack, calibration)
        members, non_members, scores, sequential = _in_chunks(reader, model, evaluation, settings)
    else:
        members, non_members, sequential = evaluation.members, evaluation.non_members, None
        model = reader.scored(attack, calibration, evaluation)
        scores = (model.members, model.non_members)
    n_calibration = (len(calibration.members), len(calibration.non_members))
    result = AttackResult(
        scenario=plan.name,
        attack=attack,
        budget=settings.budget,
        budget_source=settings.source("budget"),
        gate=settings.gate,
        confidence=settings.confidence,
        n_results=settings.n_results,
        n_members=len(members),
        n_non_members=len(non_members),
        n_calibration_members=n_calibration[0],
        n_calibration_non_members=n_calibration[1],
        n_queries=m * (sum(n_calibration) + len(members) + len(non_members)),
        **conclude(scores, sequential, settings),
        **low_fpr_rates(model, scores, n_calibration[0], settings),
        **bound_epsilon(plan, model, scores, ingredients, settings),
        validity=findings.to_dict(),
        sequential=sequential,
        member_scores=_by_id(members, scores[0]),
        non_member_scores=_by_id(non_members, scores[1]),
    )
    return dataclasses.replace(result, verdict="fail") if result.claim_exceeded else result


def _in_chunks(
    reader: Reader, model: InferenceModel, arm: Arm, settings: Settings
) -> tuple[Sequence[Sample], Sequence[Sample], Scores, dict[str, Any]]:
    """Query pair by pair of a member and a non-member, in batches, until the gate can decide."""
    members, non_members = (
        # By the ids alone: neither the order given nor anything a score depends on.
        random.Random(f"{settings.seed}/pairs/{name}").sample(  # noqa: S311
            sorted(samples, key=lambda s: s.id), len(samples)
        )
        for name, samples in (("members", arm.members), ("non-members", arm.non_members))
    )
    n = min(len(members), len(non_members))
    chunk = max(1, (settings.batch_size or LEAST_CHUNK) // (2 * settings.queries))
    test = statistics.SequentialAUC(settings.budget, settings.result_confidence)
    scores: list[list[NDArray[np.float64]]] = [[], []]
    path, start = [], 0
    ahead = chunk * reader.engine.n_workers
    # A batch is a chunk with any number of workers: on a GPU an image's last bits depend on it.
    one_chunk = settings._replace(batch_size=chunk * 2 * settings.queries)
    reader = dataclasses.replace(reader, settings=one_chunk)
    while test.verdict is None and start < n:
        if start % ahead == 0:
            # A chunk for every worker; they are judged one by one, as with a single worker.
            coming = slice(start, min(start + ahead, n))
            reader.prefetch([Arm(arm.generator, members[coming], non_members[coming])])
        pairs = slice(start, min(start + chunk, n))
        asked = (members[pairs], non_members[pairs])
        both = reader.features(arm.generator, [*asked[0], *asked[1]])
        scored = np.split(model.score(both), [len(asked[0])])
        for kept, new in zip(scores, scored, strict=True):
            kept.append(new)
        test.update(*scored)
        start = pairs.stop
        path.append({"n_pairs": test.n_pairs, "auc": test.auc, "low": test.low, "high": test.high})
    return (
        members[:start],
        non_members[:start],
        (np.concatenate(scores[0]), np.concatenate(scores[1])),
        {
            "n_pairs": test.n_pairs,
            "max_pairs": n,
            "verdict": test.verdict,
            "pairs_needed": test.pairs_needed,
            "path": path,
        },
    )


def _by_id(samples: Sequence[Sample], scores: NDArray[np.float64]) -> dict[str, float]:
    return {sample.id: float(score) for sample, score in zip(samples, scores, strict=True)}


def plan_attack(
    scenario: str, label: str, ingredients: Ingredients, settings: Settings, plan: Plan
) -> None:
    """Add to a plan what one scenario asks, whatever the inference model.

    Captions are written if they are not stored: what is asked decides what has an answer.

    Parameters
    ----------
    scenario
        ``"I"`` to ``"IV"``.
    label
        What to call the audit.
    ingredients
        Models and samples; an :class:`Unmade` may stand for the shadow model.
    settings
        The audit's settings.
    plan
        The plan to add to.
    """
    arms = make_arms(SCENARIOS[scenario], ingredients, settings)
    captions = write_captions(SCENARIOS[scenario], arms, ingredients, settings, plan.store)
    reader = Reader(
        ingredients.image_encoder, settings, plan.store, captions, settings.queries, LocalEngine()
    )
    for arm in arms:
        shadow = arm.generator is ingredients.shadow_model
        name = f"{'shadow_model' if shadow else 'target_model'} of {label}"
        plan.add(name, reader.task(arm.generator), reader.queries(arm.samples))
    plan.at_most |= settings.sequential


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
    return heads, tails
