"""From the fixtures of a test to its audit: one audit for each test and its parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.attacks.registry import WEIGHTS
from privaudit.errors import BaselineError, InvalidAuditError, PrivauditError, SettingError
from privaudit.plugin import FIXTURE
from privaudit.plugin.baselines import against
from privaudit.plugin.claims import claim_of
from privaudit.plugin.failures import AuditInvalid
from privaudit.plugin.gate import DECIDED
from privaudit.plugin.items import address_of, item_claim, item_settings, own_parameters
from privaudit.plugin.pytest_internals import fixture_is_absent, item_indices, item_parameters
from privaudit.plugin.run_search import NotAudited, RunSearch, checkpoint_of, items_of_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privaudit.audit import Audit, Estimate
    from privaudit.audit.inputs import AuditInputs
    from privaudit.audit.threat_models import ThreatModel
    from privaudit.engines import Engine
    from privaudit.record import AttackResult, AuditRecord
    from privaudit.settings import AuditSettings, SessionSettings
    from privaudit.store import Store

__all__ = ["Runner"]

OWNER = "privaudit.plugin"
"""The module that has the fixtures which users override."""
UNCOMPARED = (
    "the checkpoints of a run are not compared with a baseline ({baseline})\n"
    "audit the checkpoint that you release by itself, by a test of its own with that baseline\n"
    "or search this run in a session without one"
)
NO_ACCESS = (
    "{kind} attacks are not run on the checkpoints of a training run: leave white_box, img2img and "
    "release out of this test, and audit the checkpoint that you release by a test of its own"
)


class Runner:
    """Runs the audits of one process, each made when the first of its items asks for it.

    Parameters
    ----------
    audit, session
        The session's settings.
    folder
        A folder that the workers of xdist share, and nobody else can write to.
    progress
        Called with the number of images generated since the last call.

    Raises
    ------
    PrivauditError
        If the store or the engine cannot be had.
    """

    def __init__(
        self,
        audit: AuditSettings,
        session: SessionSettings,
        folder: Path,
        progress: Callable[[int], None],
    ) -> None:
        from privaudit.engines import make_engine
        from privaudit.plugin.shadow import ShadowModels
        from privaudit.store import make_store

        self.store: Store = make_store(session)
        self.engine: Engine = make_engine(session)
        self._settings, self._session, self._progress = audit, session, progress
        self._audits: dict[str, Audit] = {}
        self._shadows = ShadowModels(self.store, folder)
        self._searches: dict[str, RunSearch] = {}
        self._decided: dict[str, tuple[str, str]] = {}
        """The item that decided each sequential audit that needs nothing more, and its words."""

    def attack(self, request: pytest.FixtureRequest) -> tuple[AttackResult, AuditRecord]:
        """Run the attack of the requesting item, and write it down."""
        scenario, attack = request.param
        name = self._name(request)
        decider, words = self._decided.get(name, (request.node.nodeid, ""))
        if decider != request.node.nodeid:  # a rerun of the item itself fails again
            request.node.stash[DECIDED] = True
            pytest.skip(f"already decided: {words}; nothing more was generated")
        if checkpoint_of(request.node) is not None:
            return self._of_run(request)
        try:
            audit = self._audit(request, scenario)
            try:
                result = audit.result(scenario, attack)
            except InvalidAuditError as error:
                raise AuditInvalid(str(error), audit.record(only=())) from None
            record = audit.record(only=(scenario, attack))
        except PrivauditError as error:
            _fail(error)
        if result.sequential is not None and result.verdict == "fail":
            self._decided[name] = (
                request.node.nodeid,
                f"{result.name} failed after {result.sequential.n_pairs} "
                f"of {result.sequential.max_pairs} pairs",
            )
        return result, record

    def chances(self) -> list[str]:
        """Say, for each audit that there is, what its gate errs at its size."""
        from privaudit.report.wording import chance_words

        lines = []
        for name, audit in self._audits.items():
            with contextlib.suppress(PrivauditError):  # the plan has said of it that it failed
                if audit.chance is not None:
                    lines.append(f"  {name}: {chance_words(audit.chance, audit.settings.gate)}")
        return lines

    def estimate(self, request: pytest.FixtureRequest, estimate: Estimate) -> None:
        """Add to an estimate what the scenario of the requesting item asks."""
        scenario, _ = request.param
        try:
            if checkpoint_of(request.node) is None:
                self._audit(request, scenario).estimate(estimate, scenario=scenario)
            else:
                self._estimate_run(request, estimate, scenario)
        except PrivauditError as error:
            _fail(error)

    def audit(self, request: pytest.FixtureRequest) -> Audit:
        """Return the audit of the requesting item, with what its scenario needs."""
        try:
            return self._audit(request, request.param[0])
        except PrivauditError as error:
            return _fail(error)  # type: ignore[no-any-return]

    # -- the checkpoints of a training run

    def _search(self, request: pytest.FixtureRequest, settings: AuditSettings) -> RunSearch:
        """Return the search that an item belongs to, made when its first item comes."""
        for access, attacks in settings.by_access.items():
            if attacks:
                kind = "white-box" if access == WEIGHTS else access
                _fail(SettingError(NO_ACCESS.format(kind=kind)))
        if settings.baseline is not None:  # or its green would look like that of a comparison
            _fail(BaselineError(UNCOMPARED.format(baseline=settings.baseline)))
        items = items_of_run(request.node, request.session.items)
        key = items[0].nodeid
        if key not in self._searches:
            self._searches[key] = RunSearch(
                items, functools.partial(self._checkpoint_audit, settings=settings)
            )
        return self._searches[key]

    def _checkpoint_audit(
        self, item: pytest.Item, inputs: AuditInputs, n: int, settings: AuditSettings
    ) -> Audit:
        """Make the audit of one of n checkpoints, whose bounds hold for all of them together."""
        from privaudit.audit import Audit

        confidence = 1 - (1 - settings.confidence) / n
        address = address_of(item.nodeid)
        return Audit(
            inputs,
            settings.replace(source=settings.source("confidence"), confidence=confidence),
            self.store,
            self.engine,
            name=address.audit if address else str(item.nodeid),
            parameters=own_parameters(item),
            file=item.path,
            scenarios=self._decidable(item, settings),
            progress=self._progress,
        )

    def _of_run(self, request: pytest.FixtureRequest) -> tuple[AttackResult, AuditRecord]:
        """Search, if no item did before, and return the requesting item's result, if it has one."""
        settings = item_settings(request.node, self._settings)
        search = self._search(request, settings)
        own, _ = request.param
        try:
            inputs = {own: self._inputs(request, own, settings)}
            for scenario in search.scenarios & set(self._decidable(request.node, settings)) - {own}:
                with contextlib.suppress(pytest.skip.Exception):
                    inputs[scenario] = self._inputs(request, scenario, settings)
            search.find(inputs)
        except PrivauditError as error:
            _fail(error)
        outcome = search.outcome(request.node)
        if isinstance(outcome, PrivauditError):
            _fail(outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, NotAudited):
            pytest.skip(outcome.reason)
        return outcome

    def _estimate_run(
        self, request: pytest.FixtureRequest, estimate: Estimate, scenario: str
    ) -> None:
        """Add as many checkpoints as are audited at most: each is asked as much as any other."""
        settings = item_settings(request.node, self._settings)
        search = self._search(request, settings)
        estimate.at_most = True
        estimate.notes.append(search.plan)
        if not search.is_planned(request.node):
            return
        inputs = self._inputs(request, scenario, settings)
        loaded = dataclasses.replace(inputs, target_model=inputs.target_model.load())
        audit = self._checkpoint_audit(request.node, loaded, 1, settings)
        audit.estimate(estimate, scenario=scenario)

    # -- one audit

    def _audit(self, request: pytest.FixtureRequest, scenario: str) -> Audit:
        """Return the audit of an item: the one that there is, unless its fixtures are others."""
        from privaudit.audit import Audit

        settings = item_settings(request.node, self._settings)
        inputs = self._inputs(request, scenario, settings)
        name = self._name(request)
        known = self._audits.get(name)
        if known is None or not known.models.supply(inputs):
            self._audits[name] = Audit(
                inputs,
                settings,
                self.store,
                self.engine,
                name=name,
                parameters=own_parameters(request.node),
                file=request.node.path,
                scenarios=self._decidable(request.node, settings),
                progress=self._progress,
                against=against(request.config, settings, self._session, name),
            )
        return self._audits[name]

    @staticmethod
    def _name(request: pytest.FixtureRequest) -> str:
        address = address_of(request.node.nodeid)
        return address.audit if address else str(request.node.nodeid)

    @staticmethod
    def _decidable(item: pytest.Item, settings: AuditSettings) -> tuple[str, ...]:
        """Name the scenarios whose fixtures somebody wrote: the others will be skipped."""
        from privaudit.audit.inputs import CORE, RECIPE, SHADOW, AuditInputs
        from privaudit.audit.threat_models import SCENARIOS

        there_anyway = item_parameters(item)  # what a test is parametrized with needs no fixture
        written = {
            name: name if name in there_anyway or not fixture_is_absent(item, name, OWNER) else None
            for name in (*CORE, "captioner", *SHADOW, *RECIPE)
        }
        there = AuditInputs(**written)  # type: ignore[arg-type]
        return tuple(
            name
            for name in settings.scenarios
            if not there.lacking(SCENARIOS[name], settings.protocol)
        )

    def _inputs(
        self, request: pytest.FixtureRequest, scenario: str, settings: AuditSettings
    ) -> AuditInputs:
        """Ask the fixtures that a scenario needs."""
        from privaudit.audit.inputs import CORE, RECIPE, SHADOW, AuditInputs, check_claim
        from privaudit.audit.threat_models import SHADOW_MODEL, get_threat_model

        what = get_threat_model(scenario)
        shadow = what.shadow(settings.protocol)
        wanted = list(CORE)
        if not what.knows_captions:
            wanted.append("captioner")
        if shadow == SHADOW_MODEL:
            wanted += SHADOW
        given = {name: _value(request, name) for name in wanted}
        if shadow is not None and any(given.get(name) is None for name in SHADOW):
            given |= {name: _value(request, name) for name in RECIPE}
        inputs = AuditInputs(**given)
        self._check_lacking(inputs, what, settings)
        if inputs.fine_tune is not None:
            indices = item_indices(request.node)
            del indices[FIXTURE]
            test = request.node.nodeid.partition("[")[0]
            given["fine_tune"] = self._shadows.maker(inputs.fine_tune, test, indices)
        claim = item_claim(request.node)
        if claim is not None:
            given["claim"] = claim_of(claim, inputs.target_model)
            check_claim(given["claim"], inputs.coin_split, settings)
        return AuditInputs(**given)

    def _check_lacking(
        self, inputs: AuditInputs, what: ThreatModel, settings: AuditSettings
    ) -> None:
        """Fail, or skip, an item whose scenario lacks fixtures: all are named at once."""
        from privaudit.audit.inputs import REQUIRED

        absent = inputs.lacking(what, settings.protocol)
        if not absent:
            return
        message = (
            f"{what.name} lacks fixtures: write {', '.join(absent)} in the audit file or a "
            "conftest.py"
        )
        if set(absent) & set(REQUIRED):
            pytest.fail(message, pytrace=False)
        inputs.check_protocol(settings, what)
        if self._session.strict:
            pytest.fail(f"{message} (--privaudit-strict)", pytrace=False)
        pytest.skip(message)


def _value(request: pytest.FixtureRequest, name: str) -> Any:
    """Ask one fixture; what pytest says of one that cannot be asked is said in our words."""
    try:
        value = request.getfixturevalue(name)
    except pytest.fail.Exception as error:
        if "has no parameter defined for test" not in str(error):
            raise
        said = (
            f"fixture {name} is parametrized, so the test must name it:\n"
            f"  def {request.node.originalname}({name}, membership_attack):"
        )
        raise pytest.fail.Exception(said, pytrace=False) from None
    if inspect.iscoroutine(value) or inspect.isasyncgen(value):
        if inspect.iscoroutine(value):
            value.close()
        pytest.fail(
            f"fixture {name} is async, and nothing waits for it: write it as a plain function, "
            "for example with asyncio.run(…)",
            pytrace=False,
        )
    return value


def _fail(error: PrivauditError) -> Any:
    # The last of several lines is a command to copy.
    first, *rest = str(error).split("\n", 1)
    message = "\n".join([f"{first} ({type(error).__name__})", *rest])
    # It has said all there is: chained, pytest would print it twice.
    raise pytest.fail.Exception(message, pytrace=False) from None
