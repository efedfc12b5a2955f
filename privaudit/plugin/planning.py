"""``--privaudit-plan``: what the audits of a session would ask, and no test is run.

One item of each scenario of each audit is set up as pytest sets up a test, and what answers its
``membership_attack`` adds to the plan what it would ask, instead of asking.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from privaudit.plugin.collection import ITEM, fixture_value
from privaudit.plugin.pytest_internals import (
    option_is_set,
    quiet_reports,
    reason_of,
    terminal_writer,
    turn_red,
)

if TYPE_CHECKING:
    from privaudit.audit import Estimate
    from privaudit.plugin.gate import Gate

__all__ = ["Planning"]


class Planning:
    """Makes the plan of a session, and shows it."""

    def __init__(self, config: pytest.Config, gate: Gate) -> None:
        self._config, self._gate = config, gate
        self._estimate: Any = None

    def add(self, request: pytest.FixtureRequest) -> None:
        """Add what the scenario of the requesting item asks."""
        item, value = request.node.stash[ITEM], functools.partial(fixture_value, request)
        runner = self._gate.runner(value)
        manager = self._config.pluginmanager
        study = manager.get_plugin("privaudit-study")
        if study is not None:  # the command `privaudit study` takes the audits themselves
            self._estimate = study
            study.take(runner.audit(item, value), value)
            return
        if self._estimate is None:
            from privaudit.audit import Estimate

            # The command `privaudit queries` asks for lists in place of the plan.
            lists: Estimate | None = manager.get_plugin("privaudit-query-lists")
            plan = Estimate(runner.store, runner.engine.speedup)
            self._estimate = plan if lists is None else lists  # lists are falsy while empty
        runner.estimate(item, value, self._estimate)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Make and show the plan in place of the tests."""
        if option_is_set(self._config, "collectonly"):
            return None
        chosen: dict[tuple[str, str], pytest.Item] = {}
        for item in session.items:
            if ITEM in item.stash:
                chosen.setdefault((item.stash[ITEM].audit, item.stash[ITEM].scenario), item)
        items, failures = list(chosen.values()), []
        # After the last one nothing but the session stays set up.
        for item, following in zip(items, [*items[1:], session] if items else [], strict=True):
            for report in quiet_reports(item, following):
                if report.failed:
                    reason = reason_of(report).removeprefix("Failed: ").partition("\n")[0]
                    failures.append(f"  {item.nodeid} cannot be planned: {reason}")
        lines = list(self._estimate.lines()) if self._estimate else []
        if lines:
            lines += self._gate.chances()
        write = terminal_writer(self._config)
        for line in [*lines, *failures] or ([] if self._estimate else [NOTHING]):
            write(line)
        turn_red(session, len(failures))
        return True


NOTHING = "privaudit: no audit to plan"
