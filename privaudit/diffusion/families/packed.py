"""Squares of latents as tokens: what Flux and Qwen-Image have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.base import JOINT_ATTENTION, Family
from privaudit.diffusion.objective import FlowMatching, Schedule
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    import torch

    from privaudit.diffusion.objective import Objective

__all__ = ["Packed"]


class Packed(Family):
    """A family whose transformer's token is a square of two by two latents."""

    lora_targets = JOINT_ATTENTION

    def make_objective(self) -> Objective:
        """Return the flow."""
        return FlowMatching(self.pipeline.scheduler, Schedule())

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        config = self.denoiser.config
        channels = self.channels * self.patch**2
        if config.in_channels != channels:
            msg = (
                f"the transformer of {type(pipeline).__name__} takes {config.in_channels} channels "
                f"where the latents have {channels}: it is told of another picture too, which "
                "finetune has none of; train it with its own script and pass the result as "
                "shadow_model"
            )
            raise FineTuneError(msg)

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.pipeline.vae.config.latent_channels)

    @property
    def patch(self) -> int:
        """Latents along one side of a token."""
        return 2

    @staticmethod
    def pack(latents: torch.Tensor) -> torch.Tensor:
        """Make tokens of latents: (n, c, 2h, 2w) to (n, h * w, 4c)."""
        n, channels, height, width = latents.shape
        squares = latents.reshape(n, channels, height // 2, 2, width // 2, 2)
        return squares.permute(0, 2, 4, 1, 3, 5).reshape(n, height * width // 4, channels * 4)

    def prediction(self, answer: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """Make latents of tokens, the other way round."""
        n, channels, height, width = noisy.shape
        squares = answer.reshape(n, height // 2, width // 2, channels, 2, 2)
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(noisy.shape)
