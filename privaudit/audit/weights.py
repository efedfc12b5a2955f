"""An attacker who has the weights: what each white-box attack tells of the same samples.

Beside the four scenarios, never among them: such a result decides nothing unless the weights are
what is released.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from privaudit.attacks.registry import REPORTED, WEIGHTS, make_white_box, similarity_names
from privaudit.audit.base import told_by_base
from privaudit.audit.conclusions import decide_fixed
from privaudit.audit.experiment import Experiment, LabelledSet
from privaudit.audit.multiplicity import together
from privaudit.audit.results import by_id, written_result
from privaudit.audit.scenarios import ATTACKER_WITH_WEIGHTS
from privaudit.audit.scoring import Scorer
from privaudit.samples import check_set
from privaudit.statistics import ResultScores

if TYPE_CHECKING:
    from privaudit.audit.multiplicity import Multiplicity
    from privaudit.audit.preflight import Preflight
    from privaudit.audit.scoring import Scores
    from privaudit.audit.setup import Setup
    from privaudit.engines import Engine
    from privaudit.record import AttackResult, Validity
    from privaudit.store import Store

__all__ = ["WeightsAttacker"]

INFERENCE_MODEL = similarity_names()[0]
"""A measurement of the weights is a score by itself: calibration fixes a threshold alone."""


class WeightsAttacker:
    """Runs the white-box attacks of one audit, on the samples that its scenario I evaluates.

    Parameters
    ----------
    setup
        The audit's models and sets.
    store, engine
        As of the audit.
    """

    def __init__(self, setup: Setup, store: Store, engine: Engine) -> None:
        self._setup, self._store, self._engine = setup, store, engine
        self._results: dict[str, AttackResult] = {}

    @property
    def results(self) -> list[AttackResult]:
        """What was found so far, in the order of the registry."""
        asked = self._setup.settings.weights_attacks
        return [self._results[attack] for attack in asked if attack in self._results]

    def validity(self, attack: str, preflight: Preflight) -> Validity:
        """Ask whether members and non-members can be told apart without the target's weights.

        Parameters
        ----------
        attack
            One of :func:`privaudit.attacks.registry.white_box_names`. It is asked of the base
            model too, where that is known and ``base_calibration`` is on.
        preflight
            What is known of the samples without the model.
        """
        found = preflight.sets(self._experiment)
        base = self._setup.known_base if self._setup.settings.base_calibration else None
        if found.reasons or base is None:
            return found
        scorer, level = replace(self._scorer(attack), base=base), self._among.confidence
        sides = self._experiment.evaluation
        told = told_by_base(scorer, self._experiment, INFERENCE_MODEL, sides, level, called=attack)
        return found.merged(told)

    def result(self, attack: str) -> AttackResult:
        """Run one attack, if it was not run before.

        Raises
        ------
        ScoreError
            If the target shows no weights, or is of no family that is known here.
        """
        if attack not in self._results:
            settings, scores = self._setup.settings, self._scores[attack]
            result = written_result(
                self._setup,
                self._experiment,
                attack,
                self._experiment.evaluation,
                scores,
                None,
                decide_fixed(scores, settings, self._among),
                self._among.confidence,
                n_results=self._among.n_results,
                coins=self._coins(attack),
            )
            decides = settings.release != "api" or result.claim_exceeded
            update = {"n_queries": 0, "verdict": result.verdict if decides else REPORTED}
            self._results[attack] = result.model_copy(update=update)
        return self._results[attack]

    def _coins(self, attack: str) -> tuple[LabelledSet, Scores] | None:
        """Score all samples where a claim names this attack: nobody's score depends on a coin."""
        claim = self._setup.inputs.claim
        if claim is None or claim.attack != f"{WEIGHTS}-{attack}":
            return None
        everyone = LabelledSet(self._setup.target, self._setup.members, self._setup.non_members)
        known = self._experiment.calibration
        return everyone, self._scorer(attack).scores(INFERENCE_MODEL, known, everyone)

    @functools.cached_property
    def _experiment(self) -> Experiment:
        setup = self._setup
        setup.checked_samples  # noqa: B018
        check_set("members", setup.members)
        check_set("non_members", setup.non_members)
        known, others = setup.calibration_split[:2], setup.calibration_split[2:]
        return Experiment(
            ATTACKER_WITH_WEIGHTS,
            LabelledSet(setup.target, *known),
            LabelledSet(setup.target, *others),
            {sample.id: sample.caption for sample in (*setup.members, *setup.non_members)},
        )

    @functools.cached_property
    def _scores(self) -> dict[str, Scores]:
        """Scores by all attacks: what one of them shows depends on all."""
        sets = (self._experiment.calibration, self._experiment.evaluation)
        return {
            attack: self._scorer(attack).scores(INFERENCE_MODEL, *sets)
            for attack in self._setup.settings.weights_attacks
        }

    @functools.cached_property
    def _among(self) -> Multiplicity:
        sides = self._experiment.evaluation
        named = {
            attack: ResultScores(
                by_id(sides.members, scores.members), by_id(sides.non_members, scores.non_members)
            )
            for attack, scores in self._scores.items()
        }
        return together(named, 1, self._setup.settings.confidence)

    def _scorer(self, attack: str) -> Scorer:
        settings, measurement = self._setup.settings, make_white_box(attack)
        return Scorer(
            measurement=measurement,
            settings=settings,
            store=self._store,
            engine=self._engine,
            prompts=self._experiment.prompts,
            m=settings.queries if measurement.draws else 1,
            progress=lambda _: None,
            batch_size=settings.batch_size,
        )
