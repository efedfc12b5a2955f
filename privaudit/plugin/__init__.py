"""The pytest plugin: options, the ``membership_attack`` fixture, the gate, the summary.

Nothing but the standard library and pytest is imported until an audit runs, and little of
privaudit before one is collected: every other project's pytest waits for what is imported here.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.plugin.pytest_internals import (
    ini_keys,
    raw_ini,
    switch_without_tests,
    uses_workers,
    without_workers,
)
from privaudit.settings.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privaudit.plugin.gate import Gate
    from privaudit.record import AttackResult
    from privaudit.settings import AuditSettings, Option, SessionSettings

__all__: list[str] = []

FIXTURE = "membership_attack"
MARKERS = ("privacy_budget", "privacy_claim")
SETTINGS: pytest.StashKey[tuple[AuditSettings, SessionSettings]] = pytest.StashKey()
GATE: pytest.StashKey[Gate] = pytest.StashKey()
COLLECTED: pytest.StashKey[list[pytest.Item]] = pytest.StashKey()
"""The audit items that pytest collected, before anything is deselected."""
EXPANDED: pytest.StashKey[dict[str, list[tuple[str, str]]]] = pytest.StashKey()
"""The results that each test function was expanded into."""


# ---------------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every setting to the command line, and most of them to the ini file."""
    group = parser.getgroup("privaudit", "membership-inference audits of text-to-image models")
    for option in OPTIONS:
        if option.in_code_only:
            continue
        form: dict[str, Any] = {"metavar": option.name.upper()}
        if option.switch:
            form = {"action": "store_const", "const": "true"}
        text = f"{option.help} (default: {option.shown_default})".replace("%", "%%")
        group.addoption(
            option.flag, dest=f"privaudit_{option.name}", default=None, help=text, **form
        )
        if option.in_ini:
            parser.addini(f"privaudit_{option.name}", text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings, so that a bad one stops the session before any test."""
    config.addinivalue_line(
        "markers",
        "privacy_budget(max_auc, **settings): largest ROC-AUC that this audit's model may show, "
        "and any setting of privaudit, such as queries=3 or scenarios='I,III'.",
    )
    config.addinivalue_line(
        "markers",
        "privacy_claim(epsilon, delta, mechanism='any', attack=None): differential privacy that "
        "this audit's model claims; the test fails if an attack proves that it has less, or the "
        "one named beforehand, such as 'III-threshold'. It needs a coin_split fixture. Without "
        "numbers it claims what privaudit.finetune wrote beside the weights.",
    )
    flags = {o.name: config.getoption(f"privaudit_{o.name}") for o in OPTIONS if not o.in_code_only}
    ini = {o.name: _written(config, o) for o in OPTIONS if o.in_ini}
    _refuse_unknown_keys(config, ini)
    nothing_said = all(value is None for value in flags.values()) and not any(
        value not in (None, "") for value in ini.values()
    )
    if nothing_said and not uses_workers(config):
        return  # what nobody set need not be checked before there is an audit
    from privaudit.settings import resolve_settings

    try:
        audit, session = resolve_settings(flags, ini)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SETTINGS] = (audit, session)
    if session.strict:
        _refuse_without_tests(config, plan=session.plan)
    if session.plan:
        without_workers(config)  # one process makes the plan
    if session.plan or session.strict or session.update_baseline or uses_workers(config):
        _register(config)  # without an audit too, there is something to say


def _refuse_unknown_keys(config: pytest.Config, known: Iterable[str]) -> None:
    """Refuse a key of an ini file that looks like a setting and is none: it would say nothing."""
    for key in ini_keys(config):
        name = key.removeprefix("privaudit_")
        if name != key and name not in known:
            from privaudit.settings.parsers import nearest

            near = nearest(name, known).replace(": did you mean ", ": did you mean privaudit_")
            msg = f"{key} in the ini file is no setting of an ini file{near}"
            raise pytest.UsageError(msg)


def _written(config: pytest.Config, option: Option) -> Any:
    """Return what an ini file says; a path in it is seen from the project's root."""
    value = raw_ini(config, f"privaudit_{option.name}")
    if option.is_path and isinstance(value, str) and value not in ("", "none"):
        return value if value.startswith("~") else str(config.rootpath / value)
    return value


def _settings(config: pytest.Config) -> tuple[AuditSettings, SessionSettings]:
    """Return the session's settings; where nobody set any, their defaults."""
    if SETTINGS not in config.stash:
        from privaudit.settings import AuditSettings, SessionSettings

        config.stash[SETTINGS] = (AuditSettings(), SessionSettings())
    return config.stash[SETTINGS]


def _refuse_without_tests(config: pytest.Config, *, plan: bool) -> None:
    """Refuse a session that runs no test and yet is to gate: it would end green."""
    switch = "--privaudit-plan" if plan else switch_without_tests(config)
    if switch is not None:
        msg = (
            f"{switch} runs no audit, and --privaudit-strict asks for all: a build would be green "
            "without a verdict\nleave one of them out, or add -o privaudit_strict=false"
        )
        raise pytest.UsageError(msg)


def _register(config: pytest.Config) -> Gate:
    """Register what follows the audits of a session, and return the gate.

    None has a name: ``-p no:NAME`` would take it away.
    """
    from privaudit.plugin.gate import Gate
    from privaudit.plugin.progress import Progress

    audit, session = _settings(config)
    progress = Progress(config)
    gate = config.stash[GATE] = Gate(config, audit, session, progress)
    config.pluginmanager.register(gate)
    config.pluginmanager.register(progress)
    if session.plan:
        from privaudit.plugin.planning import Planning

        gate.planning = Planning(config, gate)
        config.pluginmanager.register(gate.planning)
    return gate


# ---------------------------------------------------------------------------- collection


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note each audit item: one that is deselected later, or dropped, is not forgotten."""
    if FIXTURE in getattr(item, "fixturenames", ()):
        item.config.stash.setdefault(COLLECTED, []).append(item)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin to follow the audits, if there is one; what is registered now heard no call yet."""
    if GATE not in config.stash and (COLLECTED in config.stash or any(map(_concerns, items))):
        _register(config).pytest_collection_modifyitems(items)


def _concerns(item: pytest.Item) -> bool:
    asked = getattr(item, "fixturenames", ())
    return FIXTURE in asked or any(item.get_closest_marker(name) for name in MARKERS)


@pytest.hookimpl(trylast=True)  # innermost: all results of one model come one after another
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Expand a test that asks for ``membership_attack`` into one item a result."""
    if FIXTURE not in metafunc.fixturenames:
        return
    from privaudit.plugin.collection import function_key, item_settings, result_id

    settings, _ = _settings(metafunc.config)
    with contextlib.suppress(ValueError):  # raised as a usage error once all is collected
        settings = item_settings(metafunc.definition, settings)
    pairs = settings.asked_results
    expanded = metafunc.config.stash.setdefault(EXPANDED, {})
    expanded[function_key(metafunc.definition)] = pairs
    ids = [result_id(scenario, attack) for scenario, attack in pairs]
    metafunc.parametrize(FIXTURE, pairs, ids=ids, indirect=True)


# ---------------------------------------------------------------------------- fixtures


FIXTURES: list[str] = []
"""Names of the fixtures that users write."""


def _absent(name: str, meaning: str) -> Any:
    FIXTURES.append(name)

    def absent() -> None:
        return None

    absent.__doc__ = f"{meaning} Override it in an audit file or a conftest.py."
    return pytest.fixture(scope="session", name=name)(absent)


target_model = _absent("target_model", "The fine-tuned model: a diffusers pipeline or a callable.")
members = _absent("members", "Samples the model was fine-tuned on.")
non_members = _absent("non_members", "Samples of the same kind that it was not fine-tuned on.")
captioner = _absent("captioner", "Writes captions from images, for scenarios II and IV.")
base_model = _absent("base_model", "The model that the target was fine-tuned from.")
image_encoder = _absent("image_encoder", "Encoder to use in place of --privaudit-encoder.")
shadow_model = _absent("shadow_model", "The attacker's own fine-tune, for III and IV.")
shadow_members = _absent("shadow_members", "Samples the shadow model was fine-tuned on.")
shadow_non_members = _absent("shadow_non_members", "Samples it was not fine-tuned on.")
auxiliary_samples = _absent("auxiliary_samples", "Samples to make a shadow model from.")
coin_split = _absent("coin_split", "What privaudit.split_by_coin returned, if it made the sets.")
sample_groups = _absent("sample_groups", "A group of each sample, by id: each has an AUC then.")
study_models = _absent("study_models", "Other fine-tunes by name, for `privaudit study`.")
study_shadows = _absent("study_shadows", "Other shadow models by name, for `privaudit study`.")
fine_tune = _absent("fine_tune", "Makes the shadow model: fine_tune(samples) -> model.")


@pytest.fixture
def membership_attack(request: pytest.FixtureRequest) -> AttackResult:
    """Run one attack of the audit; the plugin fails the test when it goes over the budget.

    Returns
    -------
    AttackResult
        With ``auc``, ``budget``, ``verdict`` and more, see :class:`privaudit.record.AttackResult`.
    """
    if not hasattr(request, "param"):
        pytest.fail(
            "membership_attack is asked by getfixturevalue, and pytest must know of it when it "
            f"collects: name it in the arguments,\n  def {request.node.name}(membership_attack):",
            pytrace=False,
        )
    return request.config.stash[GATE].run(request)
