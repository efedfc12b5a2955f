"""The registry: one list, light, asked by everyone, and closed to names it does not have."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import privaudit
from privaudit.attacks import make_attack, registry
from privaudit.errors import SettingError

PACKAGE = Path(privaudit.__file__).parent
NAMES = registry.names()


def names_spelled(source: str) -> list[str]:
    """Strings that are an inference model's name, or hold one quoted or in a list.

    Keys and subscripts are not names of inference models: a record's ``"threshold"`` is a number.
    An example in a docstring is a user's code, and runs.
    """
    tree = ast.parse(source)
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    keys |= {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    one = "|".join(NAMES)
    pattern = re.compile(rf"^(?:{one})$|([\"'])(?:{one})\1|\b(?:{one})[,|](?:{one})\b")
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in keys
        if pattern.search(re.sub(r"(?m)^\s*(?:>>>|\.\.\.) .*$", "", node.value))
    ]


def test_no_other_module_spells_a_name() -> None:
    spelled = {
        str(file.relative_to(PACKAGE)): found
        for file in PACKAGE.rglob("*.py")
        if file != Path(registry.__file__) and (found := names_spelled(file.read_text("utf-8")))
    }
    assert not spelled


@pytest.mark.parametrize(
    "line",
    [
        'ATTACKS = ("threshold", "distribution")',
        'if name == "classifier": ...',
        r'ITEM = r"\battack-(?:I|II)-(?:threshold|distribution|classifier)\b"',
        'help = "such as threshold,classifier"',
        '"""One of ``"threshold"``, or another."""',
    ],
)
def test_the_search_finds_what_was_there_before(line: str) -> None:
    assert names_spelled(line)


def test_the_search_leaves_words_and_keys_alone() -> None:
    assert not names_spelled('{"threshold": found["threshold"]}; x = "the threshold of a class"')


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_its_model_and_has_its_place(name: str) -> None:
    entry = registry.registered(name)
    made = make_attack(name, 3)
    assert f"{type(made).__module__}:{type(made).__name__}" == entry.home


def test_no_name_goes_on_from_another() -> None:
    """``attack-I-a-b`` would be the result of ``a`` for a user's parameter ``b``."""
    assert not [(a, b) for a in NAMES for b in NAMES if b.startswith(f"{a}-")]


def test_the_defaults_are_some_of_the_names_in_their_order() -> None:
    defaults = registry.default_names()
    assert defaults
    assert list(defaults) == [name for name in NAMES if name in defaults]
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", ["", "Threshold", "clasifier"])
def test_an_unknown_name_is_an_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(SettingError, match=re.escape(f"{name!r} is unknown: choose from")):
        make_attack(name, 0)


def test_names_are_known_without_a_heavy_import() -> None:
    code = (
        "import sys; from privaudit.attacks import registry; registry.names();"
        "print(sorted({'numpy', 'sklearn', 'scipy', 'torch', 'dataclasses'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_classes_come_from_the_package_and_unknown_ones_do_not() -> None:
    import privaudit.attacks

    for name in privaudit.attacks.__all__:
        assert getattr(privaudit.attacks, name)
    with pytest.raises(AttributeError, match="NoSuchAttack"):
        privaudit.attacks.NoSuchAttack  # noqa: B018
