"""The pytest plugin: options, the ``membership_attack`` fixture, the gate, the summary.

Nothing but the standard library and pytest is imported until an audit runs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.plugin.planning import Planning
from privaudit.plugin.session import (
    FIXTURE,
    SETTINGS,
    AuditInconclusive,
    AuditInvalid,
    AuditSession,
    PrivacyBudgetExceeded,
    PrivacyClaimExceeded,
    item_settings,
)
from privaudit.settings.options import OPTIONS
from privaudit.settings.resolve import resolve

if TYPE_CHECKING:
    from privaudit.record.result import AttackResult

__all__ = ["AuditInconclusive", "AuditInvalid", "PrivacyBudgetExceeded", "PrivacyClaimExceeded"]

PLANNING = pytest.StashKey[Planning]()


# ---------------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of the settings to the command line and the ini file."""
    group = parser.getgroup("privaudit", "membership-inference audits of text-to-image models")
    for option in OPTIONS:
        form: dict[str, Any] = {"metavar": option.name.upper()}
        if option.switch:
            form = {"action": "store_const", "const": "true"}
        group.addoption(
            *option.flags,
            dest=f"privaudit_{option.name}",
            default=None,
            help=option.help,
            **form,
        )
        if option.in_ini:
            parser.addini(f"privaudit_{option.name}", option.help, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings, so that a bad one stops the session before any test."""
    config.addinivalue_line(
        "markers",
        "privacy_budget(max_auc, **settings): largest ROC-AUC that this audit's model may show, "
        "and any setting of privaudit, such as queries=3 or scenarios='I,III'.",
    )
    config.addinivalue_line(
        "markers",
        "privacy_claim(epsilon, delta): differential privacy that this audit's model claims; the "
        "test fails if the attack proves that it has less. It needs a coin_split fixture.",
    )
    config.addinivalue_line("python_files", "audit_*.py")
    try:
        settings = resolve(
            {o.name: config.getoption(f"privaudit_{o.name}") for o in OPTIONS},
            {o.name: config.getini(f"privaudit_{o.name}") for o in OPTIONS if o.in_ini},
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.json is not None and settings.json.is_dir():
        msg = f"--privaudit-json={str(settings.json)!r} is a folder: name a file"
        raise pytest.UsageError(msg)
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(AuditSession(config, settings), "privaudit-session")
    config.stash[PLANNING] = Planning(config, settings)
    config.pluginmanager.register(config.stash[PLANNING], "privaudit-planning")
    if settings.plan:
        config.option.dist, config.option.tx = "no", []  # xdist's: one process makes the plan


# ---------------------------------------------------------------------------- collection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Expand a test that asks for ``membership_attack`` into one item an attack."""
    if FIXTURE not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[SETTINGS]
    with contextlib.suppress(ValueError):  # raised as a usage error once all is collected
        session = item_settings(metafunc.definition, session)
    pairs = [(scenario, attack) for scenario in session.scenarios for attack in session.attacks]
    ids = [f"attack-{scenario}-{attack}" for scenario, attack in pairs]
    metafunc.parametrize(FIXTURE, pairs, ids=ids, indirect=True)


# ---------------------------------------------------------------------------- fixtures


def _absent(name: str, meaning: str) -> Any:
    def absent() -> None:
        return None

    absent.__doc__ = f"{meaning} Override it in an audit file or a conftest.py."
    return pytest.fixture(scope="session", name=name)(absent)


target_model = _absent("target_model", "The fine-tuned model: a diffusers pipeline or a callable.")
members = _absent("members", "Samples the model was fine-tuned on.")
non_members = _absent("non_members", "Samples of the same kind that it was not fine-tuned on.")
captioner = _absent("captioner", "Writes captions from images, for scenarios II and IV.")
image_encoder = _absent("image_encoder", "Encoder to use in place of --privaudit-encoder.")
shadow_model = _absent("shadow_model", "The attacker's own fine-tune, for III and IV.")
shadow_members = _absent("shadow_members", "Samples the shadow model was fine-tuned on.")
shadow_non_members = _absent("shadow_non_members", "Samples it was not fine-tuned on.")
auxiliary_samples = _absent("auxiliary_samples", "Samples to make a shadow model from.")
coin_split = _absent("coin_split", "What privaudit.split_by_coin returned, if it made the sets.")
fine_tune = _absent("fine_tune", "Makes the shadow model: fine_tune(samples) -> model.")


@pytest.fixture
def membership_attack(request: pytest.FixtureRequest) -> AttackResult:
    """Run one attack of the audit; the plugin fails the test when it goes over the budget.

    Returns
    -------
    AttackResult
        With ``auc``, ``budget``, ``verdict`` and more, see :class:`privaudit.AttackResult`.
    """
    planning = request.config.stash[PLANNING]
    if planning.planning:
        planning.add(request)
        pytest.skip("planned")
    return planning.runner.attack(request)
