"""What pytest's items say of audits, read once when pytest has collected them.

An :class:`AuditItem` goes down from here: nothing below reads an item or a request of pytest, and
:func:`fixture_value` is what asks a fixture.
"""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from privaudit.attacks.registry import ACCESSES, WEIGHTS, names
from privaudit.plugin import EXPANDED, FIXTURE, FIXTURES, MARKERS
from privaudit.plugin.pytest_internals import (
    fixture_is_absent,
    item_id,
    item_indices,
    item_markers,
    item_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privaudit.runs import Checkpoint
    from privaudit.settings import AuditSettings

__all__ = [
    "ITEM",
    "Address",
    "AuditItem",
    "address_of",
    "fixture_value",
    "forgotten_fixture",
    "function_key",
    "is_audit",
    "item_settings",
    "misspelt_marker",
    "read_item",
    "result_id",
    "result_order",
]

MECHANISMS = ("any", "gaussian")
SCENARIOS = ("I", "II", "III", "IV")
CLAIMABLE = (
    *(f"{scenario}-{attack}" for scenario in ("III", "IV") for attack in names()),
    *(f"{WEIGHTS}-{attack}" for attack in ACCESSES[WEIGHTS]),
)
"""The results that can bound ε, as a ``privacy_claim`` names one."""
PATTERN = (
    r"^(?P<test>[^\[]*)\[(?P<before>.*?)-?\b"
    rf"(?:(?P<scenario>attack-(?:{'|'.join(reversed(SCENARIOS))}))-(?P<attack>{'|'.join(names())})"
    rf"|(?P<access>{'|'.join(ACCESSES)})-"
    rf"(?P<measured>{'|'.join(name for attacks in ACCESSES.values() for name in attacks)}))"
    r"\b-?(?P<after>.*)\]$"
)


OWNER = "privaudit.plugin"
"""The module that has the fixtures which users override."""


@dataclass(frozen=True)
class AuditItem:
    """One item of pytest: one result of one audit.

    Attributes
    ----------
    nodeid
        As a command line takes it.
    test
        The test function's address, without parameters.
    audit
        The audit's name: its test, with the ids of the user's own parameters.
    scenario, attack
        Which result of it.
    settings
        The session's, with those of the item's markers.
    claim
        What a ``privacy_claim`` marker says; ``None`` without one.
    parameters
        The user's own parameters by name, as a record can hold them.
    indices
        The positions of these: the same in every worker of xdist.
    written
        The fixtures of privaudit that somebody wrote, or gives as a parameter.
    checkpoint
        Of a training run, if one is among the parameters.
    file
        The audit file.
    """

    nodeid: str
    test: str
    audit: str
    scenario: str
    attack: str
    settings: AuditSettings
    claim: Mapping[str, Any] | None
    parameters: Mapping[str, Any]
    indices: Mapping[str, int]
    written: frozenset[str]
    checkpoint: Checkpoint | None
    file: Path


ITEM: pytest.StashKey[AuditItem] = pytest.StashKey()


def read_item(item: pytest.Item, session: AuditSettings) -> AuditItem:
    """Read all that an item of an audit says.

    Raises
    ------
    SettingError
        If one of its markers is bad.
    """
    settings = item_settings(item, session)
    check_asked(item, settings)
    parameters = item_parameters(item)
    scenario, attack = parameters.pop(FIXTURE)
    address = address_of(item.nodeid)
    return AuditItem(
        nodeid=item_id(item.nodeid),
        test=item.nodeid.partition("[")[0],
        audit=address.audit if address else item.nodeid,
        scenario=scenario,
        attack=attack,
        settings=settings,
        claim=item_claim(item),
        parameters={name: _recorded(value) for name, value in parameters.items()},
        indices={name: i for name, i in item_indices(item).items() if name != FIXTURE},
        written=frozenset(
            name
            for name in FIXTURES
            if name in parameters or not fixture_is_absent(item, name, OWNER)
        ),
        checkpoint=next(filter(_is_checkpoint, parameters.values()), None),
        file=item.path,
    )


def _is_checkpoint(value: object) -> bool:
    from privaudit.runs import Checkpoint

    return isinstance(value, Checkpoint)


def _recorded(value: object) -> Any:
    """Return a parameter as a record holds it: a plain value, or a name."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else getattr(value, "__name__", type(value).__name__)


def fixture_value(request: pytest.FixtureRequest, name: str) -> Any:
    """Ask one fixture; what pytest says of one that cannot be asked is said in our words."""
    try:
        value = request.getfixturevalue(name)
    except pytest.fail.Exception as error:
        if "has no parameter defined for test" not in str(error):
            raise
        message = (
            f"fixture {name} is parametrized, so the test must name it:\n"
            f"  def {request.node.originalname}({name}, membership_attack):"
        )
        raise pytest.fail.Exception(message, pytrace=False) from None
    if inspect.iscoroutine(value) or inspect.isasyncgen(value):
        if inspect.iscoroutine(value):
            value.close()
        pytest.fail(
            f"fixture {name} is async, and nothing waits for it: write it as a plain function, "
            "for example with asyncio.run(…)",
            pytrace=False,
        )
    return value


class Address(NamedTuple):
    """Where a result belongs: its audit, scenario and inference model.

    Of an attack that takes more than text, the scenario is its access, such as ``"weights"``.
    """

    audit: str
    scenario: str
    attack: str


def result_id(scenario: str, attack: str) -> str:
    """Name an item, such as ``attack-I-threshold`` or ``weights-denoising``."""
    return f"{scenario}-{attack}" if scenario in ACCESSES else f"attack-{scenario}-{attack}"


def result_order() -> list[str]:
    """List the names of all results there can be, in the order of a table."""
    asked = [(scenario, attack) for scenario in SCENARIOS for attack in names()]
    asked += [(access, attack) for access, attacks in ACCESSES.items() for attack in attacks]
    return [result_id(*pair) for pair in asked]


def address_of(nodeid: str) -> Address | None:
    """Read an item's id: the controller of xdist knows nothing else of it.

    The name of an audit is its test, with the ids of the user's own parameters.

    Returns
    -------
    Address or None
        ``None`` if it is no item of an audit.
    """
    match = re.match(PATTERN, item_id(nodeid))  # compiled once, and not before it is needed
    if match is None:
        return None
    own = "-".join(part for part in (match["before"], match["after"]) if part)
    name = f"{match['test']}[{own}]" if own else match["test"]
    if match["access"]:
        return Address(name, match["access"], match["measured"])
    return Address(name, match["scenario"], match["attack"])


def is_audit(item: pytest.Item) -> bool:
    """Tell whether an item is a result of an audit."""
    return FIXTURE in item_parameters(item)


def item_settings(node: pytest.Item, session: AuditSettings) -> AuditSettings:
    """Apply the item's markers, the farthest first, so that the closest one wins.

    Raises
    ------
    SettingError
        If one of them is bad.
    """
    settings = session
    for marker in reversed(item_markers(node, "privacy_budget")):
        settings = settings.with_marker(marker.args, marker.kwargs)
    return settings


def check_asked(item: pytest.Item, settings: AuditSettings) -> None:
    """Refuse a marker of a parameter that asks for other results than its test has items for.

    Parameters
    ----------
    item
        Of an audit.
    settings
        The item's.

    Raises
    ------
    SettingError
        If they do not ask for what the test was expanded into.
    """
    there = item.config.stash.get(EXPANDED, {}).get(function_key(item))
    if there is None or there == settings.asked_results:
        return
    from privaudit.errors import SettingError

    differing = sorted(
        result_id(*pair) for pair in set(there).symmetric_difference(settings.asked_results)
    )
    msg = (
        "the privacy_budget marker of a parameter asks for other results than the test has items "
        f"for: {', '.join(differing)}\nname scenarios, attacks, white_box, img2img and release in "
        "the marker of the test, and what differs by parameter in a test of its own"
    )
    raise SettingError(msg)


def function_key(node: Any) -> str:
    """Name the test function that an item, or its definition, belongs to."""
    return f"{node.parent.nodeid}::{getattr(node, 'originalname', None) or node.name}"


def item_claim(node: pytest.Item) -> dict[str, Any] | None:
    """Return what the closest ``privacy_claim`` marker claims, or ``None``.

    Without numbers, they are those that the fine-tune wrote beside its weights.

    Raises
    ------
    SettingError
        If it does not name two numbers in their ranges, or a mechanism or result there is not.
    """
    marker = next(iter(item_markers(node, "privacy_claim")), None)
    if marker is None:
        return None
    from privaudit.errors import SettingError

    given = dict(zip(("epsilon", "delta"), marker.args, strict=False)) | dict(marker.kwargs)
    how = _how_checked(given)
    if not given:
        return how  # the model's own statement has the numbers
    if len(marker.args) > 2 or set(given) != {"epsilon", "delta"}:
        msg = (
            f"privacy_claim{marker.args}{marker.kwargs} takes epsilon, delta, mechanism, attack, "
            "guesses"
        )
        raise SettingError(msg)
    ranges = {"epsilon": (0.0, float("inf")), "delta": (0.0, 1.0)}
    for name, (low, high) in ranges.items():
        value = given[name]
        if not (_is_number(value) and low <= value < high):
            msg = f"privacy_claim({name}={value!r}) must be a number in [{low:g}, {high:g})"
            raise SettingError(msg)
    numbers = {name: float(value) for name, value in given.items()}
    return numbers | how


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _how_checked(given: dict[str, Any]) -> dict[str, Any]:
    """Take out of what a claim names how it is checked, and check that."""
    from privaudit.errors import SettingError

    mechanism, attack = given.pop("mechanism", "any"), given.pop("attack", None)
    guesses = given.pop("guesses", None)
    if mechanism not in MECHANISMS:
        msg = f"privacy_claim(mechanism={mechanism!r}) must be one of {', '.join(MECHANISMS)}"
        raise SettingError(msg)
    if attack is not None and attack not in CLAIMABLE:
        msg = (
            f"privacy_claim(attack={attack!r}) must be a result that can bound epsilon: "
            f"{', '.join(CLAIMABLE)}"
        )
        raise SettingError(msg)
    if guesses is not None and not (_is_number(guesses) and 0 < guesses <= 1):
        msg = f"privacy_claim(guesses={guesses!r}) must be a share of the coins, in (0, 1]"
        raise SettingError(msg)
    return {"mechanism": mechanism, "attack": attack, "guesses": guesses}


def forgotten_fixture(items: list[pytest.Item]) -> str | None:
    """Find a marker of privaudit whose test asks for no attack: it would pass, whatever leaks.

    A marker of a whole module or class is meant for the tests that do ask.

    Returns
    -------
    str or None
        What to tell the user of the first such test.
    """
    served = {node for item in items if is_audit(item) for node in item.listchain()}
    for item in items:
        for name in MARKERS:
            for node, _ in item.iter_markers_with_node(name):
                if node in served:
                    continue
                function = getattr(item, "originalname", item.name)
                arguments = ", ".join(item_parameters(item))
                fixed = f"def {function}({f'{arguments}, ' if arguments else ''}{FIXTURE}):"
                if getattr(getattr(item, "cls", None), "__mro__", None) and any(
                    base.__module__ == "unittest.case"
                    for base in item.cls.__mro__  # type: ignore[attr-defined]
                ):
                    fixed = f"{fixed}  # a function: unittest's methods take no fixtures"
                return (
                    f"{item_id(item.nodeid)} has a {name} marker and audits nothing: it would pass "
                    f"whatever the model leaks\nask for the fixture:\n  {fixed}"
                )
    return None


def misspelt_marker(items: list[pytest.Item]) -> str | None:
    """Find a marker of an audit whose name is nearly one of ours: it would say nothing.

    Returns
    -------
    str or None
        What to tell the user of the first one.
    """
    for item in filter(is_audit, items):
        for marker in item.iter_markers():
            close = difflib.get_close_matches(marker.name, MARKERS, n=1, cutoff=0.8)
            if close and marker.name not in MARKERS:
                return (
                    f"{item_id(item.nodeid)} has a marker {marker.name}, which says nothing to "
                    f"privaudit: did you mean {close[0]}?"
                )
    return None
