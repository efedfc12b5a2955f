"""Flux: a transformer that predicts a flow, distilled from a guided one or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.families.packed import Packed

if TYPE_CHECKING:
    from privaudit.diffusion.families.base import Conditions

__all__ = ["Flux"]


GUIDANCE = 3.5
"""The guidance that Flux's distilled transformer is told while it is trained."""


class Flux(Packed):
    """FLUX.1 (Black Forest Labs 2024), guidance-distilled or not."""

    name = "Flux"
    frozen = ("vae", "text_encoder", "text_encoder_2")

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions with both encoders."""
        states, pooled, _ = self.pipeline.encode_prompt(captions, None, device=self.denoiser.device)
        return {"states": states, "pooled": pooled}

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the transformer, see :class:`Family`."""
        n, _, height, width = noisy.shape
        rows, columns = torch.meshgrid(
            torch.arange(height // 2), torch.arange(width // 2), indexing="ij"
        )
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
        states = told["states"]
        distilled = self.denoiser.config.guidance_embeds
        return {
            "hidden_states": self.pack(noisy),
            "timestep": timesteps / 1000,
            "guidance": noisy.new_full((n,), GUIDANCE) if distilled else None,
            "pooled_projections": told["pooled"],
            "encoder_hidden_states": states,
            "txt_ids": states.new_zeros(states.shape[1], 3),
            "img_ids": places.to(noisy.device, noisy.dtype),
        }
