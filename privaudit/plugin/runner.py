"""From the fixtures of a test to its audit: one audit for each test and its parameters."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.errors import InvalidAuditError, PrivauditError
from privaudit.plugin.baselines import against
from privaudit.plugin.failures import AlreadyDecided, AuditInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from privaudit.audit import Audit, Estimate
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.engines import Engine
    from privaudit.plugin.collection import AuditItem
    from privaudit.plugin.progress import Progress
    from privaudit.record import AttackResult, AuditRecord, Claim
    from privaudit.runs import Checkpoint
    from privaudit.settings import SessionSettings
    from privaudit.store import Store

    FixtureValue = Callable[[str], Any]

__all__ = ["Runner"]


class Runner:
    """Runs the audits of one process, each made when the first of its items comes.

    Parameters
    ----------
    config, session
        Of the session.
    folder
        A folder that the workers of xdist share, and nobody else can write to.
    progress
        Hears of images that are due, and of images that are generated.

    Raises
    ------
    PrivauditError
        If the store or the engine cannot be had.
    """

    def __init__(
        self, config: pytest.Config, session: SessionSettings, folder: Path, progress: Progress
    ) -> None:
        from privaudit.audit import Estimate
        from privaudit.engines import make_engine
        from privaudit.plugin.shadow import ShadowModels
        from privaudit.store import make_store

        self.store: Store = make_store(session)
        self.store.say = progress.say
        self.engine: Engine = make_engine(session)
        self._config, self._session, self._progress = config, session, progress
        self._audits: dict[str, Audit] = {}
        self._shadows = ShadowModels(self.store, folder)
        self._due = Estimate(self.store, timed=False)
        self._counted: set[tuple[str, str]] = set()
        self._checkpoint: tuple[Checkpoint, Any] | None = None
        """The checkpoint of a run that is audited now, and its model."""
        self._of_checkpoint: list[str] = []
        self._decided: dict[str, tuple[str, str]] = {}
        """The item that decided each sequential audit that needs nothing more, and its words."""

    def attack(self, item: AuditItem, value: FixtureValue) -> tuple[AttackResult, AuditRecord]:
        """Run the attack of an item, and write it down.

        Parameters
        ----------
        item
            As it was read when pytest collected.
        value
            Asks a fixture by name.
        """
        decider, words = self._decided.get(item.audit, (item.nodeid, ""))
        if decider != item.nodeid:  # a rerun of the item itself fails again
            message = f"already decided: {words}; nothing more was generated"
            raise AlreadyDecided(message)
        key = (item.scenario, item.attack)
        try:
            audit = self._audit(item, value)
            self._count(audit, item)
            try:
                result = audit.result(*key)
            except InvalidAuditError as error:
                raise AuditInvalid(str(error), audit.record(only=())) from None
            record = audit.record(only=key)
        except PrivauditError as error:
            _fail(error)
        if result.sequential is not None and result.verdict == "fail":
            self._decided[item.audit] = (
                item.nodeid,
                f"{result.name} failed after {result.sequential.n_pairs} "
                f"of {result.sequential.max_pairs} pairs",
            )
        return result, record

    def audit(self, item: AuditItem, value: FixtureValue) -> Audit:
        """Return the audit of an item, with what its scenario needs."""
        try:
            return self._audit(item, value)
        except PrivauditError as error:
            return _fail(error)  # type: ignore[no-any-return]

    def estimate(self, item: AuditItem, value: FixtureValue, estimate: Estimate) -> None:
        """Add to an estimate what the scenario of an item asks."""
        try:
            self._audit(item, value).estimate(estimate, scenario=item.scenario)
        except PrivauditError as error:
            _fail(error)

    def chances(self) -> list[str]:
        """Say, for each audit that there is, what its gate errs at its size."""
        from privaudit.report.wording import chance_words

        lines = []
        for name, audit in self._audits.items():
            with contextlib.suppress(PrivauditError):  # the plan has said of it that it failed
                if audit.chance is not None:
                    lines.append(f"  {name}: {chance_words(audit.chance, audit.settings.gate)}")
        return lines

    def _count(self, audit: Audit, item: AuditItem) -> None:
        """Let the progress grow by what one scenario of an audit still has to generate."""
        if (item.audit, item.scenario) in self._counted:
            return
        self._counted.add((item.audit, item.scenario))
        before = self._due.n_new
        with contextlib.suppress(PrivauditError):  # the attack itself says what is wrong
            audit.estimate(self._due, scenario=item.scenario)
        self._progress.grow(self._due.n_new - before)

    def _audit(self, item: AuditItem, value: FixtureValue) -> Audit:
        """Return the audit of an item: the one that there is, unless its fixtures are others."""
        from privaudit.audit import Audit

        inputs = self._inputs(item, value)
        known = self._audits.get(item.audit)
        if known is None or not known.models.supply(inputs):
            if item.checkpoint is not None:
                self._of_checkpoint.append(item.audit)
            self._audits[item.audit] = Audit(
                inputs,
                item.settings,
                self.store,
                self.engine,
                name=item.audit,
                parameters=item.parameters,
                file=item.file,
                scenarios=_decidable(item),
                progress=self._progress,
                against=against(self._config, item.settings, self._session, item.audit),
            )
        return self._audits[item.audit]

    def _inputs(self, item: AuditItem, value: FixtureValue) -> AuditInputs:
        """Ask the fixtures that the scenario of an item needs."""
        from privaudit.audit.inputs import CORE, RECIPE, SHADOW, AuditInputs, check_claim
        from privaudit.audit.threat_models import SHADOW_MODEL, get_threat_model

        settings, what = item.settings, get_threat_model(item.scenario)
        shadow = what.shadow(settings.protocol)
        wanted = list(CORE)
        if not what.knows_captions:
            wanted.append("captioner")
        if shadow == SHADOW_MODEL:
            wanted += SHADOW
        values = {name: value(name) for name in wanted}
        values["target_model"] = self._loaded(values["target_model"])
        if shadow is not None and any(values.get(name) is None for name in SHADOW):
            values |= {name: value(name) for name in RECIPE}
        inputs = AuditInputs(**values)
        self._check_lacking(inputs, what, item)
        if inputs.fine_tune is not None:
            values["fine_tune"] = self._shadows.maker(inputs.fine_tune, item.test, item.indices)
        if item.claim is not None:
            values["claim"] = _claim(item.claim, inputs.target_model)
            check_claim(values["claim"], inputs.coin_split, settings)
        return AuditInputs(**values)

    def _loaded(self, target: Any) -> Any:
        """Return the model of a checkpoint, once the one before is let go; or what was given."""
        from privaudit.runs import Checkpoint

        if not isinstance(target, Checkpoint):
            return target
        if self._checkpoint is None or self._checkpoint[0] is not target:
            for name in self._of_checkpoint:
                self._audits.pop(name, None)
            self._of_checkpoint, self._checkpoint = [], None
            self._checkpoint = target, target.load()
        return self._checkpoint[1]

    def _check_lacking(self, inputs: AuditInputs, what: ThreatModel, item: AuditItem) -> None:
        """Fail, or skip, an item whose scenario lacks fixtures: all are named at once."""
        from privaudit.audit.inputs import REQUIRED

        absent = inputs.lacking(what, item.settings.protocol)
        if not absent:
            return
        message = (
            f"{what.name} lacks fixtures: write {', '.join(absent)} in the audit file or a "
            "conftest.py"
        )
        if set(absent) & set(REQUIRED):
            pytest.fail(message, pytrace=False)
        inputs.check_protocol(item.settings, what)
        if self._session.strict:
            pytest.fail(f"{message} (--privaudit-strict)", pytrace=False)
        pytest.skip(message)


def _decidable(item: AuditItem) -> tuple[str, ...]:
    """Name the scenarios whose fixtures somebody wrote: the others will be skipped."""
    from privaudit.audit.inputs import CORE, RECIPE, SHADOW, AuditInputs
    from privaudit.audit.threat_models import SCENARIOS

    names = (*CORE, "captioner", *SHADOW, *RECIPE)
    there: dict[str, Any] = {name: name if name in item.written else None for name in names}
    inputs, settings = AuditInputs(**there), item.settings
    return tuple(
        name
        for name in settings.scenarios
        if not inputs.lacking(SCENARIOS[name], settings.protocol)
    )


def _claim(marked: Mapping[str, Any], model: Any) -> Claim:
    """Return a claim; where the marker names no numbers, with those that the model came with."""
    from privaudit.record import Claim

    if "epsilon" in marked:
        return Claim(**marked)
    from privaudit.targets.statement import statement_of

    stated = statement_of(model)
    if stated is None:
        pytest.fail(
            "privacy_claim() names no numbers, and nothing beside the weights of target_model says "
            "what its training did: write privacy_claim(epsilon, delta), or save what "
            "privaudit.finetune returned with its save(folder)",
            pytrace=False,
        )
    return Claim(**marked, epsilon=stated.epsilon, delta=stated.delta)


def _fail(error: PrivauditError) -> Any:
    # The last of several lines is a command to copy.
    first, *rest = str(error).split("\n", 1)
    message = "\n".join([f"{first} ({type(error).__name__})", *rest])
    # It has said all there is: chained, pytest would print it twice.
    raise pytest.fail.Exception(message, pytrace=False) from None
