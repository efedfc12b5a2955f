"""SD 3, Flux and Qwen-Image: a transformer in which text and image attend to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.families.base import JOINT_ATTENTION, Conditions, Family
from privaudit.diffusion.objective import FlowMatching, Schedule
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from privaudit.diffusion.objective import Objective

__all__ = ["Flux", "QwenImage", "StableDiffusion3"]

GUIDANCE = 3.5
"""The guidance that Flux's distilled transformer is told while it is trained."""


class StableDiffusion3(Family):
    """Stable Diffusion 3 and 3.5 (Esser et al. 2024); its T5 may be left out, as in diffusers."""

    name = "Stable Diffusion 3"
    frozen = ("vae", "text_encoder", "text_encoder_2")
    lora_targets = JOINT_ATTENTION

    def make_objective(self) -> Objective:
        """Return the flow, the middle of it more often."""
        return FlowMatching(self.pipeline.scheduler, Schedule("logit_normal", preconditioned=True))

    @property
    def patch(self) -> int:
        """Latents along one side of a token."""
        return int(self.denoiser.config.patch_size)

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions with all encoders."""
        states, _, pooled, _ = self.pipeline.encode_prompt(
            captions,
            None,
            None,
            device=self.denoiser.device,
            do_classifier_free_guidance=False,
        )
        return {"states": states, "pooled": pooled}

    def predict(
        self,
        denoiser: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
    ) -> torch.Tensor:
        """Ask the transformer, see :class:`Family`."""
        predicted: torch.Tensor = denoiser(
            hidden_states=noisy,
            timestep=timesteps,
            encoder_hidden_states=conditions["states"],
            pooled_projections=conditions["pooled"],
        ).sample
        return predicted


class _Packed(Family):
    """A transformer whose token is a square of two by two latents."""

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

    @staticmethod
    def unpack(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Make latents of tokens, the other way round."""
        n, channels, height, width = like.shape
        squares = tokens.reshape(n, height // 2, width // 2, channels, 2, 2)
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(like.shape)


class Flux(_Packed):
    """FLUX.1 (Black Forest Labs 2024), guidance-distilled or not."""

    name = "Flux"
    frozen = ("vae", "text_encoder", "text_encoder_2")
    lora_targets = JOINT_ATTENTION

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions with both encoders."""
        states, pooled, _ = self.pipeline.encode_prompt(captions, None, device=self.denoiser.device)
        return {"states": states, "pooled": pooled}

    def predict(
        self,
        denoiser: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
    ) -> torch.Tensor:
        """Ask the transformer, see :class:`Family`."""
        n, _, height, width = noisy.shape
        rows, columns = torch.meshgrid(
            torch.arange(height // 2), torch.arange(width // 2), indexing="ij"
        )
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
        states = conditions["states"]
        distilled = self.denoiser.config.guidance_embeds
        tokens = denoiser(
            hidden_states=self.pack(noisy),
            timestep=timesteps / 1000,
            guidance=noisy.new_full((n,), GUIDANCE) if distilled else None,
            pooled_projections=conditions["pooled"],
            encoder_hidden_states=states,
            txt_ids=states.new_zeros(states.shape[1], 3),
            img_ids=places.to(noisy.device, noisy.dtype),
        ).sample
        return self.unpack(tokens, noisy)


class QwenImage(_Packed):
    """Qwen-Image (Wu et al. 2025): the autoencoder of a video model, seen one frame at a time."""

    name = "Qwen-Image"
    lora_targets = JOINT_ATTENTION

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

    def predict(
        self,
        denoiser: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
    ) -> torch.Tensor:
        """Ask the transformer, see :class:`Family`."""
        n, _, height, width = noisy.shape
        tokens = denoiser(
            hidden_states=self.pack(noisy),
            timestep=timesteps / 1000,
            encoder_hidden_states=conditions["states"],
            encoder_hidden_states_mask=conditions["mask"],
            img_shapes=[[(1, height // 2, width // 2)]] * n,
        ).sample
        return self.unpack(tokens, noisy)
