"""Real, small ingredients: emoji, a tiny vision transformer, a tiny diffusion pipeline."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

# Two workers with two threads each would fight over two cores, and the tests' models are so small
# that threads which wait for each other take a hundred times as long. For all that tests start,
# too, so before PyTorch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
# What pytest rewrites of privaudit is compiled once, and not by each of a hundred processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The tests' own, so that none of them makes a key for whoever runs them.
os.environ["PRIVAUDIT_STORE_KEY"] = "the key of privaudit's own tests"

import pytest
import torch
from hypothesis import settings

from privaudit.attacks import registry
from tests.parts import AUDITS
from tests.parts.audit_folder import AuditFolder

torch.set_num_threads(1)
sys.path.insert(0, str(AUDITS))  # the emoji sets, and the scripts that the slow tests run

# pytester's in-process runs forget what they import: NumPy cannot be imported twice, and the rest
# took half of a short run.
OURS = (
    *("audit.audit", "audit.run", "captioners.transformers"),
    *("encoders", "history", "runs", "targets.pipeline"),
    *("plugin.gate", "plugin.planning", "plugin.progress", "plugin.runner", "plugin.shadow"),
    *("report.history", "report.junit", "report.terminal"),
)
for heavy in (
    *(f"privaudit.{module}" for module in OURS),
    *(attack.home.partition(":")[0] for attack in registry.REGISTRY),
    *("emoji_sets", "skimage.metrics", "tabulate", "tests.parts.encoders"),
):
    importlib.import_module(heavy)

# A build must not turn red by the luck of a draw: the same examples in every run, and new ones
# under `--hypothesis-profile=explore`.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("reproducible")


LONGEST = ("test_default_audit.py", "test_fixtures.py", "test_ray.py", "test_resume.py")
"""Files of four minutes and more in the slow suite, two of which have a single test: they come first,
so that no worker is alone with one at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)  # stable: else as they were


@pytest.fixture(scope="session")
def emoji() -> dict[str, list[Any]]:
    """Real samples by role, 32×32."""
    import emoji_sets

    return {role: emoji_sets.twemoji(role) for role in emoji_sets.ROLES}


@pytest.fixture(scope="session")
def drawing() -> None:
    """Draw once, before pytester forgets what that imports: it cannot be imported twice."""
    from tests.parts.pipelines import tiny_pipeline

    tiny_pipeline()("a cat", num_inference_steps=1)


@pytest.fixture(params=["plain", pytest.param("xdist", marks=pytest.mark.slow)])
def audit_folder(
    request: pytest.FixtureRequest, pytester: pytest.Pytester, wide: None
) -> AuditFolder:
    """Return a folder for the tests of what workers send: with none of them, and with two."""
    return AuditFolder(pytester, ["-n2"] if request.param == "xdist" else [])


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a terminal in which no line of ours is wrapped."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def plain_folder(pytester: pytest.Pytester, wide: None) -> AuditFolder:
    """Return a folder for all other tests: in one process."""
    return AuditFolder(pytester, [])
