"""JSON files that sessions wrote, read again and checked against the package's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

import privaudit
from privaudit.record import SessionRecord

if TYPE_CHECKING:
    from tests.parts.audit_folder import AuditFolder

SCHEMA = Path(privaudit.__file__).parent / "record" / "schema.json"


def read_session(path: Path) -> SessionRecord:
    """Read a session's JSON file: it must fit the schema, and be read as it was written."""
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), json.loads(SCHEMA.read_text(encoding="utf-8")))
    record = SessionRecord.from_json(text)
    assert json.loads(record.to_json()) == json.loads(text)
    return record


def results(folder: AuditFolder, name: str = "out.json") -> dict[str, dict[str, Any]]:
    """Return the results of a session, by their names, as the JSON has them."""
    session = read_session(folder.path / name)
    return {result.name: result.to_dict() for audit in session.audits for result in audit.results}


def findings(path: Path) -> list[dict[str, Any]]:
    """Return all that a session's audits found: what does not depend on when and where it ran.

    That is everything but the times of the provenance, and how many images were new.
    """
    audits = []
    for audit in read_session(path).audits:
        found = audit.to_dict()
        provenance = found["provenance"] or {}
        for name in ("started", "ended"):
            provenance.pop(name, None)
        provenance.get("images", {}).pop("generated", None)
        audits.append(found)
    return audits


def generated(folder: AuditFolder, name: str = "out.json") -> int:
    """Count the images that a session generated, by its JSON record."""
    audits = json.loads((folder.path / name).read_text())["audits"]
    return sum(audit["provenance"]["images"]["generated"] for audit in audits)
