"""Imports point one way: from a room to those below it; wings stand beside the house."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import privaudit

ROOMS = [
    ("__main__",),
    ("commands",),
    ("endpoints", "plugin", "testing"),
    ("audit", "report"),
    ("history",),
    ("captioners", "engines", "measurements", "record", "runs", "settings"),
    ("attacks", "encoders", "statistics", "targets"),
    ("diffusion", "samples", "store"),
    ("batching", "device", "files", "fingerprint", "hub"),
    ("errors",),
]
WINGS = {
    # What needs the package's public names only, and the rooms whose inside it may know.
    "study": {"audit"},  # a study takes audits apart: the same models, other sets
    "training": {"diffusion"},  # a trainer copies, prepares and measures denoisers
}
MAY_IMPORT_WINGS = {"__main__", "commands"}
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
PACKAGE = Path(privaudit.__file__).parent


def import_nodes(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """Imports that a module makes when it runs, not only for its annotations."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    kinds = (ast.Import, ast.ImportFrom)
    return [n for n in ast.walk(tree) if isinstance(n, kinds) and id(n) not in for_types]


def modules(node: ast.Import | ast.ImportFrom) -> list[tuple[str, tuple[str, ...]]]:
    """Modules of privaudit that an import names, each with the names that it takes from it."""
    if isinstance(node, ast.Import):
        pairs = [(name.name, ()) for name in node.names]
    else:
        pairs = [(node.module or "", tuple(name.name for name in node.names))]
    return [(name, names) for name, names in pairs if name.split(".")[0] == "privaudit"]


def imports(file: Path) -> set[str]:
    """Rooms that a module imports."""
    rooms = set()
    for node in import_nodes(file):
        for name, names in modules(node):
            parts = name.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else set(names)
    return rooms


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_has_a_room_and_imports_point_down() -> None:
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        room = room_of(file)
        if room == "__init__" or room in WINGS:
            continue
        assert room in LEVEL, f"{room} has no place in ROOMS"
        wrong += [
            f"{room} imports {other}"
            for other in imports(file) & set(LEVEL)
            if other != room and LEVEL[other] <= LEVEL[room]
        ]
    assert not wrong


OWN_JSON = {"engines/pace", "plugin/gate", "store/__init__"}
"""Modules that parse JSON which privaudit itself wrote into a message or its keyed store."""
BOUNDED_JSON = {"diffusion/disclosure", "files", "store/locks", "targets/http"}
"""Modules that limit what they parse by themselves."""


def test_json_of_users_goes_through_the_bounded_reader() -> None:
    parse = {
        str(file.relative_to(PACKAGE).with_suffix(""))
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"json.load", "json.loads", "tomllib.load", "tomllib.loads"}
    }
    assert parse == OWN_JSON | BOUNDED_JSON


def test_nothing_but_the_commands_imports_a_wing() -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {wing}"
        for file in PACKAGE.rglob("*.py")
        for wing in imports(file) & set(WINGS)
        if room_of(file) not in {wing, "__init__"} | MAY_IMPORT_WINGS
    ]
    assert not wrong


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_public_names_only(wing: str) -> None:
    """A name that a room exports, as ``from privaudit.targets import load_pipeline``."""
    wrong = []
    for file in (PACKAGE / wing).rglob("*.py"):
        for node in import_nodes(file):
            for name, names in modules(node):
                own = name.split(".")[1:2]
                if own and own[0] in {wing} | WINGS[wing]:
                    continue
                public = importlib.import_module(name).__all__ if name.count(".") < 2 else ()
                wrong += [f"{file.name}: {name}.{n}" for n in names or ("*",) if n not in public]
    assert not wrong
