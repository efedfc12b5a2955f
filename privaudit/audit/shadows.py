"""The shadow models of one audit, each with its samples: the user's own, or fine-tuned once."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from privaudit.audit.plan import Unmade
from privaudit.audit.sets import LabelledSet, split_auxiliary
from privaudit.audit.threat_models import PAPER_SHADOW_MODEL, SHADOW_MODEL
from privaudit.errors import GeneratorError, SampleError, StoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.samples import as_samples, check_disjoint, check_set
from privaudit.targets.keeping import kept_pipeline, why_not_kept, write_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.audit.models import Models
    from privaudit.samples import Sample
    from privaudit.store import Store
    from privaudit.store.models import ModelFolder

__all__ = ["ShadowMaker", "Shadows"]

NO_FINGERPRINT = (
    "nothing tells whether fine_tune changed; return privaudit.FineTune(base, …) from it, or give "
    "the function an attribute fingerprint, a text that changes whenever its model would"
)
WORDS = {SHADOW_MODEL: "the shadow model", PAPER_SHADOW_MODEL: "the shadow model of I and II"}


class ShadowMaker:
    """A user's ``fine_tune``, called once for one set of samples.

    A recipe with a text ``fingerprint``, as :class:`privaudit.FineTune` is, has its model kept in
    the store by that and by the samples' pixels and captions. It is written as a pipeline of
    safetensors, and audited from there, in the session that made it too. Any other function is
    called again in each session, since nothing tells whether it changed.

    Parameters
    ----------
    fine_tune
        From samples to a model.
    store
        Where models are kept.
    session
        A folder that the processes of this session share, and the function's name among them:
        models that no later session can find are kept there.
    """

    def __init__(
        self,
        fine_tune: Callable[[Sequence[Sample]], Any],
        store: Store,
        session: tuple[ModelFolder, str] | None = None,
    ) -> None:
        self._fine_tune, self._store, self._session = fine_tune, store, session
        self._made: dict[str, Any] = {}
        self._refusal: str | None = None

    def __call__(self, samples: Sequence[Sample]) -> Any:
        """Return the model: the one that is kept, or a new one.

        Raises
        ------
        StoreError
            If the store cannot be written; raised before the fine-tune.
        """
        model, place = self.get(samples), self._place(samples)
        if model is not None:
            return model
        if place is None:
            return self._remember(samples, self._fine_tune(samples))
        folder, key = place
        with folder.alone(key):
            model = self.get(samples)  # another process may have made it meanwhile
            if model is None:
                model = self._keep(folder, key, self._fine_tune(samples))
                self._remember(samples, model)
        return model

    def get(self, samples: Sequence[Sample]) -> Any:
        """Return the model that was made of these samples, or ``None``.

        Raises
        ------
        StoreError
            If it cannot be read.
        """
        model = self._made.get(_content(samples))
        place = self._place(samples) if model is None else None
        if place is None:
            return model
        folder, key = place
        files = folder.get(key)
        if files is None:
            return None
        try:
            return self._remember(samples, kept_pipeline(files))
        except (GeneratorError, OSError, ValueError, LookupError, TypeError) as error:
            folder.drop(key, f"is of no use ({error})")
            return None

    def why_again(self) -> str | None:
        """Say why the model is made again in each session, or ``None`` if it is not known to be."""
        if self._store.models is None:
            return None
        return NO_FINGERPRINT if self._fingerprint is None else self._refusal

    @functools.cached_property
    def _fingerprint(self) -> str | None:
        stated = getattr(self._fine_tune, "fingerprint", None)
        return stated if isinstance(stated, str) else None

    def _place(self, samples: Sequence[Sample]) -> tuple[ModelFolder, str] | None:
        """Return where the model is kept, or would be, and its key there."""
        if self._store.models is not None and self._fingerprint is not None:
            folder, name = self._store.models, self._fingerprint
        elif self._session is not None:
            folder, name = self._session
        else:
            return None
        return folder, fingerprint_values(recipe=name, samples=_content(samples))

    def _keep(self, folder: ModelFolder, key: str, model: Any) -> Any:
        """Write a new model down, and return what was written; or the model, if it cannot be."""
        self._refusal = why_not_kept(model, self._store.limit)
        if self._refusal is None:
            try:
                return kept_pipeline(folder.put(key, functools.partial(write_pipeline, model)))
            except (GeneratorError, StoreError) as error:
                self._refusal = str(error)
        return model

    def _remember(self, samples: Sequence[Sample], model: Any) -> Any:
        self._made[_content(samples)] = model
        return model


def _content(samples: Sequence[Sample]) -> str:
    return fingerprint_values(samples=[(sample.digest, sample.caption) for sample in samples])


class Shadows:
    """The shadow models that the scenarios of an audit calibrate on.

    III and IV have one: the user's own, or what ``fine_tune`` makes of half of the auxiliary
    samples. Under ``protocol="paper"`` I and II have another (Pang & Wang, NDSS 2025): what
    ``fine_tune`` makes of the members that the attacker knows and of that half, if there is one.

    Parameters
    ----------
    models
        The audit's models and samples.
    store
        Where models that were made are kept.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models, self._store = models, store
        self._used: dict[str, LabelledSet] = {}
        self._made: set[str] = set()

    def labelled(self, role: str, *, planned: bool = False) -> LabelledSet:
        """Return a shadow model with its samples, made when it is first asked for.

        Parameters
        ----------
        role
            As of :meth:`privaudit.audit.scenarios.Scenario.shadow`.
        planned
            Whether a model that is not made yet may be left unmade.

        Raises
        ------
        SampleError
            If samples are unusable; found before the fine-tuning starts.
        """
        if role not in self._used:
            if role == SHADOW_MODEL and self._models.inputs.shadow_model is not None:
                self._used[role] = self._ready_made()
            else:
                sides = self._sides(role)
                if planned and self._maker.get(sides[0]) is None:
                    return LabelledSet(Unmade(self._maker.why_again()), *sides, role=role)
                model = self._models.as_target(self._maker(sides[0]))
                self._used[role] = LabelledSet(model, *sides, role=role)
                self._made.add(role)
        return self._used[role]

    def used(self) -> Iterator[LabelledSet]:
        """Yield those that were used so far."""
        yield from self._used.values()

    def notes(self) -> Iterator[str]:
        """Say which of them are made again in each session, and why."""
        why = self._maker.why_again() if self._made else None
        if why is not None:
            for role in sorted(self._made):
                yield f"{WORDS[role]} is made again in each session: {why}"

    def _ready_made(self) -> LabelledSet:
        inputs = self._models.inputs
        return LabelledSet(
            self._models.as_target(inputs.shadow_model),
            as_samples("shadow_members", inputs.shadow_members),
            as_samples("shadow_non_members", inputs.shadow_non_members),
            role=SHADOW_MODEL,
        )

    def _sides(self, role: str) -> tuple[list[Sample], list[Sample]]:
        """Return what a model is, or would be, fine-tuned on, and what it is not."""
        if role == SHADOW_MODEL:
            return self._auxiliary
        known, others, *left = self._models.samples.split
        check_set("the known members", known)  # they are trained on with their captions
        check_disjoint(
            "the calibration set", [*known, *others], "the evaluation set", itertools.chain(*left)
        )
        if self._models.inputs.auxiliary_samples is None:
            return known, others
        more = self._auxiliary
        return [*known, *more[0]], [*others, *more[1]]

    @functools.cached_property
    def _maker(self) -> ShadowMaker:
        fine_tune: Any = self._models.inputs.fine_tune
        if fine_tune is None:
            msg = "III and IV calibrate on a shadow model, and there is none"
            raise SampleError(msg)
        return (
            fine_tune if isinstance(fine_tune, ShadowMaker) else ShadowMaker(fine_tune, self._store)
        )

    @functools.cached_property
    def _auxiliary(self) -> tuple[list[Sample], list[Sample]]:
        models = self._models
        models.samples.check()  # the auxiliary ones must be disjoint from these
        return split_auxiliary(
            as_samples("auxiliary_samples", models.inputs.auxiliary_samples),
            models.samples.members,
            models.samples.non_members,
            models.settings.seed,
        )
