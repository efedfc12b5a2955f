"""Sana: a transformer that predicts a flow of very small latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.masked import MaskedText
from privaudit.diffusion.objective import FlowMatching, Schedule

if TYPE_CHECKING:
    import torch

    from privaudit.diffusion.families.base import Conditions
    from privaudit.diffusion.objective import Objective

__all__ = ["Sana"]


class Sana(MaskedText):
    """Sana (Xie et al. 2024): its autoencoder gives one latent an image, not a distribution."""

    name = "Sana"

    def make_objective(self) -> Objective:
        """Return the flow."""
        return FlowMatching(self.pipeline.scheduler, Schedule())

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents and no deviation, see :class:`Family`."""
        latents = self.pipeline.vae.encode(images).latent * self.pipeline.vae.config.scaling_factor
        return latents, latents.new_zeros(latents.shape)

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the transformer, see :class:`Family`."""
        return {
            "hidden_states": noisy,
            "encoder_hidden_states": told["states"],
            "encoder_attention_mask": told["mask"],
            "timestep": timesteps * self.denoiser.config.get("timestep_scale", 1.0),
        }
