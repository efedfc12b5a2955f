"""What an audit is made of: its models and its labelled sets, each made once, when it is needed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from privaudit.audit.estimate import Unmade
from privaudit.audit.experiment import (
    Experiment,
    LabelledSet,
    known_members,
    split_auxiliary,
    unknown_members,
    write_captions,
)
from privaudit.audit.provenance import sample_set
from privaudit.audit.scenarios import SCENARIOS
from privaudit.encoders import as_encoder, load_encoder
from privaudit.encoders.cache import FeatureCache
from privaudit.errors import SampleError, SettingError
from privaudit.measurements import ReconstructionSimilarity
from privaudit.samples import Canaries, CoinSplit, as_samples, check_disjoint, check_set
from privaudit.targets import as_target, without_effect
from privaudit.targets.acceleration import Acceleration

if TYPE_CHECKING:
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.scenarios import Scenario
    from privaudit.captioners import Captioner
    from privaudit.encoders import Encoder
    from privaudit.record import SampleSet
    from privaudit.samples import Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store
    from privaudit.targets import Target

__all__ = ["Setup"]

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


class Setup:
    """The models and sets of one audit.

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
    """

    def __init__(
        self,
        inputs: AuditInputs,
        settings: AuditSettings,
        store: Store,
        scenarios: tuple[str, ...] | None = None,
    ) -> None:
        self.inputs, self.settings = inputs, settings
        self._store, self._scenarios = store, scenarios
        self._experiments: dict[str, Experiment] = {}

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
            name for name in self.settings.scenarios if not self.inputs.lacking(SCENARIOS[name])
        )

    @functools.cached_property
    def target(self) -> Target:
        """The target model.

        Raises
        ------
        SettingError
            If the audit file sets what cannot reach it.
        """
        refused = [n for n in self.without_effect() if self.settings.source(n) == "marker"]
        if refused:
            given = type(self.inputs.target_model).__name__
            msg = (
                f"{', '.join(refused)} of privacy_budget(…) cannot reach what it is for: this "
                f"audit has {'an image_encoder fixture' if refused[0] == 'encoder' else given}; "
                "remove it, or set it where that is made"
            )
            raise SettingError(msg)
        return self._as_target(self.inputs.target_model)

    @functools.cached_property
    def base(self) -> Target | None:
        """The model that the target was fine-tuned from, if it was given."""
        given = self.inputs.base_model
        return None if given is None else self._as_target(given)

    @functools.cached_property
    def encoder(self) -> Encoder:
        """The image encoder."""
        given = self.inputs.image_encoder
        if given is None:
            given = self.settings.encoder
        return named_encoder(given) if isinstance(given, str) else as_encoder(given)

    @functools.cached_property
    def shadow(self) -> LabelledSet:
        """The shadow model and its samples, given or made."""
        inputs = self.inputs
        if inputs.shadow_model is not None:
            return LabelledSet(
                self._as_target(inputs.shadow_model),
                as_samples("shadow_members", inputs.shadow_members),
                as_samples("shadow_non_members", inputs.shadow_non_members),
            )
        if inputs.fine_tune is None:
            msg = "III and IV calibrate on a shadow model, and there is none"
            raise SampleError(msg)
        members, non_members = self._auxiliary
        return LabelledSet(self._as_target(inputs.fine_tune(members)), members, non_members)

    @functools.cached_property
    def _auxiliary(self) -> tuple[list[Sample], list[Sample]]:
        self.checked_samples  # noqa: B018  # they must be disjoint from what is checked here
        inputs = self.inputs
        return split_auxiliary(
            as_samples("auxiliary_samples", inputs.auxiliary_samples),
            self.members,
            self.non_members,
            self.settings.seed,
        )

    @functools.cached_property
    def members(self) -> list[Sample]:
        """The members, in an order that no hash seed decides."""
        return as_samples("members", self.inputs.members)

    @functools.cached_property
    def non_members(self) -> list[Sample]:
        """The non-members, likewise."""
        return as_samples("non_members", self.inputs.non_members)

    @functools.cached_property
    def checked_samples(self) -> bool:
        """Whether the samples are usable: true, or an error."""
        check_set("members", self.members, captions=False)
        check_set("non_members", self.non_members, captions=False)
        check_disjoint("members", self.members, "non_members", self.non_members)
        split = self.inputs.coin_split
        if split is not None:
            if not isinstance(split, CoinSplit):
                msg = (
                    f"coin_split is a {type(split).__name__}: return what "
                    "privaudit.split_by_coin returned, which knows its seed"
                )
                raise SampleError(msg)
            split.check(self.members, self.non_members)
        return True

    @functools.cached_property
    def groups(self) -> dict[str, str]:
        """The group of each sample, by id: of canaries, if nothing else was said, the exposure.

        Raises
        ------
        SampleError
            If they are no mapping, or it knows no sample of the audit.
        """
        given = self.inputs.sample_groups
        if given is None:
            split = self.inputs.coin_split
            return {
                name: f"exposure {times}"
                for name, times in (split.exposures if isinstance(split, Canaries) else {}).items()
            }
        ids = {sample.id for sample in (*self.members, *self.non_members)}
        if not isinstance(given, Mapping) or not ids & set(given):
            msg = (
                f"sample_groups is a {type(given).__name__} that knows none of {len(ids)} samples: "
                "return a dictionary from the id of each sample to its group"
            )
            raise SampleError(msg)
        return {str(name): str(group) for name, group in given.items() if group is not None}

    @functools.cached_property
    def features(self) -> FeatureCache:
        """What the encoder has seen, so that no query image is encoded twice."""
        return FeatureCache(self.encoder)

    @functools.cached_property
    def measurement(self) -> ReconstructionSimilarity:
        """What is measured of each answer."""
        settings = self.settings
        return ReconstructionSimilarity(
            self.encoder, settings.similarity, settings.similarity_axis, self.features
        )

    # -- what it asks

    def experiment(self, scenario: str, *, planned: bool = False) -> Experiment:
        """Return who calibrates, who is evaluated, on which model and in which words.

        Captions that are not stored are written now.

        Parameters
        ----------
        scenario
            ``"I"`` to ``"IV"``.
        planned
            Whether a shadow model that is not made yet may be left unmade.

        Raises
        ------
        SampleError
            If the samples are unusable; nothing was generated.
        """
        if scenario in self._experiments:
            return self._experiments[scenario]
        what = SCENARIOS[scenario]
        self.checked_samples  # noqa: B018
        if what.knows_captions:
            check_set("members", self.members)
            check_set("non_members", self.non_members)
        unmade = planned and not what.knows_members and self._must_make_shadow
        if what.knows_members:
            sets = known_members(self.target, self.members, self.non_members, self.settings)
        else:
            shadow = LabelledSet(Unmade(), *self._auxiliary) if unmade else self.shadow
            sets = unknown_members(
                self.target,
                self.members,
                self.non_members,
                shadow,
                captions=what.knows_captions,
            )
        experiment = Experiment(what, *sets, prompts=self._prompts(what, sets))
        if not unmade:
            self._experiments[scenario] = experiment
        return experiment

    @property
    def _must_make_shadow(self) -> bool:
        return self.inputs.shadow_model is None and "shadow" not in self.__dict__

    def _prompts(self, what: Scenario, sets: tuple[LabelledSet, LabelledSet]) -> dict[str, str]:
        samples = [sample for labelled in sets for sample in labelled.samples]
        if what.knows_captions:
            return {sample.id: sample.caption for sample in samples}
        return write_captions(self._captioner, samples, self.settings.batch_size, self._store)

    @functools.cached_property
    def _captioner(self) -> Captioner:
        from privaudit.captioners import as_captioner

        return as_captioner(self.inputs.captioner)

    def _as_target(self, given: Any) -> Target:
        return as_target(
            given,
            num_inference_steps=self.settings.num_inference_steps,
            guidance_scale=self.settings.guidance_scale,
            acceleration=Acceleration.of(self.settings),
        )

    def without_effect(self) -> list[str]:
        """Name the settings that reach nothing: their values say nothing about what ran."""
        names = [] if self.inputs.image_encoder is None else ["encoder"]
        wanted = {name: getattr(self.settings, name) for name in PIPELINE}
        return [*names, *without_effect(self.inputs.target_model, wanted)]

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
        if "shadow" in self.__dict__:
            models["shadow_model"] = self.shadow.target
        if "_captioner" in self.__dict__:
            models["captioner"] = self._captioner
        return models

    def sample_sets(self) -> dict[str, SampleSet]:
        """Count and hash the sets that were used so far, by the name of their fixture."""
        sets = dict(self._core_sets)
        if "shadow" in self.__dict__:
            sets["shadow_members"] = sample_set(self.shadow.members)
            sets["shadow_non_members"] = sample_set(self.shadow.non_members)
        return sets

    @functools.cached_property
    def _core_sets(self) -> dict[str, SampleSet]:
        return {
            "members": sample_set(self.members),
            "non_members": sample_set(self.non_members),
        }
