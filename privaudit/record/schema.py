"""Writes the JSON Schema of records into the package: ``python -m privaudit.record.schema``."""

from __future__ import annotations

import json
from pathlib import Path

from privaudit.record.session import SessionRecord

if __name__ == "__main__":
    schema = json.dumps(SessionRecord.model_json_schema(), indent=2)
    Path(__file__).with_name("schema.json").write_text(schema + "\n", encoding="utf-8")
