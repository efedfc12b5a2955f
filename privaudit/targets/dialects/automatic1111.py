"""Automatic1111's web UI, Forge, and what else answers ``/sdapi/v1/txt2img``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.targets.dialects.base import answer_of, content_of, only

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.targets.dialects.base import Asking
    from privaudit.targets.http import Caller

__all__ = ["Automatic1111"]

BRACKETS = re.compile(r"([()\[\]\\])")
"""What the web UI reads as weights, and how it escapes them."""


@dataclass(frozen=True)
class Automatic1111:
    """``POST /sdapi/v1/txt2img``, one picture a request.

    Brackets of a caption would change the weight of what they enclose: they are escaped, so that
    the model reads the caption that it was trained with.

    Parameters
    ----------
    checkpoint
        The model to use, as the web UI calls it; ``None`` for the one that is loaded.
    before, after
        Put around each prompt, not escaped: ``after="<lora:mine:1>"`` puts an adapter in.
    steps, guidance, sampler, scheduler
        Sent as ``steps``, ``cfg_scale``, ``sampler_name`` and ``scheduler``; ``None`` for the
        server's own.
    extra
        Further fields, such as ``{"negative_prompt": "…"}``.
    """

    checkpoint: str | None = None
    before: str = ""
    after: str = ""
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    sends_seed = True

    def draw(self, caller: Caller, prompt: str, seed: int, asking: Asking) -> bytes:
        """Ask for one picture, see :class:`privaudit.targets.dialects.Dialect`."""
        settings = None if self.checkpoint is None else {"sd_model_checkpoint": self.checkpoint}
        width, height = asking.size or (None, None)
        wanted = {
            "width": width,
            "height": height,
            "steps": self.steps,
            "cfg_scale": self.guidance,
            "sampler_name": self.sampler,
            "scheduler": self.scheduler,
            "override_settings": settings,
        }
        sent = {name: value for name, value in wanted.items() if value is not None}
        words = self.before + BRACKETS.sub(r"\\\1", prompt) + self.after
        body = {**sent, **self.extra, "prompt": words, "seed": seed, "batch_size": 1, "n_iter": 1}
        heard = caller.send("POST", "sdapi/v1/txt2img", body=body, draws=True)
        answer = answer_of(caller, heard, asking.refusals)
        images = answer.get("images") if isinstance(answer, dict) else None
        return content_of(caller, heard, only(heard, images))

    def describe(self) -> dict[str, Any]:
        """Return its fields."""
        return {"dialect": "Automatic1111", **asdict(self)}
