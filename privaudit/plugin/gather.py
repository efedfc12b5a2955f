"""From the fixtures of an audit to the result of one of its attacks."""

from __future__ import annotations

import contextlib
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
    from collections.abc import Callable, Iterator

    from privaudit.config import Settings
    from privaudit.record import AttackResult


class AttackRunner:
    """Runs attacks on what fixtures returned, and keeps what the next attack needs again."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._store: Any = None
        self._decided: dict[str, str] = {}
        """What decided each sequential audit that needs nothing more."""
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}

    def attack(self, request: pytest.FixtureRequest) -> AttackResult:
        """Gather the fixtures and run the attack of the requesting item."""
        scenario, attack = request.param
        settings = item_settings(request.node, self._settings)
        audit = audit_variant(request.node)
        if settings.sequential and audit in self._decided:
            pytest.skip(f"already decided: {self._decided[audit]}; nothing more was generated")
        try:
            result = self._run(request, scenario, attack, settings)
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

    def _run(
        self, request: pytest.FixtureRequest, scenario: str, attack: str, settings: Settings
    ) -> AttackResult:
        from privaudit.arms import Claim, Ingredients
        from privaudit.audit import make_shadow, run_attack
        from privaudit.encoders import as_encoder
        from privaudit.generators import as_generator
        from privaudit.plugin.sharing import made_once
        from privaudit.scenarios import SCENARIOS

        plan = SCENARIOS[scenario]
        fixture = request.getfixturevalue
        given = {name: fixture(name) for name in ("members", "non_members", "target_model")}
        given["coin_split"] = fixture("coin_split")
        required = ("members", "non_members", "target_model")
        absent = [name for name in required if given[name] is None]
        if absent:
            pytest.fail(
                f"{len(absent)} fixtures of this audit are missing: write {', '.join(absent)} "
                "in the audit file or a conftest.py",
                pytrace=False,
            )
        if not plan.knows_captions:
            given["captioner"] = fixture("captioner")
            if given["captioner"] is None:
                self._lacks(settings, plan.name, "captioner")
        if not plan.knows_members:
            shadow = ("shadow_model", "shadow_members", "shadow_non_members")
            given |= {name: fixture(name) for name in shadow}
            lacking = [name for name in shadow if given[name] is None]
            if lacking:
                auxiliary, tune = fixture("auxiliary_samples"), fixture("fine_tune")
                if auxiliary is None or tune is None:
                    self._lacks(
                        settings,
                        plan.name,
                        f"{', '.join(lacking)} (or auxiliary_samples and fine_tune)",
                    )
                # Of xdist's workers each has a folder of its own, in one that they share.
                folder = request.getfixturevalue("tmp_path_factory").getbasetemp().parent
                indices = parameter_indices(request.node)
                trio = self._once(
                    "shadow",
                    (auxiliary, tune),
                    lambda _: make_shadow(
                        made_once(tune, folder, indices),
                        auxiliary,
                        given["members"],
                        given["non_members"],
                        settings.seed,
                    ),
                )
                given |= dict(zip(shadow, trio, strict=True))

        def generator(model: Any) -> Any:
            return as_generator(
                model,
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
            )

        for name in ("target_model", "shadow_model"):
            model = given.get(name)
            if model is not None:
                # A pipeline can be changed between two tests, so its weights are hashed for
                # each; a bare function is known by nothing but its identity.
                is_pipeline = hasattr(model, "components")
                given[name] = (
                    generator(model) if is_pipeline else self._once(name, model, generator)
                )
        if "captioner" in given:
            from privaudit.captioners import as_captioner

            given["captioner"] = self._once("captioner", given["captioner"], as_captioner)
        claim = item_claim(request.node)
        if claim is not None:
            if settings.sequential or all(SCENARIOS[s].knows_members for s in settings.scenarios):
                pytest.fail(
                    "a privacy_claim is checked by attack-III and attack-IV of an audit that is "
                    "not sequential, and here are none: drop --privaudit-sequential, or add a "
                    "scenario",
                    pytrace=False,
                )
            if given["coin_split"] is None:
                pytest.fail(
                    "a privacy_claim without a coin_split cannot be checked: split with "
                    "privaudit.split_by_coin, and return its result from a coin_split fixture",
                    pytrace=False,
                )
            given["claim"] = Claim(*claim)
        encoder = fixture("image_encoder")
        given["image_encoder"] = self._once(
            "encoder", settings.encoder if encoder is None else encoder, as_encoder
        )
        with self._progress(request.node.name) as progress:
            return run_attack(
                scenario, attack, Ingredients(**given), settings, self._open_store(), progress
            )

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

    def _open_store(self) -> Any:
        if self._store is None:
            from privaudit.store import Store, default_folder

            folder = self._settings.store or default_folder()
            self._store = Store(None if str(folder) == "none" else folder)
        return self._store

    @contextlib.contextmanager
    def _progress(self, name: str) -> Iterator[Callable[[int, int], None] | None]:
        """Show a bar while an attack generates, where someone is watching."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if not getattr(terminal, "isatty", False):  # xdist's workers have none at all
            yield None
            return
        from tqdm import tqdm

        capture = self._config.pluginmanager.get_plugin("capturemanager")
        uncaptured = capture.global_and_fixture_disabled if capture else contextlib.nullcontext
        bar: Any = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            with uncaptured():
                if bar is None:
                    bar = tqdm(desc=name, total=total, unit="image", leave=False)
                bar.n = done
                bar.refresh()

        try:
            yield progress
        finally:
            if bar is not None:
                with uncaptured():
                    bar.close()
