"""Writes the JSON Schemas of records into the package: ``python -m privaudit.record.schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.record.baseline import Baseline
from privaudit.record.session import SessionRecord

if TYPE_CHECKING:
    from privaudit.record.values import Value

FILES: dict[str, type[Value]] = {"schema.json": SessionRecord, "baseline.json": Baseline}

if __name__ == "__main__":
    for name, kind in FILES.items():
        schema = json.dumps(kind.model_json_schema(), indent=2)
        Path(__file__).with_name(name).write_text(schema + "\n", encoding="utf-8")
