"""Services that targets ask over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.parts.services import Service


@pytest.fixture
def service(drawing: None) -> Iterator[Service]:
    from tests.parts.services import Service

    with Service().running() as running:
        yield running


@pytest.fixture
def quick() -> Iterator[Service]:
    """Return a service that takes no time to draw."""
    from privaudit.testing import ObliviousTarget
    from tests.parts.services import Service

    def draw(prompt: str, seed: int) -> Any:
        [image] = ObliviousTarget((16, 16)).generate([""], [hash((prompt, seed)) % 2**32])
        return image

    with Service(draw).running() as running:
        yield running
