"""The shadow models of one audit, each with its samples, taken as given or fine-tuned once."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, cast

from privaudit.audit.plan import Unmade
from privaudit.audit.sets import LabelledSet, split_auxiliary
from privaudit.audit.shadow import ShadowRecipe
from privaudit.audit.threat_models import PAPER_SHADOW_MODEL, SHADOW_MODEL
from privaudit.errors import SampleError
from privaudit.samples import as_samples, check_disjoint, check_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.audit.models import Setup
    from privaudit.samples import Sample
    from privaudit.store import Store

__all__ = ["Shadows"]

WORDS = {SHADOW_MODEL: "the shadow model", PAPER_SHADOW_MODEL: "the shadow model of I and II"}


class Shadows:
    """The shadow models that the scenarios of an audit calibrate on.

    III and IV have one: the user's own, or what ``fine_tune`` makes of half of the auxiliary
    samples. Under ``protocol="paper"`` I and II have another (Pang & Wang, NDSS 2025): what
    ``fine_tune`` makes of the members that the attacker knows and of that half, if there is one.

    Parameters
    ----------
    setup
        The audit's models and sets.
    store
        Where models that were made are kept.
    """

    def __init__(self, setup: Setup, store: Store) -> None:
        self._setup, self._store = setup, store
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
            if role == SHADOW_MODEL and self._setup.inputs.shadow_model is not None:
                self._used[role] = self._ready_made()
            else:
                sides = self._sides(role)
                if planned and self._recipe.kept(sides[0]) is None:
                    return LabelledSet(Unmade(self._recipe.why_again(sides[0])), *sides, role=role)
                made = self._setup.as_target(self._recipe(sides[0]))
                self._used[role] = LabelledSet(made, *sides, role=role)
                self._made.add(role)
        return self._used[role]

    def used(self) -> Iterator[LabelledSet]:
        """Yield those that were used so far."""
        yield from self._used.values()

    def notes(self) -> Iterator[str]:
        """Say which of them are made again in each session, and why."""
        for role in sorted(self._made):
            why = self._recipe.why_again(list(self._used[role].members))
            if why is not None:
                yield f"{WORDS[role]} is made again in each session: {why}"

    def _ready_made(self) -> LabelledSet:
        inputs = self._setup.inputs
        return LabelledSet(
            self._setup.as_target(inputs.shadow_model),
            as_samples("shadow_members", inputs.shadow_members),
            as_samples("shadow_non_members", inputs.shadow_non_members),
            role=SHADOW_MODEL,
        )

    def _sides(self, role: str) -> tuple[list[Sample], list[Sample]]:
        """Return what a model is, or would be, fine-tuned on, and what it is not."""
        if role == SHADOW_MODEL:
            return self._auxiliary
        known, others, *left = self._setup.calibration_split
        check_set("the known members", known)  # they are trained on with their captions
        check_disjoint(
            "the calibration set", [*known, *others], "the evaluation set", itertools.chain(*left)
        )
        if self._setup.inputs.auxiliary_samples is None:
            return known, others
        more = self._auxiliary
        return [*known, *more[0]], [*others, *more[1]]

    @functools.cached_property
    def _recipe(self) -> ShadowRecipe:
        inputs = self._setup.inputs
        given = inputs.fine_tune
        if given is None:
            msg = "III and IV calibrate on a shadow model, and there is none"
            raise SampleError(msg)
        if isinstance(given, ShadowRecipe):
            return given
        return ShadowRecipe(cast("Any", given), self._store, inputs.base_model)

    @functools.cached_property
    def _auxiliary(self) -> tuple[list[Sample], list[Sample]]:
        setup = self._setup
        setup.checked_samples  # noqa: B018  # they must be disjoint from what is checked here
        return split_auxiliary(
            as_samples("auxiliary_samples", setup.inputs.auxiliary_samples),
            setup.members,
            setup.non_members,
            setup.settings.seed,
        )
