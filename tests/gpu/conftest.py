"""A marker and a skip for all tests of this folder, and models that run on the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here, and skip it where there is no GPU."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(
                    pytest.mark.skip(reason="no GPU: torch.cuda.is_available() is False")
                )


@pytest.fixture
def overfit() -> Any:
    """Load the over-fitted emoji model of ``audits/`` onto the card."""
    import emoji_sets
    from privaudit import load_pipeline

    unet = emoji_sets.MODELS / "overfit" / "unet"
    pipeline: Any = load_pipeline(emoji_sets.MODELS / "base", unet=unet, device="cuda")
    return pipeline
