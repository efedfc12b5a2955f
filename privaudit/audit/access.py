"""An attacker with more than text: what each attack with an access tells of the same samples.

Beside the four scenarios, never among them: such a result decides nothing unless that access, or a
wider one, is what is released.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from privaudit.attacks.registry import REPORTED, make_with_access, similarity_names
from privaudit.audit.checks.passes import judge_exchanged, told_by_base
from privaudit.audit.results import by_id, written_result
from privaudit.audit.scoring import Scorer
from privaudit.audit.sets import Experiment, LabelledSet
from privaudit.audit.threat_models import ATTACKERS
from privaudit.audit.verdict import decide_fixed, together
from privaudit.record import Validity
from privaudit.samples import check_set
from privaudit.statistics import ResultScores

if TYPE_CHECKING:
    from privaudit.audit.checks.controls import Preflight
    from privaudit.audit.models import Setup
    from privaudit.audit.plan import Estimate
    from privaudit.audit.scoring import Scores
    from privaudit.audit.verdict import Multiplicity
    from privaudit.engines import Engine
    from privaudit.record import AttackResult
    from privaudit.store import Store
    from privaudit.targets import Target

__all__ = ["AccessAttacker"]

INFERENCE_MODEL = similarity_names()[0]
"""Such a measurement is a score by itself: calibration fixes a threshold alone."""


class AccessAttacker:
    """Runs the attacks with one access, on the samples that an audit's scenario I evaluates.

    Parameters
    ----------
    access
        A key of :data:`privaudit.attacks.registry.ACCESSES`.
    setup
        The audit's models and sets.
    store, engine
        As of the audit.
    """

    def __init__(self, access: str, setup: Setup, store: Store, engine: Engine) -> None:
        self.access, self._setup, self._store, self._engine = access, setup, store, engine
        self._results: dict[str, AttackResult] = {}

    def results(self, only: tuple[str, ...] | None = None) -> list[AttackResult]:
        """Return what was found so far, in the order of the registry.

        Parameters
        ----------
        only
            Access and attack of the one to return; by default all.
        """
        found = [self._results[attack] for attack in self._asked if attack in self._results]
        return [one for one in found if only is None or (one.scenario, one.attack) == only]

    @property
    def _asked(self) -> tuple[str, ...]:
        return self._setup.settings.by_access[self.access]

    def estimate(self, estimate: Estimate, name: str) -> Estimate:
        """Add the pictures that are drawn anew for the audit that is called so."""
        for attack in filter(self._pictures, self._asked):
            scorer, models = self._scorer(attack), {"target_model": self._setup.target}
            if self._base is not None:
                models["base_model"] = self._base
            samples = [*self._experiment.calibration.samples, *self._experiment.evaluation.samples]
            for role, model in models.items():
                label = f"{role} of {name}, handed pictures"
                task, queries = scorer.task(model), scorer.queries(samples)
                estimate.add_rows(label, task, queries, self._pictures(attack))
        return estimate

    def _pictures(self, attack: str) -> int:
        """Return how many pictures the target draws for one query."""
        return int(getattr(make_with_access(self.access, attack), "pictures", 0))

    def validity(self, attack: str, preflight: Preflight) -> Validity:
        """Ask whether members and non-members can be told apart without the target.

        Parameters
        ----------
        attack
            One of the access. Where it decides, the target's own scores are looked at too. It is
            asked of the base model, where that is known and ``base_calibration`` is on.
        preflight
            What is known of the samples without the model.
        """
        found = preflight.sets(self._experiment)
        if not found.reasons and self._setup.settings.decides(self.access):
            found = found.merged(Validity(reasons=self._exchanged(attack)))
        if found.reasons or self._base is None:
            return found
        scorer, level = replace(self._scorer(attack), base=self._base), self._among.confidence
        sides = self._experiment.evaluation
        told = told_by_base(scorer, self._experiment, INFERENCE_MODEL, sides, level, called=attack)
        return found.merged(told)

    def _exchanged(self, attack: str) -> list[str]:
        """Say why nothing can be concluded, if the two sets look exchanged."""
        settings = self._setup.settings
        decided = decide_fixed(self._scores[attack], settings, self._among)
        name = f"{self.access}-{attack}"
        return judge_exchanged(name, decided.auc, decided.high, settings.budget)

    def result(self, attack: str) -> AttackResult:
        """Run one attack, if it was not run before.

        Raises
        ------
        GeneratorError
            If the target takes no picture beside the text.
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
            decides = settings.decides(self.access) or result.claim_exceeded
            self._results[attack] = result.model_copy(
                update={
                    "n_queries": result.n_queries * self._pictures(attack),
                    "verdict": result.verdict if decides else REPORTED,
                }
            )
        return self._results[attack]

    def _coins(self, attack: str) -> tuple[LabelledSet, Scores] | None:
        """Score all samples where a claim names this attack: nobody's score depends on a coin."""
        claim = self._setup.inputs.claim
        if claim is None or claim.attack != f"{self.access}-{attack}":
            return None
        everyone = LabelledSet(self._setup.target, self._setup.members, self._setup.non_members)
        known = self._experiment.calibration
        return everyone, self._scorer(attack).scores(INFERENCE_MODEL, known, everyone)

    @functools.cached_property
    def _base(self) -> Target | None:
        return self._setup.known_base if self._setup.settings.base_calibration else None

    @functools.cached_property
    def _experiment(self) -> Experiment:
        setup = self._setup
        setup.checked_samples  # noqa: B018
        check_set("members", setup.members)
        check_set("non_members", setup.non_members)
        known, others = setup.calibration_split[:2], setup.calibration_split[2:]
        return Experiment(
            ATTACKERS[self.access],
            LabelledSet(setup.target, *known),
            LabelledSet(setup.target, *others),
            {sample.id: sample.caption for sample in (*setup.members, *setup.non_members)},
        )

    @functools.cached_property
    def _scores(self) -> dict[str, Scores]:
        """Scores by all attacks: what one of them shows depends on all."""
        sets = (self._experiment.calibration, self._experiment.evaluation)
        return {
            attack: self._scorer(attack).scores(INFERENCE_MODEL, *sets) for attack in self._asked
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

    @property
    def _batch_size(self) -> int | None:
        """What is handed in at one time: of what is paid for, no more than is on its way together.

        A batch is kept when it is whole, so a failure loses what it had.
        """
        paid = getattr(self._setup.target, "paid", False)
        return 1 if paid else self._setup.settings.batch_size

    def _scorer(self, attack: str) -> Scorer:
        settings, measurement = self._setup.settings, make_with_access(self.access, attack)
        return Scorer(
            measurement=measurement,
            settings=settings,
            store=self._store,
            engine=self._engine,
            prompts=self._experiment.prompts,
            m=settings.queries if measurement.draws else 1,
            progress=lambda _: None,
            batch_size=self._batch_size,
            base=self._base if getattr(measurement, "less_base", False) else None,
        )
