"""From the fixtures of an audit to the result of one of its attacks, or to its part of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from privaudit.errors import InvalidAuditError, PrivauditError
from privaudit.plugin.session import (
    RESULT,
    AuditInvalid,
    audit_variant,
    item_claim,
    item_settings,
    parameter_indices,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from privaudit.audit.estimate import Plan
    from privaudit.audit.experiment import Ingredients
    from privaudit.engines import Engine
    from privaudit.record.result import AttackResult
    from privaudit.settings.resolve import Settings
    from privaudit.store import Store

SHADOW = ("shadow_model", "shadow_members", "shadow_non_members")


class AttackRunner:
    """Runs attacks on what fixtures returned, and keeps what the next attack needs again.

    Parameters
    ----------
    settings
        The session's settings.
    progress
        Called with the number of images generated since the last call.
    """

    def __init__(self, settings: Settings, progress: Callable[[int], None]) -> None:
        from privaudit.engines import make_engine
        from privaudit.store import Store, default_folder

        folder = settings.store or default_folder()
        self.store: Store = Store(None if str(folder) == "none" else folder, settings.store_limit)
        self.engine: Engine = make_engine(settings)
        self._settings = settings
        self._progress = progress
        self._decided: dict[str, str] = {}
        """What decided each sequential audit that needs nothing more."""
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._generators: dict[str, Any] = {}

    def attack(self, request: pytest.FixtureRequest) -> AttackResult:
        """Gather the fixtures and run the attack of the requesting item."""
        from privaudit.audit.audit import run_attack

        scenario, attack = request.param
        settings = item_settings(request.node, self._settings)
        audit = audit_variant(request.node)
        if settings.sequential and audit in self._decided:
            pytest.skip(f"already decided: {self._decided[audit]}; nothing more was generated")
        try:
            given = self._gather(request, scenario, settings)
            result = run_attack(
                scenario, attack, given, settings, self.store, self.engine, self._progress
            )
        except InvalidAuditError as error:
            raise AuditInvalid(str(error)) from None
        except PrivauditError as error:
            pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)
        request.node.stash[RESULT] = result
        if result.sequential is not None and result.verdict == "fail":
            self._decided[audit] = (
                f"{result.scenario}-{result.attack} failed after {result.sequential['n_pairs']} "
                f"of {result.sequential['max_pairs']} pairs"
            )
        from privaudit.report.junit import properties

        request.node.user_properties.extend(properties(result))
        return result

    def plan(self, request: pytest.FixtureRequest, plan: Plan) -> None:
        """Gather the fixtures, and add to the plan what the scenario of the item asks."""
        from privaudit.audit.audit import plan_attack

        scenario, _ = request.param
        settings = item_settings(request.node, self._settings)
        label = request.node.nodeid.partition("[")[0]
        try:
            given = self._gather(request, scenario, settings, planning=True)
            plan_attack(scenario, label, given, settings, plan)
        except PrivauditError as error:
            pytest.fail(f"{error} ({type(error).__name__})", pytrace=False)

    def _gather(
        self,
        request: pytest.FixtureRequest,
        scenario: str,
        settings: Settings,
        *,
        planning: bool = False,
    ) -> Ingredients:
        """Turn what the fixtures returned into what an audit works on."""
        from privaudit.audit.experiment import Claim, Ingredients
        from privaudit.audit.scenarios import SCENARIOS
        from privaudit.encoders import as_encoder

        scene = SCENARIOS[scenario]
        fixture = request.getfixturevalue
        required = ("members", "non_members", "target_model")
        given = {name: fixture(name) for name in required}
        given["coin_split"] = fixture("coin_split")
        absent = [name for name in required if given[name] is None]
        if absent:
            pytest.fail(
                f"{len(absent)} fixtures of this audit are missing: write {', '.join(absent)} "
                "in the audit file or a conftest.py",
                pytrace=False,
            )
        if not scene.knows_captions:
            given["captioner"] = fixture("captioner")
            if given["captioner"] is None:
                self._lacks(settings, scene.name, "captioner")
        if not scene.knows_members:
            given |= self._shadow(request, scene.name, given, settings, planning=planning)
        for name in ("target_model", "shadow_model"):
            if given.get(name) is not None:
                given[name] = self._generator(given[name], settings)
        if "captioner" in given:
            from privaudit.captioners import as_captioner

            given["captioner"] = self._once("captioner", given["captioner"], as_captioner)
        claim = item_claim(request.node)
        if claim is not None:
            _check_claim(settings, given["coin_split"])
            given["claim"] = Claim(*claim)
        encoder = fixture("image_encoder")
        given["image_encoder"] = self._once(
            "encoder", settings.encoder if encoder is None else encoder, as_encoder
        )
        return Ingredients(**given)

    def _shadow(
        self,
        request: pytest.FixtureRequest,
        scenario: str,
        given: dict[str, Any],
        settings: Settings,
        *,
        planning: bool,
    ) -> dict[str, Any]:
        """Take the shadow model and its samples from the fixtures, or make it."""
        from privaudit.audit.audit import split_auxiliary
        from privaudit.audit.estimate import Unmade
        from privaudit.plugin.sharing import made_once

        fixture = request.getfixturevalue
        found = {name: fixture(name) for name in SHADOW}
        lacking = [name for name in SHADOW if found[name] is None]
        if not lacking:
            return found
        auxiliary, tune = fixture("auxiliary_samples"), fixture("fine_tune")
        if auxiliary is None or tune is None:
            names = f"{', '.join(lacking)} (or auxiliary_samples and fine_tune)"
            self._lacks(settings, scenario, names)
        members, non_members = split_auxiliary(
            auxiliary, given["members"], given["non_members"], settings.seed
        )
        model: Any = Unmade()
        if not planning:
            # Of xdist's workers each has a folder of its own, in one that they share.
            folder = fixture("tmp_path_factory").getbasetemp().parent
            shared = made_once(tune, folder, parameter_indices(request.node))
            model = self._once("shadow", (auxiliary, tune), lambda _: shared(members))
        return dict(zip(SHADOW, (model, members, non_members), strict=True))

    def _generator(self, model: Any, settings: Settings) -> Any:
        from privaudit.audit.estimate import Unmade
        from privaudit.targets import SavedPipeline, as_target
        from privaudit.targets.acceleration import Acceleration

        if isinstance(model, Unmade):
            return model

        def make(given: Any) -> Any:
            return as_target(
                given,
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                acceleration=Acceleration.of(settings),
            )

        if not hasattr(model, "components") and not isinstance(model, SavedPipeline):
            # A bare function is known by nothing but its identity.
            return self._once("generator", model, make)
        # Each test may have its own settings, and a pipeline that is loaded can be changed between
        # two tests, so its weights are hashed for each.
        made = make(model)
        return self._generators.setdefault(made.fingerprint, made)

    def _lacks(self, settings: Settings, scenario: str, names: str) -> None:
        message = f"{scenario} needs a fixture it does not have: write {names}"
        if settings.strict:
            pytest.fail(f"{message} (--privaudit-strict)", pytrace=False)
        pytest.skip(message)

    def _once(self, kind: str, given: Any, make: Callable[[Any], Any]) -> Any:
        """Convert an object a fixture returned, once for as long as that object lives."""
        parts = given if isinstance(given, tuple) else (given,)
        key = (kind, hash(tuple(part if isinstance(part, str) else id(part) for part in parts)))
        if key not in self._known:
            # The object is kept too: its id must not be given to another one.
            self._known[key] = (given, make(given))
        return self._known[key][1]


def _check_claim(settings: Settings, coin_split: Any) -> None:
    from privaudit.audit.scenarios import SCENARIOS

    if settings.sequential or all(SCENARIOS[s].knows_members for s in settings.scenarios):
        pytest.fail(
            "a privacy_claim is checked by attack-III and attack-IV of an audit that is not "
            "sequential, and here are none: drop --privaudit-sequential, or add a scenario",
            pytrace=False,
        )
    if coin_split is None:
        pytest.fail(
            "a privacy_claim without a coin_split cannot be checked: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture",
            pytrace=False,
        )
