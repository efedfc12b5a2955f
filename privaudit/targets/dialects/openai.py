"""OpenAI's images API, and the servers that speak it: vllm-omni, LocalAI, gateways."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.targets.dialects.base import get_single, load_content, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.targets.dialects.base import Options
    from privaudit.targets.http import Caller

__all__ = ["OpenAIImages"]


@dataclass(frozen=True)
class OpenAIImages:
    """``POST images/generations``, answered in base64 or by an address.

    Parameters
    ----------
    model
        Its name there; ``None`` for a server of one model.
    seed
        Whether the server takes a seed, as vllm-omni does and OpenAI does not.
    steps, guidance
        Sent as ``num_inference_steps`` and ``guidance_scale``, as vllm-omni takes them.
    response_format
        ``"b64_json"``, ``"url"``, or ``None`` for a model that is not to be asked, such as
        gpt-image.
    extra
        Further fields, such as ``{"true_cfg_scale": 4.0}`` or ``{"quality": "high"}``.
    """

    model: str | None = None
    seed: bool = False
    steps: int | None = None
    guidance: float | None = None
    response_format: str | None = "b64_json"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sends_seed(self) -> bool:
        """Whether a seed is sent."""
        return self.seed

    def draw(self, caller: Caller, prompt: str, seed: int, options: Options) -> bytes:
        """Ask for one picture, see :class:`privaudit.targets.dialects.Dialect`."""
        fields = {
            "model": self.model,
            "size": None if options.size is None else "x".join(map(str, options.size)),
            "response_format": self.response_format,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "seed": seed if self.seed else None,
        }
        body_fields = {name: value for name, value in fields.items() if value is not None}
        body = {**body_fields, **self.extra, "prompt": prompt, "n": 1}
        reply = caller.send("POST", "images/generations", body=body, draws=True)
        answer = read_answer(caller, reply, options.refusals)
        one = get_single(caller, reply, answer.get("data") if isinstance(answer, dict) else None)
        picture = one.get("b64_json") or one.get("url") if isinstance(one, dict) else one
        return load_content(caller, reply, picture)

    def describe(self) -> dict[str, Any]:
        """Return its fields."""
        return {"dialect": "OpenAI images", **asdict(self)}
