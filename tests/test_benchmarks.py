"""The benchmarks and the scripts of audits/ take from privaudit what there is."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import AUDITS, ROOT

SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *AUDITS.glob("*.py")])


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of all that a script imports of privaudit, in functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "privaudit":
            yield from ((str(node.module), name.name) for name in node.names)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_a_script_imports_nothing_that_is_gone(file: Path) -> None:
    """Nobody runs a benchmark for weeks, and then it does not even start."""
    gone = []
    for module, name in imports(file):
        there = importlib.import_module(module)
        if not hasattr(there, name):
            try:
                importlib.import_module(f"{module}.{name}")
            except ModuleNotFoundError:
                gone.append(f"{module}.{name}")
    assert not gone
