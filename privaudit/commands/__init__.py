"""The commands beside pytest, one file each: a parser's arguments, and what is done with them."""

from __future__ import annotations

from privaudit.commands import (
    attest,
    card,
    check,
    compare,
    doctor,
    history,
    init,
    inspect,
    queries,
    report,
    store,
    study,
)

__all__ = ["COMMANDS"]

COMMANDS = (
    *(init, doctor, store, inspect, queries, history, study),
    *(report, compare, check, card, attest),
)
"""Each has ``add(commands)``, which adds its parser with a default ``run``: arguments to status."""
