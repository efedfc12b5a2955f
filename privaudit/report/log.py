"""The log of a session: one entry a test item, grouped into audits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from privaudit.attacks.registry import position
from privaudit.record.result import SCHEMA_VERSION

__all__ = ["AuditLog"]


class AuditLog:
    """Collects what the items of a session report, in any order and from any process.

    An entry is a JSON object with ``audit`` (the test id without the bracket), ``scenario``,
    ``attack``, ``budget``, ``budget_source``, ``settings``, ``outcome`` (``"completed"``,
    ``"skipped"``, ``"invalid"`` or ``"error"``), ``reason`` and ``result`` (of a completed one).
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        """Why the session is red beyond its failed tests, one sentence each."""

    def __len__(self) -> int:
        """Return the number of items heard of."""
        return len(self._entries)

    def __contains__(self, nodeid: str) -> bool:
        """Tell whether an item has reported."""
        return nodeid in self._entries

    def add(self, nodeid: str, entry: dict[str, Any]) -> None:
        """Keep an item's entry; a later one for the same item replaces it."""
        self._entries[nodeid] = entry

    def counts(self) -> Counter[str]:
        """Count the entries by outcome."""
        return Counter(entry["outcome"] for entry in self._entries.values())

    def audits(self) -> list[dict[str, Any]]:
        """Group the entries, sorted by audit, scenario and inference model."""
        scenarios = ["attack-I", "attack-II", "attack-III", "attack-IV"]
        groups: dict[str, dict[str, Any]] = {}
        for entry in sorted(
            self._entries.values(),
            key=lambda e: (e["audit"], scenarios.index(e["scenario"]), position(e["attack"])),
        ):
            group = groups.setdefault(
                entry["audit"],
                {
                    "name": entry["audit"],
                    "budget": entry["budget"],
                    "budget_source": entry["budget_source"],
                    "settings": entry["settings"],
                    "results": [],
                    "not_completed": [],
                },
            )
            if entry["outcome"] == "completed":
                group["results"].append(entry["result"])
            else:
                group["not_completed"].append(
                    {key: entry[key] for key in ("scenario", "attack", "outcome", "reason")}
                )
        return list(groups.values())

    def document(self, version: str, exit_status: int) -> dict[str, Any]:
        """Return the whole log as the JSON document of the current schema."""
        return {
            "schema_version": SCHEMA_VERSION,
            "privaudit_version": version,
            "exit_status": exit_status,
            "notes": self.notes,
            "audits": self.audits(),
        }
