"""The audit: one target, its members and non-members, one set of settings, and all that follows."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import IMG2IMG, REPORTED, WEIGHTS, make_with_access
from privaudit.audit.baseline import Comparer
from privaudit.audit.checks import Case, Stage, run_checks
from privaudit.audit.checks.controls import Controls
from privaudit.audit.checks.samples import BlindBaselines
from privaudit.audit.checks.target import (
    Refusals,
    check_none_refused,
    find_refusals,
    may_refuse,
)
from privaudit.audit.models import Models
from privaudit.audit.plan import Estimate
from privaudit.audit.provenance import provenance_of
from privaudit.audit.results import by_id, make_result
from privaudit.audit.scoring import Scorer
from privaudit.audit.sequential import score_in_chunks
from privaudit.audit.sets import LabelledSet, count_images
from privaudit.audit.threat_models import SCENARIOS
from privaudit.audit.verdict import Decision, decide_fixed, decide_sequential, together
from privaudit.engines.local import LocalEngine
from privaudit.errors import InvalidAuditError, SettingError
from privaudit.record import AttackResult, AuditRecord, Images, Validity
from privaudit.statistics import ResultScores
from privaudit.store import Store
from privaudit.targets.capabilities import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from privaudit.audit.baseline import Against
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.scoring import Scores
    from privaudit.audit.sets import Sets
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.audit.verdict import Multiplicity
    from privaudit.engines import Engine
    from privaudit.record import Chance
    from privaudit.settings import AuditSettings

__all__ = ["Audit"]


class Audit:
    """One target, its members and non-members, and one set of settings.

    Everything is made once and when it is first needed: samples are checked, split and encoded
    for all threat models together, and a result is computed once.

    Parameters
    ----------
    inputs
        Models and samples. More can be supplied later, see :meth:`Models.supply`.
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
    check_passes
        Whether a pass is looked at again. A study, which decides nothing, writes down what it
        measures.
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
        check_passes: bool = True,
    ) -> None:
        self.settings, self.name = settings, name
        self.store = Store(None) if store is None else store
        self.engine = LocalEngine() if engine is None else engine
        self.models = Models(inputs, settings, self.store, scenarios)
        self._comparer = None if against is None else Comparer(self.models, settings, against)
        self._parameters, self._file, self._progress = dict(parameters or {}), file, progress
        self._check_passes = check_passes
        self._results: dict[tuple[str, str], AttackResult] = {}
        self._before: dict[tuple[str, str], Validity] = {}
        self._refusals: dict[str, Refusals] = {}
        self._scores: dict[tuple[str, str], Scores] = {}
        self._among: dict[str, Multiplicity] = {}
        self._images: dict[str, int] = {}
        self._generated = 0
        self._validity = Validity()
        self._started = self._ended = datetime.now(UTC)

    # -- what is asked

    def sets(self, name: str) -> Sets:
        """Return who calibrates, who is evaluated, on which model, and in which words.

        Parameters
        ----------
        name
            Of a threat model: ``"I"`` to ``"IV"``, ``"img2img"`` or ``"weights"``.
        """
        return self.models.sets(name)

    def scorer(self, sets: Sets, attack: str = "") -> Scorer:
        """Return what asks the questions of one threat model.

        Parameters
        ----------
        sets
            Of the threat model.
        attack
            With more than text each attack has a measurement of its own.
        """
        settings, threat_model = self.settings, sets.threat_model
        common = {
            "settings": settings,
            "store": self.store,
            "engine": self.engine,
            "prompts": sets.prompts,
        }
        if threat_model.by_text:
            return Scorer(
                measurement=self.models.measurement,
                m=settings.queries,
                batch_size=settings.batch_size,
                progress=self._count,
                base=self.models.base_to_ask(threat_model),
                **common,  # type: ignore[arg-type]
            )
        measurement = make_with_access(threat_model.access, attack)
        # A batch is kept when it is whole, so a failure loses what was paid for in it.
        paid = capabilities_of(self.models.target).paid
        less_base = getattr(measurement, "less_base", False)
        return Scorer(
            measurement=measurement,
            m=settings.queries if measurement.draws else 1,
            batch_size=1 if paid else settings.batch_size,
            progress=lambda _: None,
            base=self.models.base_to_ask(threat_model) if less_base else None,
            **common,  # type: ignore[arg-type]
        )

    def estimate(self, estimate: Estimate | None = None, *, scenario: str) -> Estimate:
        """Add to an estimate what one threat model asks.

        Captions are written if they are not stored: what is asked decides what has an answer.

        Parameters
        ----------
        estimate
            To add to; by default a new one.
        scenario
            ``"I"`` to ``"IV"``, ``"img2img"`` or ``"weights"``.
        """
        estimate = Estimate(self.store, self.engine.speedup) if estimate is None else estimate
        sets = self.models.sets(scenario, planned=True)
        if not sets.threat_model.by_text:
            return self._estimate_access(estimate, sets)
        scorer = self.scorer(sets)
        for labelled in sets.labelled:
            queries = scorer.queries(labelled.samples)
            for role, target in ((labelled.role, labelled.target), ("base_model", scorer.base)):
                if target is not None:
                    estimate.add(f"{role} of {self.name}", scorer.task(target), queries)
        estimate.at_most |= self.settings.sequential
        estimate.notes += [f"{self.name}: {note}" for note in self.models.settings_notes()]
        return estimate

    def _estimate_access(self, estimate: Estimate, sets: Sets) -> Estimate:
        """Add the pictures that an attacker with more than text has drawn."""
        for attack in sets.threat_model.attacks(self.settings):
            scorer = self.scorer(sets, attack)
            pictures = getattr(scorer.measurement, "pictures", 0)
            base = self.models.base_to_ask(sets.threat_model)
            models = {"target_model": self.models.target, "base_model": base}
            for role, model in models.items():
                if pictures and model is not None:
                    label = f"{role} of {self.name}, handed pictures"
                    queries = scorer.queries(sets.samples)
                    estimate.add_rows(label, scorer.task(model), queries, pictures)
        return estimate

    # -- what comes out

    def result(self, scenario: str, attack: str) -> AttackResult:
        """Run one attack under one threat model, if it was not run before.

        Parameters
        ----------
        scenario
            The threat model: ``"I"`` to ``"IV"``, ``"img2img"`` or ``"weights"``.
        attack
            The name of the inference model, or of the attack with that access.

        Raises
        ------
        InvalidAuditError
            If nothing could be concluded, with the reasons of the checks.
        PrivauditError
            If an input is unusable; bad samples are found before anything is generated.
        """
        key = (scenario, attack)
        if key not in self._results:
            self._results[key] = self._run(self._case(scenario, attack))
            self._ended = datetime.now(UTC)
        return self._results[key]

    def _run(self, case: Case) -> AttackResult:
        """Check, ask, score, decide and check again: the one road of every threat model."""
        threat_model = case.sets.threat_model
        self._keep(self.check(threat_model.name, case.attack))
        if threat_model.by_text and self._comparer is not None:
            self._comparer.check(case.sets, case.attack)
        self._keep(run_checks(Stage.TARGET, case))
        self.models.check_settings()
        case = self._without_refusals(case)
        case, decision = self._decide(case)
        result = self._make_result(case, decision)
        case = replace(case, result=result)
        if self._check_passes:
            for stage in (Stage.PASSES, Stage.SECOND_LOOK):
                self._keep(run_checks(stage, case))
        if threat_model.by_text and self._comparer is not None:
            return self._comparer.compared(result, self._all_scores(case.sets))
        return result

    def _case(self, name: str, attack: str) -> Case:
        sets = self.sets(name)
        return Case(
            sets=sets,
            attack=attack,
            scorer=self.scorer(sets, attack),
            confidence=self._bound_confidence(sets.threat_model),
            base=self.models.base_to_ask(sets.threat_model),
            blind=self._blind,
            controls=self._controls,
        )

    def check(self, scenario: str, attack: str) -> Validity:
        """Ask whether one attack can say anything, before anything is generated."""
        name = scenario.removeprefix("attack-")
        if (name, attack) not in self._before:
            findings = run_checks(Stage.SAMPLES, self._case(name, attack))
            self._before[name, attack] = findings
            self._validity = self._validity.merged(findings)
        return self._before[name, attack]

    @property
    def validity(self) -> Validity:
        """What is known before anything is generated, of all attacks of the audit."""
        for scenario in self.models.scenarios:
            for attack in self.settings.attacks:
                self.check(scenario, attack)
        return self._validity

    @property
    def chance(self) -> Chance | None:
        """How often this gate errs at this size; ``None`` of a sequential audit."""
        return self.models.chance

    @functools.cached_property
    def _blind(self) -> BlindBaselines:
        models = self.models
        return BlindBaselines(
            models.samples, models.encoder, models.features, self.settings, self.store
        )

    @functools.cached_property
    def _controls(self) -> Controls:
        models = self.models
        return Controls(
            target=models.target,
            base=models.base,
            samples=models.samples,
            encoder=models.encoder,
            measurement=models.measurement,
            settings=self.settings,
            store=self.store,
        )

    def _keep(self, findings: Validity) -> None:
        """Keep what checks found, and conclude nothing if they found a reason not to."""
        self._validity = self._validity.merged(findings)
        if findings.reasons:
            raise InvalidAuditError("\n".join(findings.reasons))

    # -- from answers to a decision

    def _without_refusals(self, case: Case) -> Case:
        """Return a case without the samples that a model refuses to draw."""
        sequential, name = self.settings.sequential, case.sets.threat_model.name
        if (
            not case.sets.threat_model.by_text
            or sequential
            or not may_refuse(case.scorer, case.sets)
        ):
            return case
        if name not in self._refusals:
            self._refusals[name] = find_refusals(case.scorer, case.sets)
        refusals = self._refusals[name]
        case = replace(case, refusals=refusals)
        self._keep(run_checks(Stage.REFUSALS, case))
        return replace(case, sets=refusals.sets)

    def _decide(self, case: Case) -> tuple[Case, Decision]:
        """Score, look at the answers, and decide."""
        settings, sets, end = self.settings, case.sets, None
        if settings.sequential and sets.threat_model.by_text:
            if settings.max_tpr is not None:
                msg = "max_tpr needs all samples: a sequential audit stops when the AUC tells it to"
                raise SettingError(msg)
            scorer, calibration = case.scorer, sets.calibration
            scorer.prefetch([calibration])
            model, seen = scorer.calibrated(case.attack, calibration)
            known = scorer.answers(seen, calibration.samples)
            evaluation, scores, end = score_in_chunks(
                scorer, model, known, sets.evaluation, case.confidence
            )
            check_none_refused(scorer, calibration, evaluation)
        else:
            evaluation, scores = sets.evaluation, self._score(sets, case.attack)
        if sets.threat_model.by_text:
            self._count_images(sets, evaluation)
        case = replace(case, evaluation=evaluation, scores=scores)
        self._keep(run_checks(Stage.ANSWERS, self._among_access(case)))
        if end is not None:
            return case, decide_sequential(end, settings, case.confidence)
        return case, decide_fixed(scores, settings, self._multiplicity(sets))

    def _among_access(self, case: Case) -> Case:
        """Return a case with the confidence of its bounds, once all attacks are scored."""
        if case.sets.threat_model.by_text:
            return case
        return replace(case, confidence=self._multiplicity(case.sets).confidence)

    def _make_result(self, case: Case, decision: Decision) -> AttackResult:
        assert case.evaluation is not None
        assert case.scores is not None
        threat_model = case.sets.threat_model
        result = make_result(
            self.models,
            case.sets,
            case.attack,
            case.evaluation,
            case.scores,
            decision,
            n_results=self._n_results(threat_model),
            coins=self._coins(case),
        )
        if threat_model.by_text:
            return result
        pictures = int(getattr(case.scorer.measurement, "pictures", 0))
        decides = threat_model.decides(self.settings) or result.claim_exceeded
        return result.model_copy(
            update={
                "n_queries": result.n_queries * pictures,
                "verdict": result.verdict if decides else REPORTED,
            }
        )

    def _coins(self, case: Case) -> tuple[LabelledSet, Scores] | None:
        """Score all samples where a claim names an attack on the weights: no score knows a coin."""
        claim = self.models.inputs.claim
        if case.sets.threat_model.by_text or claim is None or claim.attack != case.name:
            return None
        samples = self.models.samples
        everyone = LabelledSet(self.models.target, samples.members, samples.non_members)
        model = case.sets.threat_model.inference_model(case.attack)
        return everyone, case.scorer.scores(model, case.sets.calibration, everyone)

    def _score(self, sets: Sets, attack: str) -> Scores:
        """Score the evaluation set once."""
        threat_model = sets.threat_model
        key = (threat_model.name, attack)
        if key not in self._scores:
            model = threat_model.inference_model(attack)
            self._scores[key] = self.scorer(sets, attack).scores(model, *sets.labelled)
        return self._scores[key]

    def _multiplicity(self, sets: Sets) -> Multiplicity:
        """Score a threat model's pictures by all its attacks: a bound depends on all of them."""
        name = sets.threat_model.name
        if name not in self._among:
            scenarios = max(1, len(self.models.scenarios)) if sets.threat_model.by_text else 1
            scores = self._all_scores(sets)
            self._among[name] = together(scores, scenarios, self.settings.confidence)
        return self._among[name]

    def _all_scores(self, sets: Sets) -> dict[str, ResultScores]:
        """Score the sets by all attacks of their threat model, by name and by sample id."""
        name, evaluation = sets.threat_model.name, sets.evaluation
        attacks = sets.threat_model.attacks(self.settings)
        valid = [attack for attack in attacks if not self.check(name, attack).reasons]
        scores = {attack: self._score(sets, attack) for attack in valid}
        return {
            attack: ResultScores(
                by_id(evaluation.members, one.members),
                by_id(evaluation.non_members, one.non_members),
            )
            for attack, one in scores.items()
        }

    def _n_results(self, threat_model: ThreatModel) -> int:
        """Count the results that are decided together."""
        attacks = len(threat_model.attacks(self.settings))
        return max(1, len(self.models.scenarios)) * attacks if threat_model.by_text else attacks

    def _bound_confidence(self, threat_model: ThreatModel) -> float:
        """Confidence of one bound, so that all hold together whatever they share (Bonferroni)."""
        return 1 - (1 - self.settings.confidence) / max(1, self._n_results(threat_model))

    # -- what is written down

    def record(self, *, only: tuple[str, str] | tuple[()] | None = None) -> AuditRecord:
        """Write down what was found so far.

        Parameters
        ----------
        only
            Threat model and attack of the one result to write down, or ``()`` for none, with the
            images that were generated since the last such record; by default all.
        """
        results = {key: result for key, result in self._results.items() if only in (None, key)}
        images = Images(asked=dict(self._images), generated=self._generated)
        if only is not None:
            self._generated = 0
        text = [result for (name, _), result in results.items() if name in SCENARIOS]
        return AuditRecord(
            name=self.name,
            parameters=self._parameters,
            settings=self.models.recorded_settings(),
            provenance=provenance_of(self.models, images, self._file, self._started, self._ended),
            validity=self._validity,
            chance=self.chance,
            baseline=self._comparer.used() if self._comparer and text else None,
            results=text,
            img2img=self._by_access(IMG2IMG, results),
            weights=self._by_access(WEIGHTS, results),
            notes=[
                *self.models.notes(),
                *(note for refusals in self._refusals.values() for note in refusals.notes),
                *(self._comparer.notes() if self._comparer else []),
            ],
        )

    def _by_access(
        self, access: str, results: Mapping[tuple[str, str], AttackResult]
    ) -> list[AttackResult]:
        """Return the results with one access, in the order of the registry."""
        attacks = self.settings.by_access[access]
        return [results[access, attack] for attack in attacks if (access, attack) in results]

    def _count_images(self, sets: Sets, evaluation: LabelledSet) -> None:
        sets = replace(sets, evaluation=evaluation)
        base = self.models.base_to_ask(sets.threat_model) is not None
        for unit, n in count_images(sets, self.settings.queries, base=base).items():
            self._images[unit] = max(n, self._images.get(unit, 0))

    def _count(self, n: int) -> None:
        self._generated += n
        self._progress(n)
