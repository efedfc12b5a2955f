"""Checks that need no answer of the target: positive control, sensitivity, is it the base."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from privaudit import statistics
from privaudit.attacks.registry import registered
from privaudit.audit.checks.samples import (
    remember,
)
from privaudit.audit.scoring import Scorer
from privaudit.audit.sets import LabelledSet
from privaudit.engines.local import LocalEngine
from privaudit.engines.missing import Missing, refusal_key
from privaudit.engines.task import Task, generate
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.measurements.pixels import structural_similarities
from privaudit.samples import as_rgb
from privaudit.targets import CopyingTarget
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.graded import COPIED_AT_ONCE, GRADES, ROUND_TRIP, GradedTarget, round_trip
from privaudit.targets.queries import plan_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PIL import Image

    from privaudit.audit.sets import AuditSamples, Sets
    from privaudit.encoders import Encoder
    from privaudit.measurements import Measurement
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Query, Target

__all__ = ["Controls", "judge_control", "judge_is_base", "judge_sensitivity"]


LADDER = 48
"""Samples of each class that the sensitivity is found on."""
COMPARED_WITH_VAE = 8
RECOGNISABLE = 0.5
"""Mean structural similarity above which an autoencoder gives back what it was given."""
COMPARED_WITH_BASE = 2
"""Queries that the target and its base are both asked."""


@dataclass
class Controls:
    """Audits of models whose answers are known, each run once for all sessions of the same sets.

    Parameters
    ----------
    target, base
        The model under audit, and the one that it was fine-tuned from, if that was given.
    samples
        The audit's members and non-members.
    encoder
        The image encoder.
    measurement, settings, store
        Those of the audit.
    """

    target: Target
    base: Target | None
    samples: AuditSamples
    encoder: Encoder
    measurement: Measurement
    settings: AuditSettings
    store: Store

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
            itself = capabilities_of(self.target).draws_as_base
            return None if itself is None else itself()
        asked = sorted(self.samples.members, key=lambda sample: sample.id)[:COMPARED_WITH_BASE]
        queries = plan_queries(asked, [s.caption for s in asked], 1, self.settings.seed)
        models = (self.target, self.base)
        for knows in (capabilities_of(model).knows for model in models):
            queries = [query for query in queries if knows is None or knows(query)]
        if not queries:
            return False
        own, its = (self._drawn(model, queries) for model in models)
        return bool(own) and own == its

    def _drawn(self, model: Target, queries: Sequence[Query]) -> list[str]:
        """Return hashes of a model's answers; none, if it refused one."""
        if not capabilities_of(model).may_refuse:
            answers: dict[int, Image.Image] = {}
            generate(model, dict(enumerate(queries)), len(queries), answers)
            return [fingerprint_pixels(answers[i]) for i in range(len(queries))]
        # What a service answers was paid for: it is kept, as when it is asked for good.
        missing = Missing(Task(model, self.measurement, None), queries, self.store)
        images = missing.stored(range(len(queries)))
        generate(model, dict(enumerate(queries)), len(queries), images, missing.heard)
        refused = self.store.texts([refusal_key(key) for key in missing.task.keys(queries)[0]])
        return [] if refused else [fingerprint_pixels(images[i]) for i in range(len(queries))]

    def positive_control(self, sets: Sets, attack: str) -> float:
        """Return the AUC of an attack on a target that returns its training images."""
        return self._control(attack, CopyingTarget, *sets.labelled)

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
            for samples in (self.samples.members, self.samples.non_members)
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
            load = capabilities_of(self.target).pipeline
            change = None if load is None else round_trip(load())
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
        own = self._remember(
            ask,
            what=ROUND_TRIP,
            target=self.target.fingerprint,
            measurement=self.measurement.identity,
            attack=attack,
            sets=[[s.digest for s in side] for e in sets for side in (e.members, e.non_members)],
        )
        grades = {} if own is None else {ROUND_TRIP: float(own)}
        for name, change in reversed(GRADES.items()):
            grades[name] = on(name, change)
            if grades[name] > self.settings.budget:
                break
        return grades

    def _remember(self, make: Callable[[], Any], **causes: Any) -> Any:
        return remember(self.store, self.encoder, self.settings.seed, make, **causes)


CONTROL_AUC = 0.95
"""What the attack must reach on a model that returns its training images."""


def judge_is_base(is_base: bool) -> list[str]:
    """Say why nothing can be concluded of a target that draws what its base model draws."""
    if not is_base:
        return []
    return [
        "the target draws exactly what its base model draws: it is no fine-tune, or what was "
        "fine-tuned was not loaded, and nothing is known of the model you mean to release\n"
        "check the adapter or weights that target_model loads, and that they are active"
    ]


def judge_control(name: str, auc: float) -> list[str]:
    """Say why nothing can be concluded of an attack that does not see an exact copy.

    Parameters
    ----------
    name
        The result, such as ``"attack-I-threshold"``.
    auc
        Of the positive control.
    """
    if auc >= CONTROL_AUC:
        return []
    return [
        f"positive control AUC {auc:.3f} < {CONTROL_AUC:g} by {name}: this encoder and "
        "similarity do not see even an exact copy\nuse another --privaudit-encoder or "
        "similarity"
    ]


def judge_sensitivity(grades: Mapping[str, Mapping[str, float]], budget: float) -> list[str]:
    """Say which attacks do not see what a model's own autoencoder makes of its members.

    At a budget of 1 nothing can be over it, and the audit only compares.

    Parameters
    ----------
    grades
        AUC on changed copies, by the name of the attack and what was done to them.
    budget
        The largest AUC that is accepted.
    """
    return [
        f"sensitivity control AUC {aucs[ROUND_TRIP]:.3f} <= {budget:g} by {name}: this audit "
        "would pass a model that returns its training images as its own autoencoder draws them\n"
        "use another --privaudit-encoder, or more samples"
        for name, aucs in grades.items()
        if budget < 1 and ROUND_TRIP in aucs and not aucs[ROUND_TRIP] > budget
    ]
