"""Services under audit: ``Endpoint``, and the dialects in which they are asked."""

from __future__ import annotations

from privaudit.targets.dialects import (
    Automatic1111,
    ComfyUI,
    Dialect,
    JSONTemplate,
    OpenAIImages,
    RefusedError,
)
from privaudit.targets.endpoint import Endpoint

__all__ = [
    "Automatic1111",
    "ComfyUI",
    "Dialect",
    "Endpoint",
    "JSONTemplate",
    "OpenAIImages",
    "RefusedError",
]
