"""Qwen-Image: a transformer that predicts a flow, on the latents of a video model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.families.packed import Packed

if TYPE_CHECKING:
    from privaudit.diffusion.families.base import Conditions

__all__ = ["QwenImage"]


class QwenImage(Packed):
    """Qwen-Image (Wu et al. 2025): the autoencoder of a video model, seen one frame at a time."""

    name = "Qwen-Image"

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.pipeline.vae.config.z_dim)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents of one frame, each channel standardised, see :class:`Family`."""
        config = self.pipeline.vae.config
        posterior = self.pipeline.vae.encode(images[:, :, None]).latent_dist
        mean, std = posterior.mean[:, :, 0], posterior.std[:, :, 0]
        shift, scale = (
            mean.new_tensor(values).reshape(1, -1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        return (mean - shift) / scale, std / scale

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions, padded to the longest, with a mask of the tokens that count."""
        states, mask = self.pipeline.encode_prompt(captions, device=self.denoiser.device)
        if mask is None:  # of texts of one length
            mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        return {"states": states, "mask": mask}

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the transformer, see :class:`Family`."""
        n, _, height, width = noisy.shape
        return {
            "hidden_states": self.pack(noisy),
            "timestep": timesteps / 1000,
            "encoder_hidden_states": told["states"],
            "encoder_hidden_states_mask": told["mask"],
            "img_shapes": [[(1, height // 2, width // 2)]] * n,
        }
