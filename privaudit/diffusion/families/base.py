"""What one family of models is: its parts, its latents, its text, how its denoiser is called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from privaudit.errors import FineTuneError, SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.diffusion.objective import Objective
    from privaudit.samples import Sample

__all__ = ["Conditions", "Family", "Size"]

Conditions = dict[str, torch.Tensor]
"""What the denoiser is told beside noisy latents and timestep: a row a sample, by name."""
Size = tuple[int, int]
"""Height and width of an image in pixels."""
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Attention projections by diffusers' names."""
JOINT_ATTENTION = (*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""Those of transformers in which text and image attend to each other; the text's are ``add``."""


class Family(ABC):
    """A pipeline, seen as what is trained of it.

    Parameters
    ----------
    pipeline
        A pipeline of this family.

    Raises
    ------
    FineTuneError
        If a part is missing, or is of another kind than can be trained: training would end in an
        error of a library, or in a model that cannot draw.
    """

    name: ClassVar[str]
    part: ClassVar[str] = "transformer"
    """Name of the part that is trained."""
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    """Networks that training uses as they are."""
    lora_targets: ClassVar[tuple[str, ...]] = ATTENTION
    trains_text: ClassVar[bool] = False
    """Whether the text encoder can be trained too."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        kind = type(pipeline).__name__
        for name in self.frozen:
            network = getattr(pipeline, name, None)
            if network is None:
                msg = (
                    f"{kind} has no {name}, and finetune encodes images and captions itself: load "
                    "the whole pipeline"
                )
                raise FineTuneError(msg)
        self.objective = self.make_objective()

    @property
    def denoiser(self) -> Any:
        """The network that is trained."""
        return getattr(self.pipeline, self.part)

    @abstractmethod
    def make_objective(self) -> Objective:
        """Say what the denoiser is trained to predict."""

    @abstractmethod
    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions, a row each, on the denoiser's device."""

    @abstractmethod
    def arguments(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, told: Conditions
    ) -> dict[str, Any]:
        """Return what a denoiser of this family is called with, by name."""

    def prediction(self, answer: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """Return what a denoiser predicts, shaped like the latents, from what it answers."""
        return answer

    def pictures(self, samples: Sequence[Sample], size: Size) -> Conditions:
        """Tell what else the denoiser is told of pictures, a row each; most are told nothing."""
        return {}

    def conditions(self, samples: Sequence[Sample], size: Size) -> Conditions:
        """Return all that the denoiser is told of samples of a size."""
        return self.texts([s.caption for s in samples]) | self.pictures(samples, size)

    def errors(
        self,
        denoiser: Any,
        latents: torch.Tensor,
        conditions: Conditions,
        noise: torch.Tensor,
        levels: torch.Tensor,
    ) -> torch.Tensor:
        """Squared error of each sample's prediction, shape (n,).

        Parameters
        ----------
        denoiser
            The network, or what stands in its place: an adapter around it, Opacus' wrapper.
        latents, noise
            Scaled latents and as much standard normal noise, shape (n, channels, height, width).
        conditions
            What :meth:`conditions` returned for the same samples.
        levels
            Noise level of each, shape (n,), whole numbers below ``objective.levels``.
        """
        noisy, timesteps = self.objective.noisy(latents, noise, levels)
        predicted = self.predicted(denoiser, noisy, timesteps, conditions)
        return self.objective.errors(predicted, latents, noise, levels)

    def predicted(
        self, denoiser: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """Return what a denoiser predicts of noisy latents, in their shape.

        Parameters
        ----------
        denoiser, conditions
            As of :meth:`errors`.
        noisy, timesteps
            What the objective makes of latents, noise and levels.
        """
        given = self.arguments(noisy, timesteps, conditions)
        if not torch.is_autocast_enabled(noisy.device.type):
            given = _cast(given, next(denoiser.parameters()).dtype)
        return self.prediction(denoiser(**given).sample, noisy)

    def size(self, resolution: int | Size | None = None) -> Size:
        """Return height and width that images are resized to: what is asked, or the model's own.

        Raises
        ------
        SettingError
            If the autoencoder cannot make latents of such a size.
        """
        factor = self.pipeline.vae_scale_factor
        if resolution is None:
            own = self.denoiser.config.get("sample_size")
            if own is None:
                own = self.pipeline.default_sample_size
            return (own * factor,) * 2 if isinstance(own, int) else tuple(n * factor for n in own)
        size = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
        step = factor * self.patch
        if len(size) != 2 or any(n < step or n % step for n in size):
            msg = (
                f"resolution={resolution!r} is not made of multiples of {step}, as "
                f"{type(self.pipeline).__name__} wants: give one number, or (height, width)"
            )
            raise SettingError(msg)
        return size

    @property
    def patch(self) -> int:
        """Latents along one side of what the denoiser takes as one token."""
        return 1

    def latents(self, samples: Sequence[Sample], size: Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each image's scaled latents, float32 on the CPU.

        Returns
        -------
        tuple of torch.Tensor
            Twice shape (n, channels, height, width).
        """
        vae = self.pipeline.vae
        means, stds = [], []
        with torch.inference_mode():
            for sample in samples:
                image = self.pipeline.image_processor.preprocess(sample.image, *size)
                mean, std = self.encode(image.to(vae.device, vae.dtype))
                means.append(mean.float().cpu())
                stds.append(std.float().cpu())
        # Cloned: tensors made under inference_mode cannot enter autograd.
        return torch.cat(means).clone(), torch.cat(stds).clone()

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the scaled latents of images in [-1, 1]."""
        config = self.pipeline.vae.config
        posterior = self.pipeline.vae.encode(images).latent_dist
        shift = config.get("shift_factor") or 0.0
        return (
            (posterior.mean - shift) * config.scaling_factor,
            posterior.std * config.scaling_factor,
        )


def _cast(given: Any, dtype: torch.dtype) -> Any:
    """Give a network its own dtype: text encoders may have another one."""
    if isinstance(given, torch.Tensor):
        return given.to(dtype) if given.is_floating_point() else given
    if isinstance(given, dict):
        return {name: _cast(value, dtype) for name, value in given.items()}
    return given
