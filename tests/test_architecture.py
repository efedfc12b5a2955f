"""Imports point one way: from a room to those below it."""

from __future__ import annotations

import ast
from pathlib import Path

import privaudit

ROOMS = [
    ("__main__",),
    ("commands",),
    ("plugin", "study"),
    ("audit", "report"),
    ("captioners", "engines", "measurements", "record", "runs", "settings"),
    ("attacks", "encoders", "history", "statistics", "targets"),
    ("diffusion", "samples", "store"),
    ("batching", "device", "fingerprint", "lazy"),
    ("errors",),
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
PACKAGE = Path(privaudit.__file__).parent


def imports(file: Path) -> set[str]:
    """Rooms that a module imports when it runs, not only for its annotations."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types and node.module:
            parts = node.module.split(".")
            if parts[0] == "privaudit":
                found |= {parts[1]} if len(parts) > 1 else {name.name for name in node.names}
        elif isinstance(node, ast.Import) and id(node) not in for_types:
            named = [name.name.split(".") for name in node.names]
            found |= {parts[1] for parts in named if parts[0] == "privaudit" and len(parts) > 1}
    return found


def test_every_module_has_a_room_and_imports_point_down() -> None:
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in LEVEL, f"{room} has no place in ROOMS"
        wrong += [
            f"{room} imports {other}"
            for other in imports(file) & set(LEVEL)
            if other != room and LEVEL[other] <= LEVEL[room]
        ]
    assert not wrong
