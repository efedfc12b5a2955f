"""Stable Diffusion 3 and 3.5: a transformer that predicts a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.base import JOINT_ATTENTION, Conditions, Family
from privaudit.diffusion.objective import FlowMatching, Schedule

if TYPE_CHECKING:
    import torch

    from privaudit.diffusion.objective import Objective

__all__ = ["StableDiffusion3"]


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

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the transformer, see :class:`Family`."""
        return {
            "hidden_states": noisy,
            "timestep": timesteps,
            "encoder_hidden_states": told["states"],
            "pooled_projections": told["pooled"],
        }
