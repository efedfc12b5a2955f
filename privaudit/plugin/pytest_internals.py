"""Every private or undocumented name of pytest and xdist that the plugin uses, and no other file.

A release of pytest that renames one breaks this file and its tests alone. Tried with pytest 8.0
and 9.2, see ``tests/plugin/test_pytest_internals.py``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "fixture_is_absent",
    "ini_keys",
    "item_id",
    "item_indices",
    "item_markers",
    "item_parameters",
    "option_is_set",
    "quiet_reports",
    "raw_ini",
    "say_on_one_line",
    "shows_bar",
    "switch_without_tests",
    "terminal_writer",
    "turn_red",
    "uncaptured",
    "uses_workers",
    "without_workers",
    "worker_input",
    "worker_output",
    "writer_of",
]


# ---------------------------------------------------------------------------- settings


def raw_ini(config: pytest.Config, name: str) -> Any:
    """Return what an ini file says, in TOML also a number or a truth value.

    ``Config.getini`` refuses those for an option of pytest's type "string", which is the only
    type that lets us tell a bad value in our own words.
    """
    known = getattr(config, "_inicfg", None)  # of pytest 9; older ones have texts only
    written = known.get(name) if known is not None else None
    if getattr(written, "mode", "ini") == "toml":
        return getattr(written, "value", None)
    return config.getini(name)


def ini_keys(config: pytest.Config) -> list[str]:
    """Return the names that an ini file sets, known or not."""
    written = getattr(config, "_inicfg", None)
    return list(config.inicfg if written is None else written)


def option_is_set(config: pytest.Config, name: str) -> bool:
    """Tell whether a switch of pytest was given, whose plugin may be off (``-p no:debugging``)."""
    return bool(config.getoption(name, False))


WITHOUT_TESTS = {
    "setupplan": "--setup-plan",
    "setuponly": "--setup-only",
    "collectonly": "--collect-only",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
}
"""Switches of pytest that collect tests and run none; ``--setup-show`` runs them."""


def switch_without_tests(config: pytest.Config) -> str | None:
    """Return the switch of pytest by which this session runs no test, or ``None``."""
    return next((flag for name, flag in WITHOUT_TESTS.items() if option_is_set(config, name)), None)


# ---------------------------------------------------------------------------- items


def item_parameters(item: Any) -> dict[str, Any]:
    """Return the values that an item, or the definition of one, was parametrized with, by name."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec else {}


def item_indices(item: Any) -> dict[str, int]:
    """Return the positions of these values: the same in every worker."""
    callspec = getattr(item, "callspec", None)
    return {name: int(i) for name, i in callspec.indices.items()} if callspec else {}


def item_markers(item: Any, name: str) -> list[Any]:
    """Return the markers of a name, the closest first: that of a parameter, then the test's own."""
    callspec = getattr(item, "callspec", None)
    closest = {id(mark) for mark in callspec.marks} if callspec else set()
    return sorted(item.iter_markers(name), key=lambda mark: id(mark) not in closest)


def item_id(nodeid: str) -> str:
    """Return the id that a command line takes: xdist appends a group to those of its workers."""
    head, bracket, group = nodeid.rpartition("]@")
    return f"{head}]" if bracket and "/" not in group else nodeid


def fixture_is_absent(item: pytest.Item, name: str, owner: str) -> bool:
    """Tell whether, for an item, nobody has overridden the fixture that module ``owner`` has."""
    where: Any = item if pytest.version_tuple >= (8, 1) else item.nodeid
    known = item.session._fixturemanager.getfixturedefs(name, where)
    return not known or getattr(known[-1].func, "__module__", "") == owner


def quiet_reports(item: pytest.Item, nextitem: Any) -> list[pytest.TestReport]:
    """Set an item up, run it and tear it down, and tell no plugin of it."""
    return runtestprotocol(item, log=False, nextitem=nextitem)


def say_on_one_line(report: pytest.TestReport, message: str) -> None:
    """Have the short summary show a message in place of the class of an exception."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = message


def reason_of(report: pytest.TestReport) -> str:
    """Give all that is said of why an item was skipped or failed."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = crash.message if crash else str(longrepr or getattr(report, "wasxfail", ""))
    return text.strip()


def turn_red(session: pytest.Session, n: int = 1) -> None:
    """Count n more failures, for what is no single test's."""
    session.testsfailed += n


# ---------------------------------------------------------------------------- workers


def worker_input(config: pytest.Config) -> dict[str, Any] | None:
    """Return what the controller of xdist told this worker, or ``None`` in another process."""
    return getattr(config, "workerinput", None)


def worker_output(config: pytest.Config) -> dict[str, Any] | None:
    """Return what this worker of xdist will tell its controller, or ``None``."""
    return getattr(config, "workeroutput", None)


def uses_workers(config: pytest.Config) -> bool:
    """Tell whether this is a worker of xdist, or the process that has some."""
    return worker_input(config) is not None or getattr(config.option, "dist", "no") != "no"


def without_workers(config: pytest.Config) -> None:
    """Keep xdist, if it is there, from starting workers."""
    config.option.dist, config.option.tx = "no", []


# ---------------------------------------------------------------------------- terminal


def uncaptured(config: pytest.Config) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return a context in which output reaches the terminal."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    return capture.global_and_fixture_disabled if capture else contextlib.nullcontext


def shows_bar(config: pytest.Config) -> bool:
    """Tell whether someone watches the terminal."""
    return bool(getattr(config.pluginmanager.get_plugin("terminalreporter"), "isatty", False))


def terminal_writer(config: pytest.Config) -> Callable[[str], None]:
    """Return what writes a line to the terminal, below the dots of a line that was begun."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    visible = uncaptured(config)

    def write(line: str) -> None:
        if reporter is not None:
            with visible():
                if reporter._tw.width_of_current_line:  # dots, of which xdist keeps no count
                    reporter._tw.line()
                reporter.write_line(line)

    return write


def writer_of(reporter: Any) -> tuple[int, Callable[..., str]]:
    """Return the columns of the terminal, and what colours a text where colour is on."""
    return reporter._tw.fullwidth, reporter._tw.markup


def print_section(reporter: Any, title: str, lines: Sequence[str]) -> None:
    """Print a section of the terminal summary."""
    reporter.section(title)
    for line in lines:
        reporter.line(line)
