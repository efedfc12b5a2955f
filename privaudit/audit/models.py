"""The models of one audit, made once from what a user supplied."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import registered
from privaudit.audit.plan import Unmade
from privaudit.audit.sets import (
    AuditSamples,
    LabelledSet,
    Sets,
    check_sets,
    n_evaluated,
    sample_set,
    write_captions,
)
from privaudit.audit.shadows import Shadows
from privaudit.audit.threat_models import SCENARIOS, get_threat_model
from privaudit.audit.verdict import chance
from privaudit.encoders import as_encoder, load_encoder
from privaudit.encoders.cache import FeatureCache
from privaudit.encoders.clip import load_clip
from privaudit.errors import SettingError
from privaudit.measurements import AnswerSimilarity, ReconstructionSimilarity
from privaudit.measurements.captions import CaptionSimilarity
from privaudit.targets import as_target, base_of, without_effect
from privaudit.targets.acceleration import Acceleration
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.convert import pipeline_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.captioners import Captioner
    from privaudit.encoders import Encoder
    from privaudit.record import Chance, SampleSet
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Target

__all__ = ["IDLE", "Models", "captions_of", "check_clip", "is_idle"]


PIPELINE = (
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "dtype",
    "channels_last",
    "compile",
)
"""What a diffusers pipeline is called with, and how it is changed."""
named_encoder = functools.lru_cache(maxsize=1)(load_encoder)
"""Several audits of a session have one encoder, and load it once."""


IDLE = "no inference model of this audit reads what a CLIP sees"
named_clip = functools.lru_cache(maxsize=1)(load_clip)
"""Several audits of a session have one, and load it once."""


class Models:
    """The models of one audit, each made when it is first needed, and the sets they are asked on.

    Parameters
    ----------
    inputs
        What the user supplied. More can be supplied later, see :meth:`supply`.
    settings
        The audit's settings.
    store
        Where captions are kept.
    scenarios
        Those that will be decided; by default those of the settings for which the inputs
        suffice.

    Attributes
    ----------
    samples
        The audit's members and non-members.
    """

    def __init__(
        self,
        inputs: AuditInputs,
        settings: AuditSettings,
        store: Store,
        scenarios: tuple[str, ...] | None = None,
    ) -> None:
        self.inputs, self.settings = inputs, settings
        self.samples = AuditSamples(inputs, settings)
        self._store, self._scenarios = store, scenarios
        self._sets: dict[str, Sets] = {}
        self._asked_base: Target | None = None

    def supply(self, inputs: AuditInputs) -> bool:
        """Add what another scenario needs.

        Returns
        -------
        bool
            Whether these are inputs of this audit; if not, nothing was changed.
        """
        both = self.inputs.filled(inputs)
        if both is not None:
            self.inputs = both
        return both is not None

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios that will be decided."""
        if self._scenarios is not None:
            return self._scenarios
        return tuple(
            name
            for name in self.settings.scenarios
            if not self.inputs.lacking(SCENARIOS[name], self.settings.protocol)
        )

    @functools.cached_property
    def target(self) -> Target:
        """The target model.

        Raises
        ------
        SettingError
            If the audit file sets what cannot reach it.
        """
        self.check_settings()
        return self.as_target(self.inputs.target_model)

    @functools.cached_property
    def base(self) -> Target | None:
        """The model that the target was fine-tuned from, if it was given."""
        model = self.inputs.base_model
        return None if model is None else self.as_target(model)

    @functools.cached_property
    def known_base(self) -> Target | None:
        """The base model that was given, or that the target's own pipeline was made of."""
        own = None if self.base is not None else base_of(self.inputs.target_model)
        return self.base if own is None else self.as_target(own)

    def base_to_ask(self, threat_model: ThreatModel) -> Target | None:
        """Return the base model that is asked what the target is asked, if it is known.

        ``None`` where no attack reads its answers, or the settings leave it out.

        Parameters
        ----------
        threat_model
            Who asks. An attack with more than text compares with the base wherever it is known.
        """
        settings = self.settings
        reads = not threat_model.by_text or any(
            registered(name).reads_base for name in settings.attacks
        )
        base = self.known_base if settings.base_calibration and reads else None
        if threat_model.by_text:
            self._asked_base = base
        return base

    @functools.cached_property
    def encoder(self) -> Encoder:
        """The image encoder."""
        encoder = self.inputs.image_encoder
        if encoder is None:
            encoder = self.settings.encoder
        return named_encoder(encoder) if isinstance(encoder, str) else as_encoder(encoder)

    @functools.cached_property
    def shadows(self) -> Shadows:
        """The shadow models, given or made."""
        return Shadows(self, self._store)

    @functools.cached_property
    def features(self) -> FeatureCache:
        """What the encoder has seen, so that no query image is encoded twice."""
        return FeatureCache(self.encoder)

    @functools.cached_property
    def measurement(self) -> AnswerSimilarity:
        """What is measured of each answer."""
        settings = self.settings
        paper = ReconstructionSimilarity(
            self.encoder, settings.similarity, settings.similarity_axis, self.features
        )
        # A pool that grows while it is looked at is left out by those that can do without.
        asked = [registered(name) for name in settings.attacks]
        pool = any(one.needs_pool if settings.sequential else one.reads_pool for one in asked)
        return AnswerSimilarity(paper, pool=pool, captions=captions_of(settings))

    @functools.cached_property
    def chance(self) -> Chance | None:
        """How often this gate errs at this size; ``None`` of a sequential audit."""
        settings = self.settings
        if settings.sequential:
            return None
        sizes = [
            n_evaluated(
                SCENARIOS[name],
                len(self.samples.members),
                len(self.samples.non_members),
                settings.calibration,
            )
            for name in self.scenarios
        ]
        return chance(sizes, len(settings.attacks), settings.budget)

    # -- what it asks

    def sets(self, name: str, *, planned: bool = False) -> Sets:
        """Return who calibrates, who is evaluated, on which model and in which words.

        Captions that are not stored are written now.

        Parameters
        ----------
        name
            Of a threat model, see :func:`privaudit.audit.threat_models.get_threat_model`.
        planned
            Whether a shadow model that is not made yet may be left unmade.

        Raises
        ------
        SampleError
            If the samples are unusable; nothing was generated.
        """
        if name in self._sets:
            return self._sets[name]
        threat_model = get_threat_model(name)
        self.samples.check()
        if threat_model.knows_captions:
            self.samples.check_captions()
        calibration, evaluation = self._labelled(threat_model, planned=planned)
        check_sets(calibration, evaluation, captions=threat_model.knows_captions)
        samples = [*calibration.samples, *evaluation.samples]
        sets = Sets(threat_model, calibration, evaluation, self._prompts(threat_model, samples))
        if not isinstance(calibration.target, Unmade):
            self._sets[name] = sets
        return sets

    def _labelled(
        self, threat_model: ThreatModel, *, planned: bool
    ) -> tuple[LabelledSet, LabelledSet]:
        """Return who calibrates and who is evaluated."""
        self.inputs.check_protocol(self.settings, threat_model)
        shadow = threat_model.shadow(self.settings.protocol)
        evaluation = (self.samples.members, self.samples.non_members)
        if threat_model.knows_members:
            evaluation = self.samples.split[2:]
        evaluated = LabelledSet(self.target, *evaluation)
        if shadow is None:
            return LabelledSet(self.target, *self.samples.split[:2]), evaluated
        return self.shadows.labelled(shadow, planned=planned), evaluated

    def notes(self) -> list[str]:
        """Say what else a reader of the record should know, one sentence each."""
        notes = [*self.settings_notes(), *self.shadows.notes()]
        for role, model in self.models_used().items():
            notes += [f"{role}: {note}" for note in capabilities_of(model).unchecked]
        return notes

    def _prompts(self, threat_model: ThreatModel, samples: Sequence[Sample]) -> dict[str, str]:
        if threat_model.knows_captions:
            return {sample.id: sample.caption for sample in samples}
        return write_captions(self._captioner, samples, self.settings.batch_size, self._store)

    @functools.cached_property
    def _captioner(self) -> Captioner:
        from privaudit.captioners import as_captioner

        return as_captioner(self.inputs.captioner)

    def as_target(self, model: Any) -> Target:
        """Return a model that a user gave as a target, asked as the settings say."""
        return as_target(
            model,
            num_inference_steps=self.settings.num_inference_steps,
            guidance_scale=self.settings.guidance_scale,
            acceleration=Acceleration.of(self.settings),
        )

    def without_effect(self) -> list[str]:
        """Name the settings that reach nothing: their values say nothing about what ran."""
        names = [] if self.inputs.image_encoder is None else ["encoder"]
        names += ["clip"] * is_idle(self.settings)
        wanted = {name: getattr(self.settings, name) for name in PIPELINE}
        return [*names, *without_effect(self.inputs.target_model, wanted)]

    def check_settings(self) -> None:
        """Refuse a setting of the audit file that reaches nothing.

        Asked again once a :class:`privaudit.SavedPipeline` is loaded, which tells more then.

        Raises
        ------
        SettingError
            If there is one, or if an inference model needs one that is not there.
        """
        check_clip(self.settings)
        refused = [n for n in self.without_effect() if self.settings.source(n) == "marker"]
        if refused:
            msg = (
                f"{', '.join(refused)} of privacy_budget(…) cannot reach what it is for: "
                f"{self._why_without_effect(refused[0])}; remove it, or set it where that is made"
            )
            raise SettingError(msg)

    def settings_notes(self) -> list[str]:
        """Say what settings leave out, and which of an ini file or a command line reach nothing."""
        settings_without_effect = [
            (name, self.settings.source(name))
            for name in self.without_effect()
            if self.settings.source(name) not in ("default", "marker")
        ]
        left_out = [
            f"{name} leaves out the answers to others: a sequential audit stops before it has all"
            for name, one in ((name, registered(name)) for name in self.settings.attacks)
            if self.settings.sequential and one.reads_pool and not one.needs_pool
        ]
        return left_out + [
            f"{name}={getattr(self.settings, name)} ({source}) has no effect: "
            f"{self._why_without_effect(name)}"
            for name, source in settings_without_effect
        ]

    def _why_without_effect(self, name: str) -> str:
        if name == "encoder":
            return "this audit has an image_encoder fixture"
        if name == "clip":
            return IDLE
        target = self.inputs.target_model
        kind = type(pipeline_in(target) or target).__name__
        if pipeline_in(target) is None:
            return f"target_model is a {kind}, which comes with its own"
        return f"the call of this {kind} has its own, or no place for it"

    def recorded_settings(self) -> dict[str, Any]:
        """Return the settings as a record has them, without the values that reached nothing."""
        without = self.without_effect()
        settings = self.settings.to_dict() | dict.fromkeys(without)
        return settings | {"without_effect": without}

    def models_used(self) -> dict[str, Any]:
        """Return the models that were used so far, by role; the others were not even made."""
        models: dict[str, Any] = {
            "target_model": self.target,
            **({} if self.base is None else {"base_model": self.base}),
            "image_encoder": self.encoder,
            "measurement": self.measurement,
        }
        if self._asked_base is not None:
            models["base_model"] = self._asked_base
        models |= {labelled.role: labelled.target for labelled in self.shadows.used()}
        if any(not sets.threat_model.knows_captions for sets in self._sets.values()):
            models["captioner"] = self._captioner
        return models

    def sample_sets(self) -> dict[str, SampleSet]:
        """Count and hash the sets that were used so far, by the name of their fixture."""
        sets = dict(self.samples.digests)
        for labelled in self.shadows.used():
            sides = (sample_set(labelled.members), sample_set(labelled.non_members))
            sets |= dict(zip(labelled.names, sides, strict=True))
        return sets


def check_clip(settings: AuditSettings) -> None:
    """Refuse inference models that lack a CLIP.

    Raises
    ------
    SettingError
        If there is one, and none is named.
    """
    lacking = [name for name in settings.attacks if registered(name).needs_clip]
    if lacking and settings.clip is None:
        msg = (
            f"{', '.join(lacking)} compares pictures and texts by a CLIP, and none is named: "
            "set --privaudit-clip=open_clip:MODEL/PRETRAINED, or a folder with one, or leave "
            "it out with --privaudit-attacks"
        )
        raise SettingError(msg)


def is_idle(settings: AuditSettings) -> bool:
    """Tell whether a CLIP is named that nothing reads: it is not even loaded."""
    return settings.clip is not None and not any(
        registered(name).reads_clip for name in settings.attacks
    )


def captions_of(settings: AuditSettings) -> CaptionSimilarity | None:
    """Return the measurement by the CLIP that is named and read, if there is one."""
    if settings.clip is None or is_idle(settings):
        return None
    return CaptionSimilarity(named_clip(settings.clip))
