"""PixArt: a transformer that predicts the noise, and its variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.masked import MaskedText
from privaudit.diffusion.objective import NoisePrediction
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    import torch

    from privaudit.diffusion.families.base import Conditions
    from privaudit.diffusion.objective import Objective

__all__ = ["PixArt"]


class PixArt(MaskedText):
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

    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Call the transformer, see :class:`Family`."""
        return {
            "hidden_states": noisy,
            "encoder_hidden_states": told["states"],
            "encoder_attention_mask": told["mask"],
            "timestep": timesteps,
            "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        }

    def prediction(self, answer: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """Leave out the second half, the variance."""
        return answer[:, : noisy.shape[1]]
