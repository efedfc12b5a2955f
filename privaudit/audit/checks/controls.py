"""Checks that need no answer of the target: positive control, sensitivity, is it the base."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit import statistics
from privaudit.attacks.registry import registered
from privaudit.audit.checks.samples import (
    BLIND_ERROR,
    BLIND_QUESTIONS,
    blind_baseline,
    blind_caption_baseline,
    blind_test,
    near_duplicates,
    sample_features,
)
from privaudit.audit.scoring import Scorer
from privaudit.audit.sets import LabelledSet
from privaudit.encoders.base import encoder_identity
from privaudit.engines.local import LocalEngine
from privaudit.engines.missing import Missing, refusal_key
from privaudit.engines.task import Task, generate
from privaudit.fingerprint import fingerprint_code, fingerprint_pixels, fingerprint_values
from privaudit.measurements.pixels import structural_similarities
from privaudit.record import BlindBaseline, BlindFinding, NearDuplicate, Validity
from privaudit.samples import ImagesByDigest, as_rgb
from privaudit.targets import CopyingTarget
from privaudit.targets.graded import COPIED_AT_ONCE, GRADES, ROUND_TRIP, GradedTarget, round_trip
from privaudit.targets.queries import plan_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from privaudit.audit.sets import Experiment
    from privaudit.encoders import Encoder
    from privaudit.encoders.cache import FeatureCache
    from privaudit.measurements import Measurement
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Query, Target

__all__ = ["Preflight", "judge"]


POOLED_AT_ONCE = 64
LADDER = 48
"""Samples of each class that the sensitivity is found on."""
COMPARED_WITH_VAE = 8
RECOGNISABLE = 0.5
"""Mean structural similarity above which an autoencoder gives back what it was given."""
COMPARED_WITH_BASE = 2
"""Queries that the target and its base are both asked."""


@dataclass
class Preflight:
    """The questions, each answered once for all sessions of the same sets and encoder.

    Parameters
    ----------
    target, base
        The model under audit, and the one that it was fine-tuned from, if that was given.
    members, non_members
        All samples of the audit.
    encoder, features
        The image encoder, and what it has encoded already.
    measurement, settings, store
        Those of the audit.
    """

    target: Target
    base: Target | None
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    encoder: Encoder
    features: FeatureCache
    measurement: Measurement
    settings: AuditSettings
    store: Store

    def check(self, experiment: Experiment, attack: str) -> Validity:
        """Ask whether one attack of one scenario can say anything; no image is generated."""
        name = f"{experiment.scenario.name}-{attack}"
        control = self._control(
            attack, CopyingTarget, experiment.calibration, experiment.evaluation
        )
        return self._judged(experiment, sensitivity=self.sensitivity, controls={name: control})

    def sets(self, experiment: Experiment) -> Validity:
        """Ask what :meth:`check` asks of the samples and the base alone, whatever the attack."""
        return self._judged(experiment, sensitivity={}, controls={})

    def _judged(self, experiment: Experiment, **graded: Any) -> Validity:
        return judge(
            budget=self.settings.budget,
            blind_image=self.blind_image,
            blind_caption=self.blind_caption,
            blind_facts=self.blind_facts,
            blind_limit=self.settings.blind_limit,
            duplicates=self._duplicates(experiment),
            evaluation_ids=[sample.id for sample in experiment.evaluation.samples],
            is_base=self.is_base,
            **graded,
        )

    @functools.cached_property
    def is_base(self) -> bool:
        """Whether the target draws exactly what its base model draws.

        Asked of the pictures of a few queries, once for all sessions of the same two models.
        """
        key = fingerprint_values(
            question="draws as its base",
            target=self.target.fingerprint,
            base=None if self.base is None else self.base.fingerprint,
        )
        known = self.base is None or self.base.persistent
        persistent = self.target.persistent and known
        return bool(self.store.remembered(key, self._ask_both, persistent=persistent))

    def _ask_both(self) -> bool | None:
        if self.base is None:
            # A pipeline may know by itself what it was made of.
            own = getattr(self.target, "draws_as_base", lambda: None)
            answer: bool | None = own()
            return answer
        asked = sorted(self.members, key=lambda sample: sample.id)[:COMPARED_WITH_BASE]
        queries = plan_queries(asked, [s.caption for s in asked], 1, self.settings.seed)
        models = (self.target, self.base)
        for knows in (model.knows for model in models if hasattr(model, "knows")):
            queries = [query for query in queries if knows(query)]
        if not queries:
            return False
        own, its = (self._drawn(model, queries) for model in models)
        return bool(own) and own == its

    def _drawn(self, model: Target, queries: Sequence[Query]) -> list[str]:
        """Return hashes of a model's answers; none, if it refused one."""
        if not getattr(model, "may_refuse", False):
            answers = {
                a.query.sample.id: fingerprint_pixels(a.image) for a in model.answer(queries)
            }
            return [answers[query.sample.id] for query in queries]
        # What a service answers was paid for: it is kept, as when it is asked for good.
        missing = Missing(Task(model, self.measurement, None), queries, self.store)
        images = missing.stored(range(len(queries)))
        generate(model, dict(enumerate(queries)), len(queries), images, missing.heard)
        refused = self.store.texts([refusal_key(key) for key in missing.task.keys(queries)[0]])
        return [] if refused else [fingerprint_pixels(images[i]) for i in range(len(queries))]

    @functools.cached_property
    def blind_image(self) -> BlindBaseline | None:
        """How well members are told from non-members by their images alone."""

        def ask(confidence: float, seed: int) -> BlindBaseline | None:
            sides = (self._pooled(side) for side in (self.members, self.non_members))
            return blind_baseline(*sides, confidence=confidence, seed=seed)

        sides = [[s.digest for s in side] for side in (self.members, self.non_members)]
        return self._blind("blind images", sides, ask)

    @functools.cached_property
    def blind_caption(self) -> BlindBaseline | None:
        """How well members are told from non-members by their captions alone."""
        sides = [[s.caption for s in side] for side in (self.members, self.non_members)]

        def ask(confidence: float, seed: int) -> BlindBaseline | None:
            return blind_caption_baseline(*sides, confidence=confidence, seed=seed)

        return self._blind("blind captions", sides, ask)

    @functools.cached_property
    def blind_facts(self) -> BlindFinding | None:
        """What tells members from non-members best of how they were written down."""
        # In order of ids: relabellings are drawn by position.
        ids = {sample.id for sample in self.members}
        samples = sorted([*self.members, *self.non_members], key=lambda sample: sample.id)
        labels = [sample.id in ids for sample in samples]

        def ask() -> dict[str, Any] | None:
            found = blind_test(sample_features(samples), labels, seed=self.settings.seed)
            return None if found is None else found.to_dict()

        written = [[s.id, s.caption, *dataclasses.astuple(s.facts)] for s in samples]
        known = self._remembered(ask, what="blind facts", written=written, labels=labels)
        return None if known is None else BlindFinding(**known)

    def _blind(
        self,
        what: str,
        sides: list[list[str]],
        ask: Callable[[float, int], BlindBaseline | None],
    ) -> BlindBaseline | None:
        # The questions share the error, so that two equal sets are called different in 5 % at
        # most.
        level = 1 - (1 - self.settings.confidence) / BLIND_QUESTIONS

        def make() -> dict[str, Any] | None:
            baseline = ask(level, self.settings.seed)
            return None if baseline is None else baseline.to_dict()

        found = self._remembered(make, what=what, sides=sides, level=level)
        return None if found is None else BlindBaseline(**found)

    def _duplicates(self, experiment: Experiment) -> list[NearDuplicate]:
        """Find the pictures that are on both sides of a divide."""
        sets = {
            f"the {word} {name}": samples
            for word, labelled in (
                ("calibration", experiment.calibration),
                ("evaluated", experiment.evaluation),
            )
            for name, samples in (
                ("members", labelled.members),
                ("non-members", labelled.non_members),
            )
        }

        def ask() -> list[dict[str, Any]]:
            rows = {
                name: ([sample.id for sample in samples], self._pooled(samples))
                for name, samples in sets.items()
            }
            pairs = near_duplicates(rows, self.settings.duplicate_limit)
            return [pair.to_dict() for pair in pairs]

        found = self._remembered(
            ask,
            what="near-duplicates",
            sets={name: [(s.id, s.digest) for s in samples] for name, samples in sets.items()},
            limit=self.settings.duplicate_limit,
        )
        return [NearDuplicate(**pair) for pair in found]

    def _control(
        self,
        attack: str,
        make: Callable[[Sequence[Sample], Sequence[Sample]], Target],
        *around: LabelledSet,
    ) -> float:
        """AUC of the attack on a target that returns its training images, whatever it is asked.

        Only the samples of the two sets count: the control takes the place of their targets.
        """
        sets = [
            LabelledSet(make(one.members, one.non_members), one.members, one.non_members)
            for one in around
        ]
        scorer = Scorer(
            measurement=self.measurement,
            settings=self.settings,
            store=self.store,
            engine=LocalEngine(),  # the encoder of this process sees the queries anyway
            prompts={sample.id: sample.id for labelled in sets for sample in labelled.samples},
            m=1,
            progress=lambda _: None,
            batch_size=self.settings.batch_size,
        )
        scores = scorer.scores(attack, *sets)
        return statistics.auc(scores.members, scores.non_members)

    @functools.cached_property
    def sensitivity(self) -> dict[str, dict[str, float]]:
        """AUC of the most telling attack on less and less faint copies, to the first it sees.

        Whoever sees a faint copy sees a plainer one, so a good ruler costs one grade. Once for an
        audit, on at most ``LADDER`` samples of each class: a ladder on all samples of
        each scenario would take a good part of the time that the audit itself takes.
        """
        attack = max(self.settings.attacks, key=lambda name: registered(name).reads_base)
        drawn = [
            sorted(samples, key=lambda sample: fingerprint_values(ladder=sample.id))[:LADDER]
            for samples in (self.members, self.non_members)
        ]
        calibration, evaluation = (
            LabelledSet(self.target, *(samples[start::2] for samples in drawn)) for start in (0, 1)
        )
        return {attack: self._ladder(attack, calibration, evaluation)}

    def _ladder(
        self, attack: str, calibration: LabelledSet, evaluation: LabelledSet
    ) -> dict[str, float]:
        def on(name: str, change: Any) -> float:
            make = partial(GradedTarget, name=name, change=change)
            return self._control(attack, make, calibration, evaluation)

        def ask() -> float | None:
            pipeline = getattr(self.target, "pipeline", None)
            change = None if pipeline is None else round_trip(pipeline)
            if change is None:
                return None
            pictures = [as_rgb(s.image) for s in evaluation.members[:COMPARED_WITH_VAE]]
            alike = structural_similarities(pictures, change.copies(pictures))
            if not alike.mean() > RECOGNISABLE:
                return None  # an untrained autoencoder can draw nobody
            members = [*evaluation.members, *calibration.members]
            for start in range(0, len(members), COPIED_AT_ONCE):
                change.copies([as_rgb(s.image) for s in members[start : start + COPIED_AT_ONCE]])
            return on(f"{ROUND_TRIP} {self.target.fingerprint}", change)

        sets = (calibration, evaluation)
        own = self._remembered(
            ask,
            what=ROUND_TRIP,
            target=self.target.fingerprint,
            measurement=self.measurement.identity,
            attack=attack,
            sets=[[s.digest for s in side] for e in sets for side in (e.members, e.non_members)],
        )
        found = {} if own is None else {ROUND_TRIP: float(own)}
        for name, change in reversed(GRADES.items()):
            found[name] = on(name, change)
            if found[name] > self.settings.budget:
                break
        return found

    def _remembered(self, make: Callable[[], Any], **causes: Any) -> Any:
        identity, persistent = encoder_identity(self.encoder)
        key = fingerprint_values(
            encoder=identity, seed=self.settings.seed, code=fingerprint_code(), **causes
        )
        return self.store.remembered(key, make, persistent=persistent)

    def _pooled(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Mean over tokens of each query image's features, shape (n, channels)."""
        identity, persistent = encoder_identity(self.encoder)
        by_digest = {sample.digest: sample for sample in samples}
        keys = {digest: fingerprint_values(pooled=digest, encoder=identity) for digest in by_digest}
        digests = {key: digest for digest, key in keys.items()}

        def encode(absent: list[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
            for start in range(0, len(absent), POOLED_AT_ONCE):
                part = {digests[key]: key for key in absent[start : start + POOLED_AT_ONCE]}
                images = ImagesByDigest(by_digest[digest] for digest in part)
                states = self.features.encode(images, {})
                yield {key: states[digest].mean(axis=0) for digest, key in part.items()}

        found = self.store.complete_arrays(list(digests), encode, persistent=persistent)
        return np.stack([found[keys[sample.digest]] for sample in samples])


LARGEST_SHARE = 0.05
"""Share of the evaluation set that may have a near-duplicate elsewhere."""
CONTROL_AUC = 0.95
"""What the attack must reach on a model that returns its training images."""


def _told_by(found: BlindFinding | None, limit: float) -> list[str]:
    """Say which fact of captions and files tells members from non-members, if one does."""
    if found is None or found.p_value > BLIND_ERROR / BLIND_QUESTIONS or found.auc <= limit:
        return []
    return [
        f"blind AUC {found.auc:.3f} > {limit:g}: members are told from non-members by one fact "
        f"alone, {found.feature!r} (chance finds one of {found.n_features} facts as telling with "
        f"p = {found.p_value:.3f}), without the model\nmake captions and files of both by the same "
        "steps, and decide membership by privaudit.split_by_coin"
    ]


def _too_weak(graded: Mapping[str, Mapping[str, float]], budget: float) -> list[str]:
    """Say which attacks do not see what a model's own autoencoder makes of its members."""
    return [
        f"sensitivity control AUC {aucs[ROUND_TRIP]:.3f} <= {budget:g} by {name}: this audit "
        "would pass a model that returns its training images as its own autoencoder draws them\n"
        "use another --privaudit-encoder, or more samples"
        for name, aucs in graded.items()
        if ROUND_TRIP in aucs and not aucs[ROUND_TRIP] > budget
    ]


def judge(
    *,
    blind_image: BlindBaseline | None,
    blind_caption: BlindBaseline | None,
    blind_facts: BlindFinding | None,
    blind_limit: float,
    duplicates: Sequence[NearDuplicate],
    evaluation_ids: Sequence[str],
    is_base: bool,
    controls: Mapping[str, float],
    sensitivity: Mapping[str, Mapping[str, float]] | None = None,
    budget: float = CONTROL_AUC,
) -> Validity:
    """Decide whether an audit may conclude anything.

    Parameters
    ----------
    blind_image, blind_caption
        The blind baselines.
    blind_facts
        The most telling fact of captions and files.
    blind_limit
        The largest AUC that the lower bound of a baseline, or such a fact, may have.
    duplicates
        All near-duplicates across sets, the most alike first.
    evaluation_ids
        Who is evaluated.
    is_base
        Whether the target draws exactly what its base model draws.
    controls
        AUC of the positive control, by the name of the attack.
    sensitivity
        AUC on changed copies, by the name of the attack and what was done to them.
    budget
        The largest AUC that is accepted of a model.
    """
    reasons = []
    if is_base:
        reasons.append(
            "the target draws exactly what its base model draws: it is no fine-tune, or what was "
            "fine-tuned was not loaded, and nothing is known of the model you mean to release\n"
            "check the adapter or weights that target_model loads, and that they are active"
        )
    for what, blind in (("images", blind_image), ("captions", blind_caption)):
        # Written so that NaN is a reason.
        if blind is not None and not blind.interval.low <= blind_limit:
            reasons.append(
                f"blind AUC {blind.auc:.3f} (at least {blind.interval.low:.3f}) > "
                f"{blind_limit:g}: members are told from non-members by their {what} alone, "
                "without the model\ntake both from one source, and decide membership by "
                "privaudit.split_by_coin"
            )
    reasons += _told_by(blind_facts, blind_limit)
    evaluated = set(evaluation_ids)
    doubled = {s for pair in duplicates for s in (pair.first, pair.second) if s in evaluated}
    if len(doubled) > LARGEST_SHARE * len(evaluated):
        first = duplicates[0]
        reasons.append(
            f"{len(doubled)} of {len(evaluated)} evaluated samples have a near-duplicate in "
            f"another set, such as {first.first!r} of {first.first_set} and {first.second!r} of "
            f"{first.second_set} (cosine {first.cosine:.3f})\nremove one of each pair"
        )
    for name, auc in controls.items():
        if not auc >= CONTROL_AUC:
            reasons.append(
                f"positive control AUC {auc:.3f} < {CONTROL_AUC:g} by {name}: this encoder and "
                "similarity do not see even an exact copy\nuse another --privaudit-encoder or "
                "--privaudit-similarity"
            )
    graded = {name: dict(aucs) for name, aucs in (sensitivity or {}).items()}
    reasons += _too_weak(graded, budget)
    return Validity(
        sensitivity={
            name: {grade: auc if math.isfinite(auc) else None for grade, auc in aucs.items()}
            for name, aucs in graded.items()
        },
        blind_image=blind_image,
        blind_caption=blind_caption,
        blind_facts=blind_facts,
        near_duplicates=list(duplicates[:10]),
        n_near_duplicates=len(doubled),
        # JSON has no word for NaN.
        controls={name: auc if math.isfinite(auc) else None for name, auc in controls.items()},
        reasons=reasons,
    )
