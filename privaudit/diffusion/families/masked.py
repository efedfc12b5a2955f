"""PixArt and Sana: a transformer that is told which tokens of a long text count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.base import Conditions, Family
from privaudit.diffusion.objective import FlowMatching, NoisePrediction, Schedule
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    import torch

    from privaudit.diffusion.objective import Objective

__all__ = ["PixArt", "Sana"]


class _Masked(Family):
    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions, with a mask of the tokens that count."""
        states, mask, *_ = self.pipeline.encode_prompt(
            captions, do_classifier_free_guidance=False, device=self.denoiser.device
        )
        return {"states": states, "mask": mask}


class PixArt(_Masked):
    """PixArt-α and PixArt-Σ (Chen et al. 2023, 2024); its variance is left as it was."""

    name = "PixArt"

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        if self.denoiser.use_additional_conditions:
            msg = (
                f"the transformer of {type(pipeline).__name__} wants resolution and aspect ratio "
                "(use_additional_conditions), which finetune does not give: train it with its own "
                "script and pass the result as shadow_model"
            )
            raise FineTuneError(msg)

    def make_objective(self) -> Objective:
        """Return the noise, as the scheduler's config says."""
        return NoisePrediction(self.pipeline.scheduler)

    @property
    def patch(self) -> int:
        """Latents along one side of a token."""
        return int(self.denoiser.config.patch_size)

    def predict(
        self,
        denoiser: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
    ) -> torch.Tensor:
        """Ask the transformer; half of what it answers is the variance, see :class:`Family`."""
        predicted: torch.Tensor = denoiser(
            noisy,
            encoder_hidden_states=conditions["states"],
            encoder_attention_mask=conditions["mask"],
            timestep=timesteps,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample
        return predicted[:, : noisy.shape[1]]


class Sana(_Masked):
    """Sana (Xie et al. 2024): its autoencoder gives one latent an image, not a distribution."""

    name = "Sana"

    def make_objective(self) -> Objective:
        """Return the flow."""
        return FlowMatching(self.pipeline.scheduler, Schedule())

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents and no deviation, see :class:`Family`."""
        latents = self.pipeline.vae.encode(images).latent * self.pipeline.vae.config.scaling_factor
        return latents, latents.new_zeros(latents.shape)

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
            encoder_hidden_states=conditions["states"],
            encoder_attention_mask=conditions["mask"],
            timestep=timesteps * self.denoiser.config.get("timestep_scale", 1.0),
        ).sample
        return predicted
