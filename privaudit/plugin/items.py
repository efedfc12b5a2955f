"""What an item of pytest says of an audit: which one, which result of it, with which settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from privaudit.attacks.registry import ACCESSES, WEIGHTS, names
from privaudit.plugin import EXPANDED, FIXTURE, MARKERS
from privaudit.plugin.pytest_internals import item_id, item_markers, item_parameters

if TYPE_CHECKING:
    import pytest

    from privaudit.settings import AuditSettings

__all__ = [
    "Address",
    "address_of",
    "check_asked",
    "forgotten_fixture",
    "function_key",
    "is_audit",
    "item_claim",
    "item_settings",
    "own_parameters",
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


def own_parameters(item: pytest.Item) -> dict[str, Any]:
    """Return the user's own parameters of an item, by name, as a record can hold them."""
    given = {name: value for name, value in item_parameters(item).items() if name != FIXTURE}
    return {
        name: value
        if value is None or isinstance(value, (str, int, float, bool))
        else getattr(value, "__name__", type(value).__name__)
        for name, value in given.items()
    }


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
