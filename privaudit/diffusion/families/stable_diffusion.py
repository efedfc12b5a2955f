"""Stable Diffusion 1.x, 2.x and XL: a U-Net that predicts the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.families.base import ATTENTION, Conditions, Family, Size
from privaudit.diffusion.objective import NoisePrediction
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.diffusion.objective import Objective
    from privaudit.samples import Sample

__all__ = ["StableDiffusion", "StableDiffusionXL"]


class StableDiffusion(Family):
    """Stable Diffusion 1.x and 2.x (Rombach et al. 2022), and what else has its parts.

    ``text_encoder`` may be set to a copy that is trained.
    """

    name = "Stable Diffusion"
    part = "unet"
    lora_targets = (*ATTENTION, "conv1", "conv2", "proj_in", "proj_out")
    """Attention projections and the convolutions of the residual blocks."""
    trains_text = True

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.text_encoder = pipeline.text_encoder
        if not hasattr(pipeline.vae, "quant_conv"):
            msg = (
                f"{type(pipeline).__name__} has a {type(pipeline.vae).__name__}, which gives no "
                "distribution of latents: load the autoencoder that the model was trained with"
            )
            raise FineTuneError(msg)

    def make_objective(self) -> Objective:
        """Return the noise or the velocity, as the scheduler's config says."""
        return NoisePrediction(self.pipeline.scheduler)

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions, padded or cut to the tokenizer's length."""
        tokenizer = self.pipeline.tokenizer
        ids = tokenizer(
            captions,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return {"states": self.text_encoder(ids.to(self.denoiser.device))[0]}

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the U-Net, see :class:`Family`."""
        return {
            "sample": noisy,
            "timestep": timesteps,
            "encoder_hidden_states": told["states"],
        }


class StableDiffusionXL(Family):
    """Stable Diffusion XL (Podell et al. 2023): two text encoders, and the size as a condition."""

    name = "Stable Diffusion XL"
    part = "unet"
    frozen = ("vae", "text_encoder", "text_encoder_2")
    lora_targets = StableDiffusion.lora_targets

    def make_objective(self) -> Objective:
        """Return the noise or the velocity, as the scheduler's config says."""
        return NoisePrediction(self.pipeline.scheduler)

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions with both encoders."""
        states, _, pooled, _ = self.pipeline.encode_prompt(
            captions, device=self.denoiser.device, do_classifier_free_guidance=False
        )
        return {"states": states, "pooled": pooled}

    def pictures(self, samples: Sequence[Sample], size: Size) -> Conditions:
        """Tell the size that a picture had, that nothing was cut off, and the size it has now.

        Section 2.2 of Podell et al.
        """
        rows = [[s.image.height, s.image.width, 0, 0, *size] for s in samples]
        return {"sizes": torch.tensor(rows, dtype=torch.float32, device=self.denoiser.device)}

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the U-Net, see :class:`Family`."""
        return {
            "sample": noisy,
            "timestep": timesteps,
            "encoder_hidden_states": told["states"],
            "added_cond_kwargs": {"text_embeds": told["pooled"], "time_ids": told["sizes"]},
        }
