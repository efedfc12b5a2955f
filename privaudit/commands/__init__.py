"""The commands beside pytest, one file each: a parser's arguments, and what is done with them."""

from __future__ import annotations

from privaudit.commands import doctor, history, init, inspect, queries, store, study

__all__ = ["COMMANDS"]

COMMANDS = (init, doctor, store, inspect, queries, history, study)
"""Each has ``add(commands)``, which adds its parser with a default ``run``: arguments to status."""
