"""A folder with a record of each session: written beside one another, read together.

The records are without sample ids and scores, so the folder may be handed on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from privaudit.errors import HistoryError, PrivauditError, RecordError
from privaudit.files import is_regular, write_private
from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from privaudit.record import AttackResult, AuditRecord

__all__ = ["Entry", "Past", "add_to_history", "completed", "keep", "read_history"]

GATES = (
    "sources",
    "without_effect",
    "budget",
    "max_tpr",
    "at_fpr",
    "gate",
    "batch_size",
    "blind_limit",
    "duplicate_limit",
    "baseline",
    "baseline_samples",
    "max_rise",
)
"""Settings that change no AUC and none of its bounds."""


class Past(NamedTuple):
    """One result of one audit, as it was.

    Attributes
    ----------
    auc, low, high
        In [0, 1].
    confidence
        Of the bounds.
    verdict
        ``"pass"``, ``"fail"`` or ``"inconclusive"``.
    """

    auc: float
    low: float
    high: float
    confidence: float
    verdict: str


class Entry(NamedTuple):
    """One completed audit.

    Attributes
    ----------
    name
        The audit's.
    ended
        When, in ISO 8601 and UTC.
    commit
        Of the audit file's repository, if it was in one.
    target
        Identity of the model.
    comparable
        Hash of samples, settings and encoder: two audits with the same one differ by the model.
    verdict, budget
        Of the whole audit.
    results
        By name, such as ``"attack-I-threshold"``.
    """

    name: str
    ended: str
    commit: str | None
    target: str
    comparable: str
    verdict: str
    budget: float
    results: dict[str, Past]


def completed(audits: Iterable[AuditRecord]) -> list[AuditRecord]:
    """Return the audits that are complete, whole and have a result: what may be kept."""
    done = (one for one in audits if one.complete and one.results and one.provenance is not None)
    return [one for one in done if not one.not_asked]


def keep(
    audits: Sequence[AuditRecord], privaudit: str, *, history: Path | None, mlflow: str | None
) -> list[str]:
    """Add completed audits to a history, and log them with MLflow; no verdict depends on either.

    Parameters
    ----------
    audits
        Records.
    privaudit
        The version.
    history
        The folder; ``None`` for none.
    mlflow
        A tracking server, database or folder; ``None`` for none.

    Returns
    -------
    list of str
        A line for each audit that is only a part of one, and is not kept; and for each of the two
        that could not take them.
    """
    from privaudit.history.tracking import log_audits

    lines = [
        f"{audit.name} is not kept: {len(audit.not_asked)} of its results were not asked for, the "
        f"first {audit.not_asked[0]}"
        for audit in audits
        if audit.results and audit.not_asked
    ]
    try:
        if history is not None:
            add_to_history(audits, privaudit, history)
    except PrivauditError as error:
        lines.append(str(error))
    try:
        if mlflow is not None:
            log_audits(audits, privaudit, mlflow)
    except PrivauditError as error:
        lines.append(str(error))
    return lines


def add_to_history(audits: Iterable[AuditRecord], privaudit: str, folder: Path) -> Path | None:
    """Write the audits that are complete and have a result as one record.

    Parameters
    ----------
    audits
        Records.
    privaudit
        The version.
    folder
        Where; it is made if it is not there.

    Returns
    -------
    Path or None
        The record's file, named by time and content; ``None`` where no audit is complete.

    Raises
    ------
    HistoryError
        If it cannot be written.
    """
    from privaudit.record import SessionRecord

    wanted = completed(audits)
    if not wanted:
        return None
    ended = max(audit.provenance.ended for audit in wanted if audit.provenance is not None)
    record = SessionRecord(privaudit_version=privaudit, audits=[_without_ids(a) for a in wanted])
    content = f"{record.to_json()}\n".encode()
    digest = hashlib.blake2b(content, digest_size=4).hexdigest()
    file = folder / f"{ended:%Y%m%dT%H%M%SZ}-{digest}.json"
    try:
        write_private(file, content)
    except OSError as error:
        msg = f"history {folder}: nothing was added ({error}): name a folder that you may write to"
        raise HistoryError(msg) from error
    return file


def read_history(folder: Path) -> list[Entry]:
    """Return the audits of all records in a folder, the oldest first.

    Parameters
    ----------
    folder
        What ``--privaudit-history`` named. Files that ``--privaudit-json`` wrote may be there, too.

    Raises
    ------
    HistoryError
        If there is no such folder, or a ``.json`` file in it is no record.
    """
    from privaudit.record import read_json

    if not folder.is_dir():
        msg = f"{folder} is not a folder: name the one that --privaudit-history named"
        raise HistoryError(msg)
    entries = []
    try:
        for file in sorted(folder.glob("*.json")):
            if is_regular(file):
                entries += [_entry(audit) for audit in completed(read_json(file).audits)]
    except (OSError, RecordError) as error:
        msg = f"history {folder} cannot be read: {error}, or move the file away"
        raise HistoryError(msg) from error
    return sorted(entries, key=lambda entry: entry.ended)


def _without_ids(audit: AuditRecord) -> AuditRecord:
    """Return a record that names no sample."""

    def plain(results: list[AttackResult]) -> list[AttackResult]:
        update: dict[str, Any] = {"member_scores": {}, "non_member_scores": {}, "exposed": []}
        return [result.model_copy(update=update) for result in results]

    changes: dict[str, Any] = {
        name: plain(getattr(audit, name)) for name in ("results", "img2img", "weights")
    }
    if audit.validity is not None:
        changes["validity"] = audit.validity.model_copy(update={"near_duplicates": []})
    return audit.model_copy(update=changes)


def _entry(audit: AuditRecord) -> Entry:
    ran = audit.provenance
    if ran is None:  # as of `completed`
        raise AssertionError
    settings = {name: value for name, value in audit.settings.items() if name not in GATES}
    comparable = fingerprint_values(
        settings=settings,
        samples={name: one.digest for name, one in ran.samples.items()},
        encoder=str(ran.models.get("image_encoder", {}).get("identity")),
    )
    return Entry(
        name=audit.name,
        ended=ran.ended.isoformat(),
        commit=ran.commit,
        target=str(ran.models.get("target_model", {}).get("identity")),
        comparable=comparable,
        verdict=audit.verdict,
        budget=audit.results[0].budget,
        results={
            result.name: Past(
                result.auc,
                result.interval.low,
                result.interval.high,
                result.interval.confidence,
                result.verdict,
            )
            for result in audit.results
        },
    )
