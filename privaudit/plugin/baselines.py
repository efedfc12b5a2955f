"""The baselines of a session: where each is, and the one way in which they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.plugin.collection import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from privaudit.audit.baseline import Against
    from privaudit.record import AuditRecord
    from privaudit.settings import AuditSettings, SessionSettings

__all__ = ["REDRAWN", "BaselineUpdate", "against", "place_of"]

REDRAWN = "failed, then redrawn"
"""How the note ends of a red result that a rerun drew again."""


def place_of(config: pytest.Config, stated: str, source: str) -> Path:
    """Return the file or folder that a setting names.

    Parameters
    ----------
    config
        Of the session.
    stated, source
        The setting, and where it was set: what a command line names is seen from where it was
        typed, the rest from the project's root.
    """
    start = config.invocation_params.dir if source == "command line" else config.rootpath
    place = start / stated
    here = Path.cwd()
    return place.relative_to(here) if place.is_relative_to(here) else place


def against(
    config: pytest.Config, settings: AuditSettings, session: SessionSettings, audit: str
) -> Against | None:
    """Read what an audit is compared with; ``None`` if it has no baseline.

    Raises
    ------
    BaselineError
        If there is no such file, or it is of no use, or there is no key.
    """
    if settings.baseline is None:
        return None
    from privaudit.audit.baseline import baseline_key, load_reference

    return load_reference(
        place_of(config, settings.baseline, settings.source("baseline")),
        audit,
        baseline_key(session.baseline_key),
        update=session.update_baseline,
    )


class BaselineUpdate:
    """Writes the baselines of a session that completed, unless something speaks against it.

    Parameters
    ----------
    config, session
        Of the session.
    """

    def __init__(self, config: pytest.Config, session: SessionSettings) -> None:
        self._config, self._session = config, session
        self._failed: set[str] = set()
        self.said: list[str] = []
        """What was written, one sentence each."""

    def heard(self, report: pytest.TestReport) -> None:
        """Remember which audits have a failed test, whatever it failed for."""
        address = address_of(report.nodeid)
        if address is not None and report.failed:
            self._failed.add(address.audit)

    def write(self, audits: Sequence[AuditRecord], missing: int) -> list[str]:
        """Write what may be written.

        Parameters
        ----------
        audits
            All of the session.
        missing
            Items that never reported.

        Returns
        -------
        list of str
            Why a baseline was not written, a sentence each: the session is red for it.
        """
        if missing:
            return [f"no baseline was written: {missing} audit items never reported"]
        wanted = [audit for audit in audits if audit.settings.get("baseline") is not None]
        if not wanted:
            return [
                "no baseline was written: name its file or folder, --privaudit-baseline=PATH"
                if audits
                else "no baseline was written: the session has no audit"
            ]
        return [note for audit in wanted if (note := self._written(audit, wanted))]

    def _written(self, audit: AuditRecord, others: Sequence[AuditRecord]) -> str:
        """Write one, or say why not."""
        from privaudit.audit.baseline import baseline_key
        from privaudit.audit.run import record_facts
        from privaudit.errors import BaselineError
        from privaudit.record import Baseline, write_json

        path = self._file(audit)
        if [self._file(other) for other in others].count(path) > 1:
            return f"baseline {path} was not written: several audits share it, so name a folder"
        objection = self._objection(audit)
        if objection:
            return f"baseline {path} was not written: {audit.name} {objection}"
        try:
            key = baseline_key(self._session.baseline_key)
            made = Baseline.from_record(audit, record_facts(audit, key), key)
            write_json(path, made)
        except (BaselineError, OSError) as error:
            return f"baseline {path} was not written: {error}"
        self.said.append(
            f"baseline {path} written: {made.verdict.upper()}, results: {len(made.results)}, "
            f"samples: {len(made.members)}+{len(made.non_members)}"
        )
        return ""

    def _file(self, audit: AuditRecord) -> Path:
        from privaudit.audit.baseline import baseline_file

        settings: Mapping[str, Any] = audit.settings
        source = settings["sources"]["baseline"]
        return baseline_file(place_of(self._config, settings["baseline"], source), audit.name)

    def _objection(self, audit: AuditRecord) -> str:
        """Say what speaks against writing an audit down, and the way out."""
        lost = [item for item in audit.not_completed if item.outcome != "skipped"]
        if lost:
            return f"lacks {len(lost)} results, the first {lost[0].name} ({lost[0].outcome})"
        if audit.not_asked:
            there = len(audit.all_results)
            due = there + len(audit.not_asked)
            return f"was asked for {there} of its {due} results: select the whole audit"
        redrawn = any(note.endswith(REDRAWN) for note in audit.notes)
        if audit.verdict != "pass" or audit.name in self._failed or redrawn:
            verdict = "red" if audit.verdict == "pass" else audit.verdict.upper()
            return (
                f"is {verdict}: write it from an audit that passes (to accept a rise, remove the "
                "old file first; to compare without a budget, --privaudit-budget=1)"
            )
        return ""
