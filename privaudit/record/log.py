"""The parts of records that come in, in any order and from any process, put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.record.audit import AuditRecord, NotCompleted
from privaudit.record.run import runs_of
from privaudit.record.session import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RecordLog"]

TARGET = "target_model"
OWN_SETS = ("members", "non_members")
"""With the target, what all results of an audit are about."""


class RecordLog:
    """Collects one part of a record for each item of a session.

    Parameters
    ----------
    order
        Names of results, such as ``"attack-I-threshold"``, in the order that records have them.
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._parts: dict[str, AuditRecord] = {}
        self.notes: list[str] = []
        """Why the session is red beyond its failed tests, one sentence each."""

    def __len__(self) -> int:
        """Return the number of items heard of."""
        return len(self._parts)

    def __contains__(self, item: str) -> bool:
        """Tell whether an item has reported."""
        return item in self._parts

    def add(self, item: str, part: AuditRecord) -> None:
        """Keep an item's part; a later one for the same item replaces it."""
        self._parts[item] = part

    @property
    def n_completed(self) -> int:
        """Items that have a result."""
        return sum(bool(part.all_results) for part in self._parts.values())

    def mixed(self) -> list[str]:
        """Say of which audits the items were about several models or sets, a sentence each.

        A fixture of function scope may make another one for each: no table is about all of them.
        """
        found: dict[tuple[str, str], set[str]] = {}
        for part in self._parts.values():
            if part.provenance is None:
                continue
            model, sets = part.provenance.models.get(TARGET, {}), part.provenance.samples
            known = {TARGET: model.get("identity")}
            known |= {name: sets[name].digest for name in OWN_SETS if name in sets}
            for name, identity in known.items():
                if identity is not None:
                    found.setdefault((part.name, name), set()).add(str(identity))
        return [
            f"{audit} is no one audit: its items got {len(identities)} different {name}, so give "
            "that fixture scope='session', or have each test of it make the same"
            for (audit, name), identities in sorted(found.items())
            if len(identities) > 1
        ]

    def audits(self, expected: Iterable[tuple[str, str, str]] = ()) -> list[AuditRecord]:
        """Put the parts together, an audit each.

        Parameters
        ----------
        expected
            Audit, scenario and inference model of items that were due and have not reported.
        """
        whole: dict[str, AuditRecord] = {}

        def put(part: AuditRecord) -> None:
            known = whole.get(part.name)
            whole[part.name] = part if known is None else known.merged(part)

        for part in self._parts.values():
            put(part)
        for name, scenario, attack in expected:
            item = NotCompleted(
                scenario=scenario,
                attack=attack,
                outcome="not run",
                reason="the session ended before it",
            )
            put(AuditRecord(name=name, not_completed=[item], complete=False))
        return [whole[name].sorted(self._order) for name in sorted(whole)]

    def record(
        self,
        version: str,
        exit_status: int | None,
        expected: Iterable[tuple[str, str, str]] = (),
    ) -> SessionRecord:
        """Return the record of the session, see :meth:`audits`."""
        audits = self.audits(expected)
        return SessionRecord(
            privaudit_version=version,
            exit_status=exit_status,
            complete=all(audit.complete for audit in audits),
            notes=self.notes,
            audits=audits,
            runs=runs_of(audits),
        )
