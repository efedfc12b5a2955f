"""A record bound to the files of its model: a Test Result statement of in-toto."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import RecordError
from privaudit.report.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.record import AuditRecord, SessionRecord

__all__ = ["hash_file", "render_attestation"]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
CHUNK = 2**20


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def render_attestation(session: SessionRecord, record: Path, model: Path, *, vouch: bool) -> str:
    """Return the statement, as JSON; signing it is for continuous integration.

    Parameters
    ----------
    session
        The record.
    record
        Its file.
    model
        The model's file or folder: each file in it is a subject.
    vouch
        Whether the caller vouches that it is the model that was audited, where the record has
        another path, or none.

    Raises
    ------
    RecordError
        If there is no such model, or the record is of another one.
    """
    files = sorted(_files(model))
    if not files:
        msg = f"{model} has no file: name the file or folder of the model that was audited"
        raise RecordError(msg)
    audits = session.audits if vouch else _of_model(session, model)
    base = model if model.is_dir() else model.parent
    passed: list[str] = []
    warned: list[str] = []
    failed: list[str] = []
    for audit in audits:
        one = summarise(audit)
        if one.verdict != "pass" or not audit.complete:
            failed.append(one.name)
        else:
            (passed if one.heading == "PASS" else warned).append(one.name)
    result = "FAILED" if failed or not audits or not session.complete else "PASSED"
    if result == "PASSED" and warned:
        result = "WARNED"
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": file.relative_to(base).as_posix(), "digest": {"sha256": hash_file(file)}}
            for file in files
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": [{"name": record.name, "digest": {"sha256": hash_file(record)}}],
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
        },
    }
    return json.dumps(statement, indent=2) + "\n"


def _files(model: Path) -> Iterator[Path]:
    """Yield the regular files of a model; what is hidden is no part of it."""
    if model.is_file():
        yield model
        return
    for path in model.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(model).parts)
        if path.is_file() and not hidden:
            yield path


def _of_model(session: SessionRecord, model: Path) -> list[AuditRecord]:
    """Return the audits whose target was loaded from these files; a base alone does not count."""
    here = model.resolve()
    audits, other = [], []
    for audit in session.audits:
        target = audit.provenance.models.get("target_model", {}) if audit.provenance else {}
        named = target.get("files")
        named = named if isinstance(named, dict) else {}
        own = {role: where for role, where in named.items() if role != "base"} or named
        paths = [Path(str(where)).resolve() for where in own.values()]
        if any(here == path or here in path.parents or path in here.parents for path in paths):
            audits.append(audit)
        other += paths
    if not audits:
        what = ", ".join(map(str, other)) or "models without files"
        msg = (
            f"the record is of {what}, not of {model}\n"
            "name the model that was audited; with --vouch you say that it is the same one"
        )
        raise RecordError(msg)
    return audits
