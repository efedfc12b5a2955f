"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from privaudit import statistics

MODULES = sorted(module.name for module in pkgutil.iter_modules(statistics.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = importlib.import_module(f"privaudit.statistics.{name}")
    assert doctest.testmod(module).failed == 0
