"""Every private name of pytest that we use is there, and is what we take it for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import privaudit.plugin
from privaudit.plugin.pytest_internals import item_id

PLUGIN = Path(privaudit.plugin.__file__).parent


def test_no_other_file_imports_a_private_name_of_pytest() -> None:
    wrong = []
    for file in PLUGIN.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            if any(module.split(".")[0] == "_pytest" for module in modules):
                wrong.append(file.name)
    assert wrong == ["pytest_internals.py"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("a.py::test[attack-I-threshold]@gpu0", "a.py::test[attack-I-threshold]"),
        ("a.py::test[x]@y-attack-I-threshold]", "a.py::test[x]"),
        ("a.py::test[attack-I-threshold]", "a.py::test[attack-I-threshold]"),
        ("a.py::test", "a.py::test"),
    ],
)
def test_the_group_of_xdist_is_no_part_of_an_id(given: str, wanted: str) -> None:
    assert item_id(given) == wanted


def test_what_is_written_and_what_is_not(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def members():
            return []

        def pytest_collection_modifyitems(items):
            from privaudit.plugin.pytest_internals import fixture_is_absent, item_indices
            from privaudit.plugin.pytest_internals import item_parameters
            item = items[0]
            print("absent:", [
                name for name in ("members", "captioner", "no_such")
                if fixture_is_absent(item, name, "privaudit.plugin")
            ])
            print("parameters:", item_parameters(item), item_indices(item))
        """
    )
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('a', ['x', 'y'])\ndef test_it(a): pass"
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-s")
    assert "absent: ['captioner', 'no_such']" in result.stdout.str()
    assert "parameters: {'a': 'x'} {'a': 0}" in result.stdout.str()
