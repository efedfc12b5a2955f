"""The versioned JSON file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_json"]


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document whole or not at all; missing folders are made.

    Raises
    ------
    OSError
        If it cannot be written.
    ValueError
        If it holds NaN or infinity, which JSON has no word for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, allow_nan=False)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)
