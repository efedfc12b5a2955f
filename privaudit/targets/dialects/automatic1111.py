"""Automatic1111's web UI, Forge, and what else answers ``/sdapi/v1/txt2img`` and ``img2img``."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.targets.dialects.base import get_single, load_content, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

    from privaudit.targets.dialects.base import Options
    from privaudit.targets.http import Caller

__all__ = ["Automatic1111"]

BRACKETS = re.compile(r"([()\[\]\\])")
"""What the web UI reads as weights, and how it escapes them."""


@dataclass(frozen=True)
class Automatic1111:
    """``POST /sdapi/v1/txt2img``, one picture a request; ``img2img`` where one is handed in.

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

    def draw(self, caller: Caller, prompt: str, seed: int, options: Options) -> bytes:
        """Ask for one picture, see :class:`privaudit.targets.dialects.Dialect`."""
        return self._request(
            "txt2img", caller, prompt, seed, options, options.size or (None, None), {}
        )

    def vary(
        self,
        caller: Caller,
        image: Image.Image,
        prompt: str,
        seed: int,
        strength: float,
        options: Options,
    ) -> bytes:
        """Ask for another picture of one, of its size where no other is wanted.

        As ``init_images`` and ``denoising_strength``; raises as :meth:`draw` does.
        """
        file = io.BytesIO()
        image.save(file, "PNG")
        picture = {
            "init_images": [base64.b64encode(file.getvalue()).decode()],
            "denoising_strength": strength,
        }
        return self._request(
            "img2img", caller, prompt, seed, options, options.size or image.size, picture
        )

    def _request(
        self,
        path: str,
        caller: Caller,
        prompt: str,
        seed: int,
        options: Options,
        size: tuple[int | None, int | None],
        picture: Mapping[str, Any],
    ) -> bytes:
        settings = None if self.checkpoint is None else {"sd_model_checkpoint": self.checkpoint}
        width, height = size
        fields = {
            "width": width,
            "height": height,
            "steps": self.steps,
            "cfg_scale": self.guidance,
            "sampler_name": self.sampler,
            "scheduler": self.scheduler,
            "override_settings": settings,
        }
        options_sent = {name: value for name, value in fields.items() if value is not None}
        words = self.before + BRACKETS.sub(r"\\\1", prompt) + self.after
        one = {"prompt": words, "seed": seed, "batch_size": 1, "n_iter": 1}
        body = {**options_sent, **self.extra, **picture, **one}
        reply = caller.send("POST", f"sdapi/v1/{path}", body=body, draws=True)
        answer = read_answer(caller, reply, options.refusals)
        images = answer.get("images") if isinstance(answer, dict) else None
        return load_content(caller, reply, get_single(caller, reply, images))

    def describe(self) -> dict[str, Any]:
        """Return its fields."""
        return {"dialect": "Automatic1111", **asdict(self)}
