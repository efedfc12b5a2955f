"""How services that draw are asked, and how they answer: a file for each."""

from __future__ import annotations

from privaudit.targets.dialects.automatic1111 import Automatic1111
from privaudit.targets.dialects.base import Dialect, RefusedError
from privaudit.targets.dialects.comfyui import ComfyUI
from privaudit.targets.dialects.openai import OpenAIImages
from privaudit.targets.dialects.template import JSONTemplate

__all__ = ["Automatic1111", "ComfyUI", "Dialect", "JSONTemplate", "OpenAIImages", "RefusedError"]
