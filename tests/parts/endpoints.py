"""Endpoints around the services of these tests, as code, as objects and in an audit file."""

from __future__ import annotations

from typing import Any

import httpcore  # noqa: F401  # pytester's runs forget what they import, and httpx would import it then

import privaudit
from privaudit import Sample
from privaudit.targets.endpoint import Endpoint
from privaudit.targets.queries import Query
from privaudit.testing import ObliviousTarget
from tests.parts.services import DIALECTS, Service

ONE = ("--privaudit-attacks=threshold", "--privaudit-scenarios=I", "--privaudit-budget=1")
EXTRA = 2
"""Pictures beyond the samples': one query asked twice, and its seed with another prompt."""


def code(service: Service, dialect: str = "openai", **more: Any) -> str:
    url = service.url + ("/v1" if dialect.startswith("openai") else "")
    given = {"version": "1", "size": (16, 16), "at_once": 2, "backoff": 0.01, **more}
    words = "".join(f", {name}={value!r}" for name, value in given.items())
    return f"privaudit.Endpoint({url!r}, {DIALECTS[dialect]}{words})"


def endpoint(service: Service, dialect: str = "openai", **more: Any) -> Endpoint:
    return eval(code(service, dialect, **more), {"privaudit": privaudit})


def fixture(made: str) -> str:
    return f"@pytest.fixture(scope='session')\ndef target_model():\n    return {made}\n"


def queries(n: int = 3) -> list[Query]:
    [image] = ObliviousTarget((16, 16)).generate([""], [0])
    captions = [f"picture {i}, (seen) [from] \\above, “ü”" for i in range(n)]
    return [Query(Sample(image, c, id=c), c, 0, (i + 1) << 40) for i, c in enumerate(captions)]
