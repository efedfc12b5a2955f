"""From samples to features, and from features to scores, through a store and an engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.attacks import make_attack
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.errors import StoreError
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements.similarity import Features, aggregate
from privaudit.targets.queries import plan_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from privaudit.attacks import InferenceModel
    from privaudit.audit.experiment import Arm
    from privaudit.encoders import Encoder
    from privaudit.engines import Engine
    from privaudit.samples import Sample
    from privaudit.settings.resolve import Settings
    from privaudit.store import Store
    from privaudit.targets import Target
    from privaudit.targets.queries import Query

__all__ = ["Reader", "Scored"]

AT_ONCE = 1024
"""Samples whose m similarity vectors are in memory at one time, before they are aggregated."""


@dataclass(frozen=True)
class Scored:
    """What a fitted inference model says of an evaluation set.

    Attributes
    ----------
    threshold, calibration_scores
        As of :class:`privaudit.attacks.InferenceModel`.
    members, non_members
        Scores of the evaluation set, in the order of the samples.
    """

    threshold: float
    calibration_scores: NDArray[np.float64]
    members: NDArray[np.float64]
    non_members: NDArray[np.float64]


@dataclass
class Reader:
    """Asks generators about samples, and reads the answers with one encoder.

    Parameters
    ----------
    encoder, settings, store
        How to compare, and where the answers are kept.
    prompts
        The text to ask with, by sample id.
    m
        Query budget: images a sample.
    engine
        Where the work runs.
    progress
        Called with the number of images generated since the last call.
    """

    encoder: Encoder
    settings: Settings
    store: Store
    prompts: Mapping[str, str]
    m: int
    engine: Engine = field(default_factory=LocalEngine)
    progress: Callable[[int], None] = lambda _: None

    def queries(self, samples: Sequence[Sample]) -> list[Query]:
        """List the m queries of each sample."""
        prompts = [self.prompts[sample.id] for sample in samples]
        return plan_queries(samples, prompts, self.m, self.settings.seed)

    def task(self, generator: Target) -> Task:
        """Say how a generator's answers are compared."""
        return Task(
            generator,
            self.encoder,
            self.settings.similarity,
            self.settings.similarity_axis,
            self.settings.batch_size,
        )

    def prefetch(self, arms: Sequence[Arm]) -> None:
        """Answer all queries of several sets, those of one generator in common batches."""
        samples: dict[str, tuple[Target, list[Sample]]] = {}
        for arm in arms:
            asked = samples.setdefault(arm.generator.fingerprint, (arm.generator, []))
            asked[1].extend(arm.samples)
        for generator, wanted in samples.values():
            self._run(self.task(generator), self.queries(wanted))

    def features(self, generator: Target, samples: Sequence[Sample]) -> Features:
        """Compare m answers with each sample, and aggregate."""
        task, parts = self.task(generator), []
        for start in range(0, len(samples), AT_ONCE):
            part = samples[start : start + AT_ONCE]
            rows = self._rows(task, self.queries(part)).reshape(len(part), self.m, -1)
            parts.append(aggregate(rows, self.settings.aggregation, axis=1))
        reduced = np.concatenate(parts)
        return Features(vectors=reduced[:, 1:], pooled=reduced[:, 0])

    def calibrated(self, attack: str, arm: Arm) -> InferenceModel:
        """Fit an inference model on the calibration set."""
        known = self.features(arm.generator, arm.samples)
        labels = np.arange(len(known)) < len(arm.members)
        return make_attack(attack, self.settings.seed).fit(known, labels)

    def scored(self, attack: str, calibration: Arm, evaluation: Arm) -> Scored:
        """Fit on one set and score the other; what an earlier run found is not fitted again."""
        arms = (calibration, evaluation)
        asked = [self.task(a.generator).keys(self.queries(a.samples))[1] for a in arms]
        key = fingerprint_values(
            scores=asked,
            sizes=[len(arm.members) for arm in arms],
            m=self.m,
            aggregation=self.settings.aggregation,
            attack=attack,
            seed=self.settings.seed,
            code=fingerprint_code(),
        )

        def score() -> dict[str, Any]:
            self.prefetch(arms)
            model = self.calibrated(attack, calibration)
            sides = (evaluation.members, evaluation.non_members)
            members, non_members = (
                model.score(self.features(evaluation.generator, side)).tolist() for side in sides
            )
            return {
                "threshold": float(model.threshold),
                "calibration_scores": model.calibration_scores.tolist(),
                "members": members,
                "non_members": non_members,
            }

        persistent = all(self.task(arm.generator).persistent for arm in arms)
        found = self.store.remembered(key, score, persistent=persistent)
        return Scored(
            found["threshold"],
            *(np.asarray(found[n]) for n in ("calibration_scores", "members", "non_members")),
        )

    def _run(self, task: Task, queries: Sequence[Query]) -> None:
        self.engine.run(task, queries, self.store, self.progress)

    def _rows(self, task: Task, queries: Sequence[Query]) -> NDArray[np.float32]:
        keys = task.keys(queries)[1]
        found = self.store.arrays(keys)
        if len(found) < len(keys):  # some are damaged or evicted, or were never asked for
            self._run(task, queries)
            found = self.store.arrays(keys)
        if len(found) < len(keys):
            msg = (
                f"{len(keys) - len(found)} of {len(keys)} similarities were lost from the store "
                "while they were in use: is another process clearing it?"
            )
            raise StoreError(msg)
        return np.stack([found[key] for key in keys])
