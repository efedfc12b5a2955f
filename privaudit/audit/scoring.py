"""From samples to measurements, and from measurements to scores, through a store and an engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.attacks import make_attack
from privaudit.attacks.pool import nearness
from privaudit.attacks.registry import registered
from privaudit.engines.task import Task
from privaudit.errors import SettingError, StoreError
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements import Features
from privaudit.measurements.copies import best_structure, copy_threshold
from privaudit.measurements.liveness import answer_facts, count_flat, count_repeated
from privaudit.measurements.pool import Appearance, Pool, share_answers
from privaudit.record import Answers, NearCopies
from privaudit.samples import as_rgb
from privaudit.targets.queries import plan_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from privaudit.attacks import InferenceModel
    from privaudit.audit.sets import LabelledSet
    from privaudit.engines import Engine
    from privaudit.measurements import Measurement
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Query, Target

__all__ = ["BLOCK", "CELLS", "Scorer", "Scores", "beside_cells", "beside_pool", "in_one_pool"]


AT_ONCE = 1024
"""Samples whose m rows are in memory at one time, before they are aggregated."""


@dataclass(frozen=True)
class Scores:
    """What a fitted inference model says of an evaluation set.

    Attributes
    ----------
    threshold, calibration
        As of :class:`privaudit.attacks.InferenceModel`.
    members, non_members
        Scores of the evaluation set, in the order of the samples.
    answers
        How many of the answers were pictures, for the calibration and for the evaluation set.
    near_copies
        How many samples of the evaluation set were redrawn nearly exactly; ``None`` where that was
        not measured.
    blocks
        Names of the similarities that were there for an inference model that reads them by block.
    """

    threshold: float
    calibration: NDArray[np.float64]
    members: NDArray[np.float64]
    non_members: NDArray[np.float64]
    answers: tuple[Answers, Answers]
    near_copies: NearCopies | None = None
    blocks: tuple[str, ...] = ()


@dataclass
class Scorer:
    """Asks targets about samples, measures the answers, and fits and asks inference models.

    Parameters
    ----------
    measurement
        What is measured of an answer.
    settings, store, engine
        How much is asked, where the answers are kept, and where the work runs.
    prompts
        The text to ask with, by sample id.
    m
        Query budget: images a sample.
    progress
        Called with the number of images generated since the last call.
    base
        The model that all targets were fine-tuned from, which is then asked the same; ``None``
        to ask the targets alone.
    """

    measurement: Measurement
    settings: AuditSettings
    store: Store
    engine: Engine
    prompts: Mapping[str, str]
    m: int
    progress: Callable[[int], None]
    batch_size: int | None
    base: Target | None = None

    def queries(self, samples: Sequence[Sample]) -> list[Query]:
        """List the m queries of each sample."""
        prompts = [self.prompts[sample.id] for sample in samples]
        return plan_queries(samples, prompts, self.m, self.settings.seed)

    def task(self, target: Any) -> Task:
        """Say what is asked of a target, and how its answers are measured."""
        return Task(target, self.measurement, self.batch_size)

    def prefetch(self, sets: Sequence[LabelledSet]) -> None:
        """Answer all queries of several sets, those of one target in common batches."""
        samples: dict[str, tuple[Any, list[Sample]]] = {}
        for labelled in sets:
            asked = samples.setdefault(labelled.target.fingerprint, (labelled.target, []))
            asked[1].extend(labelled.samples)
            if self.base is not None:
                both = samples.setdefault(self.base.fingerprint, (self.base, []))
                both[1].extend(labelled.samples)
        for target, wanted in samples.values():
            self._run(self.task(target), self.queries(wanted))

    def features(self, target: Target | Any, samples: Sequence[Sample]) -> Features:
        """Measure m answers to each sample, and aggregate; with the base's beside them."""
        own = self._features(target, samples)
        if self.base is None:
            return own
        theirs = self._features(self.base, samples)
        less = getattr(self.measurement, "less_base", False)
        return own.less(theirs) if less else own.over(theirs)

    def _features(self, target: Target | Any, samples: Sequence[Sample]) -> Features:
        task, parts = self.task(target), []
        for start in range(0, len(samples), AT_ONCE):
            part = samples[start : start + AT_ONCE]
            rows = self._rows(task, self.queries(part)).reshape(len(part), self.m, -1)
            parts.append(self.measurement.features(rows, self.settings.aggregation))
        return Features.joined(parts)

    def calibrated(self, attack: str, labelled: LabelledSet) -> tuple[InferenceModel, Features]:
        """Fit an inference model on the calibration set, and return it with what it saw."""
        self._check_sees_all(attack)
        known = self.features(labelled.target, labelled.samples)
        return self._fitted(attack, known, len(labelled.members)), known

    def _fitted(self, attack: str, known: Features, members: int) -> InferenceModel:
        labels = np.arange(len(known)) < members
        return make_attack(attack, self.settings.seed).fit(known, labels)

    def _check_sees_all(self, attack: str) -> None:
        """Refuse a sequential audit by a pool that would grow while it is looked at."""
        if self.settings.sequential and registered(attack).needs_pool:
            msg = (
                f"{attack} compares each sample with the answers to all, and a sequential audit "
                "stops before it has them: leave it out with --privaudit-attacks, or run without "
                "--privaudit-sequential"
            )
            raise SettingError(msg)

    def _both(self, *sets: LabelledSet, by_cells: bool = False) -> list[Features]:
        """Measure two labelled sets; those of one target have all of its answers for a pool."""
        features = [self.features(labelled.target, labelled.samples) for labelled in sets]
        one_target = len({labelled.target.fingerprint for labelled in sets}) == 1
        if by_cells:
            cells = [self._cells(labelled.samples) for labelled in sets]
            features = beside_cells(features, cells, one_model=one_target)
        return in_one_pool(*features) if one_target else features

    def _cells(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Return the mean colours of 4 × 4 cells of each sample, in levels, shape (n, 48)."""
        keys = [fingerprint_values(cells=sample.digest) for sample in samples]
        images = {key: sample.image for key, sample in zip(keys, samples, strict=True)}
        known = self.store.complete_arrays(
            keys, lambda absent: [{k: answer_facts(as_rgb(images[k]))[1:] for k in absent}]
        )
        return np.stack([known[key] for key in keys])

    def scores(
        self,
        attack: str,
        calibration: LabelledSet,
        evaluation: LabelledSet,
        *,
        by_cells: bool = False,
    ) -> Scores:
        """Fit on one set and score the other; what an earlier run found is not fitted again.

        Parameters
        ----------
        attack
            The inference model.
        calibration, evaluation
            The two sets.
        by_cells
            Add the block :data:`privaudit.audit.pools.CELLS` to what it reads.
        """
        self._check_sees_all(attack)
        sets = (calibration, evaluation)
        models = [*(s.target for s in sets), *([] if self.base is None else [self.base])]
        asked = [self.task(s.target).keys(self.queries(s.samples))[1] for s in sets]
        key = fingerprint_values(
            scores=asked,
            base=None if self.base is None else self.base.fingerprint,
            sizes=[len(labelled.members) for labelled in sets],
            m=self.m,
            aggregation=self.settings.aggregation,
            attack=attack,
            by_cells=by_cells,
            seed=self.settings.seed,
            code=fingerprint_code(),
        )

        def score() -> dict[str, Any]:
            self.prefetch(sets)
            known, asked = self._both(*sets, by_cells=by_cells)
            entry = registered(attack)
            if entry.reads_pool and not entry.needs_pool:
                known, asked = beside_pool(known), beside_pool(asked)
            model = self._fitted(attack, known, len(calibration.members))
            scores = model.score(asked)
            n = len(evaluation.members)
            counts = (
                self.answers(known, calibration.samples),
                self.answers(asked, evaluation.samples),
            )
            return {
                "threshold": float(model.threshold),
                "calibration": model.calibration_scores.tolist(),
                "members": scores[:n].tolist(),
                "non_members": scores[n:].tolist(),
                "answers": [count.to_dict() for count in counts],
                "near_copies": self._near_copies(
                    known, len(calibration.members), asked, len(evaluation.members)
                ),
                "blocks": sorted(asked.blocks),
            }

        persistent = all(self.task(model).persistent for model in models)
        kept = self.store.remembered(key, score, persistent=persistent)
        return Scores(
            threshold=kept["threshold"],
            calibration=np.asarray(kept["calibration"]),
            members=np.asarray(kept["members"]),
            non_members=np.asarray(kept["non_members"]),
            answers=(Answers(**kept["answers"][0]), Answers(**kept["answers"][1])),
            near_copies=None if kept["near_copies"] is None else NearCopies(**kept["near_copies"]),
            blocks=tuple(kept["blocks"]),
        )

    def _near_copies(
        self, known: Features, n_known: int, asked: Features, n_asked: int
    ) -> dict[str, Any] | None:
        """Count the samples of an evaluation set that were redrawn nearly exactly.

        The first so many samples of each set are its members.
        """
        before, after = best_structure(known), best_structure(asked)
        if before is None or after is None:
            return None
        threshold = copy_threshold(before[n_known:])
        copied = after > threshold
        return NearCopies(
            threshold=threshold,
            members=int(copied[:n_asked].sum()),
            non_members=int(copied[n_asked:].sum()),
        ).to_dict()

    def on_base(self, attack: str, calibration: LabelledSet, evaluation: LabelledSet) -> Scores:
        """Fit and score as :meth:`scores` does, with the base in place of every target.

        It was not fine-tuned on anybody: if it tells members from non-members, the sets differ.

        Raises
        ------
        ValueError
            If no base is known.
        """
        if self.base is None:
            msg = "no base model is known"
            raise ValueError(msg)
        sets = (replace(labelled, target=self.base) for labelled in (calibration, evaluation))
        return replace(self, base=None).scores(attack, *sets)

    def answers(self, features: Features, samples: Sequence[Sample]) -> Answers:
        """Count the answers to samples that are no pictures."""
        if features.facts is None:
            return Answers()
        prompts = [self.prompts[sample.id] for sample in samples]
        return Answers(
            n=features.facts[..., 0].size,
            flat=count_flat(features.facts),
            repeated=count_repeated(features.facts, prompts),
        )

    def _run(self, task: Task, queries: Sequence[Query]) -> None:
        self.engine.run(task, queries, self.store, self.progress)

    def _rows(self, task: Task, queries: Sequence[Query]) -> NDArray[np.float32]:
        keys = task.keys(queries)[1]
        rows = self.store.arrays(keys)
        if len(rows) < len(keys):  # some are damaged or evicted, or were never asked for
            self._run(task, queries)
            rows = self.store.arrays(keys)
        if len(rows) < len(keys):
            msg = (
                f"{len(keys) - len(rows)} of {len(keys)} similarities were lost from the store "
                "while they were in use: is another process clearing it?"
            )
            raise StoreError(msg)
        return np.stack([rows[key] for key in keys])


BLOCK, CELLS = "pool", "cells"


def in_one_pool(one: Features, other: Features) -> list[Features]:
    """Compare two groups of samples, of which one model was asked, with all of its answers.

    Those of the base, if it was asked the same, are put together likewise: what is subtracted has
    as many answers, to the same prompts.
    """
    both = [one, other]
    if one.pool is not None and other.pool is not None:
        pools = share_answers(one.pool, other.pool)
        both = [replace(f, pool=pool) for f, pool in zip(both, pools, strict=True)]
    if one.base_pool is not None and other.base_pool is not None:
        pools = share_answers(one.base_pool, other.base_pool)
        both = [replace(f, base_pool=pool) for f, pool in zip(both, pools, strict=True)]
    return both


def beside_pool(features: Features) -> Features:
    """Add the block ``"pool"``: how near each sample is to any answer, not only to its own.

    Asked by the words of a captioner, a model that memorised a member may draw it for somebody
    else. See :func:`privaudit.attacks.pool.nearness`; ``"pool over base"`` is the same less that of
    the base's answers. Without a pool nothing is added.

    Parameters
    ----------
    features
        With a pool that is complete: nearness to a part of it is another thing.
    """
    if features.pool is None:
        return features
    blocks = {**features.blocks, BLOCK: nearness(features.pool)}
    if features.base_pool is not None:
        blocks[f"{BLOCK} over base"] = blocks[BLOCK] - nearness(features.base_pool)
    return replace(features, blocks=blocks)


def beside_cells(
    sets: Sequence[Features], samples: Sequence[NDArray[np.float32]], *, one_model: bool
) -> list[Features]:
    """Add the block ``"cells"``: what ``"pool"`` is, by the small picture kept of each answer.

    Of every answer a row keeps the mean colours of 4 × 4 cells, see
    :mod:`privaudit.measurements.liveness`. They tell a copy from nearly any other picture, and are
    there where no attack of the audit asked for a pool.

    Parameters
    ----------
    sets
        Two groups of samples, each beside its own answers.
    samples
        The same of the samples themselves, in levels of 255, shape (n, 48) each.
    one_model
        Whether both groups were asked of one model, all of whose answers are then the pool.
    """
    if any(one.facts is None for one in sets):
        return list(sets)
    pools = tuple(_cell_pool(one, cells) for one, cells in zip(sets, samples, strict=True))
    if one_model:
        pools = share_answers(*pools)
    return [
        replace(one, blocks={**one.blocks, CELLS: nearness(pool)})
        for one, pool in zip(sets, pools, strict=True)
    ]


def _cell_pool(features: Features, cells: NDArray[np.float32]) -> Pool:
    facts = features.facts
    assert facts is not None
    answers = facts[..., 1:].reshape(-1, facts.shape[-1] - 1)
    own, all_answers = (
        Appearance(levels / np.float32(255), np.empty((len(levels), 0), np.float32))
        for levels in (cells, answers)
    )
    return Pool(own, all_answers, facts.shape[1])
