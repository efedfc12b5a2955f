"""The audit: one target, its members and non-members, one set of settings, and all that follows."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import ACCESSES, IMG2IMG, WEIGHTS, registered
from privaudit.audit.access import AccessAttacker
from privaudit.audit.baseline import Comparer
from privaudit.audit.checks.controls import Preflight
from privaudit.audit.checks.passes import doubts, told_by_base
from privaudit.audit.checks.target import (
    LeftOut,
    check_none_refused,
    conduct_of,
    judge_answers,
    judge_conduct,
    may_refuse,
    without_refused,
)
from privaudit.audit.models import Setup
from privaudit.audit.plan import Estimate
from privaudit.audit.provenance import provenance_of
from privaudit.audit.results import by_id, written_result
from privaudit.audit.scoring import Scorer
from privaudit.audit.sequential import score_in_chunks
from privaudit.audit.sets import count_asked
from privaudit.audit.verdict import Multiplicity, decide_fixed, decide_sequential, together
from privaudit.engines.local import LocalEngine
from privaudit.errors import InvalidAuditError, SettingError
from privaudit.record import AttackResult, AuditRecord, Images, Validity
from privaudit.statistics import ResultScores
from privaudit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from privaudit.audit.baseline import Against
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.scoring import Scores
    from privaudit.audit.sets import Experiment, LabelledSet
    from privaudit.audit.verdict import Decision
    from privaudit.engines import Engine
    from privaudit.record import Chance, SequentialPath
    from privaudit.settings import AuditSettings

__all__ = ["Audit"]


class Audit:
    """One target, its members and non-members, and one set of settings.

    Everything is made once and when it is first needed: samples are checked, split and encoded
    for all scenarios together, and a result is computed once.

    Parameters
    ----------
    inputs
        Models and samples. More can be supplied later, see :meth:`Setup.supply`.
    settings
        The audit's settings.
    store
        Where generated images and similarities are kept; by default in memory.
    engine
        Where the target and the shadow model run; by default in this process.
    name, parameters
        What the record calls the audit, and the user's own parameters of its test.
    file
        The audit file, whose repository's commit is recorded.
    scenarios
        Those that will be decided, which bounds are corrected for; by default those of the
        settings for which the inputs suffice.
    progress
        Called after each batch with the number of images generated.
    against
        The baseline that results are compared with, or that will be written.
    """

    def __init__(
        self,
        inputs: AuditInputs,
        settings: AuditSettings,
        store: Store | None = None,
        engine: Engine | None = None,
        *,
        name: str = "audit",
        parameters: Mapping[str, Any] | None = None,
        file: Path | None = None,
        scenarios: tuple[str, ...] | None = None,
        progress: Callable[[int], None] = lambda _: None,
        against: Against | None = None,
    ) -> None:
        self.settings, self.name = settings, name
        self.store = Store(None) if store is None else store
        self.engine = LocalEngine() if engine is None else engine
        self.setup = Setup(inputs, settings, self.store, scenarios)
        self._comparer = None if against is None else Comparer(self.setup, settings, against)
        self._parameters, self._file, self._progress = dict(parameters or {}), file, progress
        self._results: dict[tuple[str, str], AttackResult] = {}
        self._scores: dict[tuple[str, str], Scores] = {}
        self._among: dict[str, Multiplicity] = {}
        self._asked: dict[str, int] = {}
        self._left: dict[str, LeftOut] = {}
        models = (self.setup, self.store, self.engine)
        self._with = {access: AccessAttacker(access, *models) for access in ACCESSES}
        self._generated = 0
        self._validity = Validity()
        self._started = self._ended = datetime.now(UTC)

    @functools.cached_property
    def _preflight(self) -> Preflight:
        setup = self.setup
        return Preflight(
            target=setup.target,
            base=setup.base,
            members=setup.members,
            non_members=setup.non_members,
            encoder=setup.encoder,
            features=setup.features,
            measurement=setup.measurement,
            settings=self.settings,
            store=self.store,
        )

    def experiment(self, scenario: str) -> Experiment:
        """Return who calibrates, who is evaluated, on which model, and in which words."""
        return self.setup.experiment(scenario)

    def scorer(self, experiment: Experiment) -> Scorer:
        """Return what asks the questions of one scenario."""
        return Scorer(
            base=self.setup.calibration_base,
            measurement=self.setup.measurement,
            settings=self.settings,
            store=self.store,
            engine=self.engine,
            prompts=experiment.prompts,
            m=self.settings.queries,
            progress=self._made,
            batch_size=self.settings.batch_size,
        )

    def estimate(self, estimate: Estimate | None = None, *, scenario: str) -> Estimate:
        """Add to an estimate what one scenario asks.

        Captions are written if they are not stored: what is asked decides what has an answer.

        Parameters
        ----------
        estimate
            To add to; by default a new one.
        scenario
            ``"I"`` to ``"IV"``, or an access.
        """
        estimate = Estimate(self.store, self.engine.speedup) if estimate is None else estimate
        if scenario in self._with:
            return self._with[scenario].estimate(estimate, self.name)
        experiment = self.setup.experiment(scenario, planned=True)
        scorer = self.scorer(experiment)
        for labelled in (experiment.calibration, experiment.evaluation):
            asked = scorer.queries(labelled.samples)
            base = ("base_model", self.setup.calibration_base)
            for role, target in ((labelled.role, labelled.target), base):
                if target is not None:
                    estimate.add(f"{role} of {self.name}", scorer.task(target), asked)
        estimate.at_most |= self.settings.sequential
        estimate.notes += [f"{self.name}: {note}" for note in self.setup.settings_notes()]
        return estimate

    # -- what it finds

    def check(self, scenario: str, attack: str) -> Validity:
        """Ask whether one attack can say anything, before anything is generated."""
        validity = self._preflight.check(self.experiment(scenario), attack)
        self._validity = self._validity.merged(validity)
        return validity

    @property
    def validity(self) -> Validity:
        """What was found out without the model, for all attacks of the audit."""
        for scenario in self.setup.scenarios:
            for attack in self.settings.attacks:
                self.check(scenario, attack)
        return self._validity

    def result(self, scenario: str, attack: str) -> AttackResult:
        """Run one scenario with one inference model, if it was not run before.

        Parameters
        ----------
        scenario
            ``"I"`` to ``"IV"``, ``"img2img"`` or ``"weights"``.
        attack
            The name of the inference model, or of the attack with that access.

        Raises
        ------
        InvalidAuditError
            If nothing could be concluded; found before anything is generated.
        PrivauditError
            If an input is unusable; bad samples are found before anything is generated.
        """
        key = (scenario, attack)
        if scenario in self._with:
            return self._with_access(scenario, attack)
        if key not in self._results:
            validity = self.check(scenario, attack)
            if validity.reasons:
                raise InvalidAuditError("\n".join(validity.reasons))
            self._results[key] = self._run(self._answered(scenario), attack)
            self._ended = datetime.now(UTC)
        return self._results[key]

    def _with_access(self, access: str, attack: str) -> AttackResult:
        """Run one attack that takes more than text, on the samples that scenario I evaluates."""
        self._note(self._with[access].validity(attack, self._preflight))
        self._ended = datetime.now(UTC)
        return self._with[access].result(attack)

    @property
    def chance(self) -> Chance | None:
        """How often this gate errs at this size; ``None`` of a sequential audit."""
        return self.setup.chance

    def _score(self, experiment: Experiment, attack: str) -> Scores:
        """Score the evaluation set once."""
        key = (experiment.scenario.name, attack)
        if key not in self._scores:
            self._scores[key] = self.scorer(experiment).scores(
                attack, experiment.calibration, experiment.evaluation
            )
        return self._scores[key]

    def _multiplicity(self, experiment: Experiment) -> Multiplicity:
        """Score a scenario's pictures by all inference models: what one shows depends on all."""
        name = experiment.scenario.name
        if name not in self._among:
            n_scenarios = max(1, len(self.setup.scenarios))
            scores = self._all_scores(experiment)
            self._among[name] = together(scores, n_scenarios, self.settings.confidence)
        return self._among[name]

    def _all_scores(self, experiment: Experiment) -> dict[str, ResultScores]:
        """Score a scenario by all inference models, by name and by sample id."""
        name = experiment.scenario.name.removeprefix("attack-")
        decided = [a for a in self.settings.attacks if not self.check(name, a).reasons]
        scores = {attack: self._score(experiment, attack) for attack in decided}
        sides = experiment.evaluation
        return {
            attack: ResultScores(
                by_id(sides.members, found.members),
                by_id(sides.non_members, found.non_members),
            )
            for attack, found in scores.items()
        }

    @property
    def _n_results(self) -> int:
        return max(1, len(self.setup.scenarios)) * len(self.settings.attacks)

    @property
    def _result_confidence(self) -> float:
        """Confidence of one bound, so that all hold together whatever they share (Bonferroni)."""
        return 1 - (1 - self.settings.confidence) / self._n_results

    def _decide(
        self, experiment: Experiment, attack: str
    ) -> tuple[LabelledSet, Scores, SequentialPath | None, Decision, float]:
        """Score, look at what was answered, and decide.

        Returns
        -------
        tuple
            The evaluation set as far as it was asked, its scores, the end of a sequential audit,
            what was decided, and the confidence of one bound.
        """
        settings, end, level = self.settings, None, self._result_confidence
        if settings.sequential and settings.max_tpr is not None:
            msg = "max_tpr needs all samples: a sequential audit stops when the AUC tells it to"
            raise SettingError(msg)
        calibration, evaluation = experiment.calibration, experiment.evaluation
        self._check_conduct(self.scorer(experiment), calibration, evaluation)
        self.setup.check_settings()
        if settings.sequential:
            scorer = self.scorer(experiment)
            scorer.prefetch([calibration])
            model, seen = scorer.calibrated(attack, calibration)
            known = scorer.answers(seen, calibration.samples)
            evaluation, scores, end = score_in_chunks(scorer, model, known, evaluation, level)
            check_none_refused(scorer, calibration, evaluation)
        else:
            scores = self._score(experiment, attack)
        self._count_asked(experiment, evaluation)
        self._check_answers(experiment, scores)
        self._check_base(experiment, attack, evaluation)
        if end is not None:
            return evaluation, scores, end, decide_sequential(end, settings, level), level
        among = self._multiplicity(experiment)
        return evaluation, scores, None, decide_fixed(scores, settings, among), among.confidence

    def _run(self, experiment: Experiment, attack: str) -> AttackResult:
        if (comparer := self._comparer) is not None:
            comparer.check(experiment, attack)
        decided = self._decide(experiment, attack)
        result = written_result(self.setup, experiment, attack, *decided, n_results=self._n_results)
        self._check_pass(experiment, decided[0], result)
        return comparer.compared(result, self._all_scores(experiment)) if comparer else result

    def _answered(self, scenario: str) -> Experiment:
        """Return a scenario without the samples that a model refuses to draw, see `refusals`."""
        experiment = self.experiment(scenario)
        scorer = self.scorer(experiment)
        if self.settings.sequential or not may_refuse(scorer, experiment):
            return experiment
        if scenario not in self._left:
            self._check_conduct(scorer, experiment.calibration, experiment.evaluation)
            left = self._left[scenario] = without_refused(scorer, experiment)
            self._note(left.validity)
        return self._left[scenario].experiment

    def _check_base(self, experiment: Experiment, attack: str, evaluation: LabelledSet) -> None:
        """Refuse to conclude anything from sets that the base model tells apart."""
        if self.setup.calibration_base is not None and registered(attack).reads_base:
            scorer, level = self.scorer(experiment), self._result_confidence
            self._note(told_by_base(scorer, experiment, attack, evaluation, level))

    def _check_conduct(self, scorer: Scorer, *sets: LabelledSet) -> None:
        """Refuse to ask a target that ignores its prompts, and note one that ignores seeds."""
        for labelled in sets:
            role, conduct = labelled.role, conduct_of(scorer, labelled)
            self._note(Validity(conduct={role: conduct}, reasons=judge_conduct(role, conduct)))

    def _check_answers(self, experiment: Experiment, scores: Scores) -> None:
        """Refuse to conclude anything from answers that are no pictures."""
        sets = (experiment.calibration, experiment.evaluation)
        for labelled, answers in zip(sets, scores.answers, strict=True):
            role = labelled.role
            which = "calibration" if labelled is experiment.calibration else "evaluation"
            counted = {f"{role} by {experiment.scenario.words}, {which}": answers}
            reasons = judge_answers(role, answers)
            self._note(Validity(answers=counted, reasons=reasons))

    def _check_pass(
        self, experiment: Experiment, evaluation: LabelledSet, result: AttackResult
    ) -> None:
        """Refuse a pass that is none: of exchanged sets, or where the attack saw too little."""
        scorer = self.scorer(experiment)
        self._note(doubts(scorer, experiment, evaluation, result, self._result_confidence))

    def _note(self, found: Validity) -> None:
        """Keep what a check found, and conclude nothing if it found a reason not to."""
        self._validity = self._validity.merged(found)
        if found.reasons:
            raise InvalidAuditError("\n".join(found.reasons))

    # -- what is written down

    def record(self, *, only: tuple[str, str] | tuple[()] | None = None) -> AuditRecord:
        """Write down what was found so far.

        Parameters
        ----------
        only
            Scenario and inference model of the one result to write down, or ``()`` for none,
            with the images that were generated since the last such record; by default all.
        """
        results = list(self._results.values())
        if only is not None:
            results = [self._results[only]] if only in self._results else []
        images = Images(asked=dict(self._asked), generated=self._generated)
        if only is not None:
            self._generated = 0
        return AuditRecord(
            name=self.name,
            parameters=self._parameters,
            settings=self.setup.recorded_settings(),
            provenance=provenance_of(self.setup, images, self._file, self._started, self._ended),
            validity=self._validity,
            chance=self.chance,
            baseline=self._comparer.used() if self._comparer and results else None,
            results=results,
            img2img=self._with[IMG2IMG].results(only),
            weights=self._with[WEIGHTS].results(only),
            notes=[
                *self.setup.notes(),
                *(note for left in self._left.values() for note in left.notes),
                *(self._comparer.notes() if self._comparer else []),
            ],
        )

    def _count_asked(self, experiment: Experiment, evaluation: LabelledSet) -> None:
        experiment = replace(experiment, evaluation=evaluation)
        base = self.setup.calibration_base is not None
        for unit, n in count_asked(experiment, self.settings.queries, base=base).items():
            self._asked[unit] = max(n, self._asked.get(unit, 0))

    def _made(self, n: int) -> None:
        self._generated += n
        self._progress(n)
