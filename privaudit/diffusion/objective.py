"""What a denoiser is trained to predict, and the error of its prediction.

Two objectives are in use: the noise (or the velocity) that a discrete noising process added, and
the velocity of a flow from noise to data. Both are a mean squared error at a random noise level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = ["FlowMatching", "NoisePrediction", "Objective", "denoising_loss"]


class Objective(Protocol):
    """A noising process and the loss that goes with it.

    Attributes
    ----------
    levels
        Number of noise levels; a level is a whole number below it.
    """

    levels: int

    def draw(
        self, latents: torch.Tensor, draws: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw noise, shaped like the latents, and a level a sample, as training does."""
        ...

    def noisy(
        self, latents: torch.Tensor, noise: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noisy latents, and the timestep of each that the denoiser is told."""
        ...

    def level(self, share: float) -> int:
        """Return the level that is a share of the way from data, 0, to noise, 1."""
        ...

    def implied(
        self, predicted: torch.Tensor, noisy: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the latents and the noise that a prediction says noisy latents are made of."""
        ...

    def errors(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        levels: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean squared error of each sample's prediction, shape (n,)."""
        ...


class NoisePrediction:
    """Predict the added noise, or the velocity: equation 14 of Ho et al. 2020, or
    section 4 of Salimans and Ho 2022.

    Parameters
    ----------
    scheduler
        A pipeline's scheduler, whose noising process is meant.

    Raises
    ------
    FineTuneError
        If it has none, or its model predicts neither.
    """  # noqa: D205

    def __init__(self, scheduler: Any) -> None:
        from diffusers import DDPMScheduler

        if not hasattr(scheduler, "alphas_cumprod"):
            msg = (
                f"a {type(scheduler).__name__} adds no noise step by step, as this model's "
                "training does: put back the scheduler that the model was published with"
            )
            raise FineTuneError(msg)
        self._scheduler = DDPMScheduler.from_config(scheduler.config)
        self._kind = self._scheduler.config.prediction_type
        if self._kind not in ("epsilon", "v_prediction"):
            msg = (
                f"prediction_type {self._kind!r} is not supported: only 'epsilon' and "
                "'v_prediction' are"
            )
            raise FineTuneError(msg)
        self.levels: int = self._scheduler.config.num_train_timesteps

    def draw(
        self, latents: torch.Tensor, draws: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw every level equally often, see :class:`Objective`."""
        noise = torch.randn(latents.shape, generator=draws)
        levels = torch.randint(self.levels, (len(latents),), generator=draws)
        return noise.to(latents.device), levels.to(latents.device)

    def noisy(
        self, latents: torch.Tensor, noise: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add noise, see :class:`Objective`; a level is the timestep itself."""
        return self._scheduler.add_noise(latents, noise, levels), levels

    def level(self, share: float) -> int:
        """Count up: levels grow with the noise, see :class:`Objective`."""
        return min(int(share * self.levels), self.levels - 1)

    def implied(
        self, predicted: torch.Tensor, noisy: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Solve for both, see :class:`Objective`."""
        kept = self._scheduler.alphas_cumprod.to(noisy.device, noisy.dtype)[levels]
        kept = kept.reshape(-1, *[1] * (noisy.ndim - 1))
        data, rest = kept.sqrt(), (1 - kept).sqrt()
        if self._kind == "v_prediction":
            return data * noisy - rest * predicted, data * predicted + rest * noisy
        return (noisy - rest * predicted) / data, predicted

    def errors(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        levels: torch.Tensor,
    ) -> torch.Tensor:
        """Compare with noise or velocity, see :class:`Objective`."""
        wanted = noise
        if self._kind == "v_prediction":
            wanted = self._scheduler.get_velocity(latents, noise, levels)
        return _squared(predicted.float() - wanted)


@dataclass(frozen=True)
class Schedule:
    """How often a flow's training draws each noise level, and how it weighs the error.

    The names are those of ``--weighting_scheme`` and ``--precondition_outputs`` of diffusers'
    training scripts, and so is what each family has by default.

    Parameters
    ----------
    density
        ``"none"`` draws evenly; ``"logit_normal"`` draws the middle more often (Esser et al. 2024,
        section 3.1).
    preconditioned
        Compare clean latents instead of velocities (Karras et al. 2022, section 5), which weighs
        an error by the square of its noise level.
    """

    density: str = "none"
    preconditioned: bool = False


class FlowMatching:
    """Predict the velocity from data to noise, ``noise - latents`` (Lipman et al. 2023; Esser et
    al. 2024, equation 13).

    Parameters
    ----------
    scheduler
        A pipeline's scheduler; levels are those that its config gives
        ``FlowMatchEulerDiscreteScheduler``, the first the noisiest.
    schedule
        Which of them training draws, and how it weighs them.
    """  # noqa: D205

    def __init__(self, scheduler: Any, schedule: Schedule) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        own = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config)
        self._timesteps, self._sigmas = own.timesteps, own.sigmas
        self._schedule = schedule
        self.levels: int = own.config.num_train_timesteps

    def draw(
        self, latents: torch.Tensor, draws: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw levels by the schedule's density, see :class:`Objective`."""
        from diffusers.training_utils import compute_density_for_timestep_sampling

        noise = torch.randn(latents.shape, generator=draws)
        where = compute_density_for_timestep_sampling(
            self._schedule.density, len(latents), logit_mean=0.0, logit_std=1.0, generator=draws
        )
        levels = (where * self.levels).long()
        return noise.to(latents.device), levels.to(latents.device)

    def noisy(
        self, latents: torch.Tensor, noise: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix latents and noise in a straight line, see :class:`Objective`."""
        sigmas = self._sigma(levels, latents)
        mixed = (1 - sigmas) * latents + sigmas * noise
        return mixed, self._timesteps.to(latents.device)[levels]

    def level(self, share: float) -> int:
        """Count from the other end: the first is the noisiest, see :class:`Objective`."""
        return max(self.levels - 1 - int(share * self.levels), 0)

    def implied(
        self, predicted: torch.Tensor, noisy: torch.Tensor, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Follow the straight line both ways, see :class:`Objective`."""
        sigmas = self._sigma(levels, noisy)
        return noisy - sigmas * predicted, noisy + (1 - sigmas) * predicted

    def errors(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        levels: torch.Tensor,
    ) -> torch.Tensor:
        """Compare with the velocity, or what follows from it, see :class:`Objective`."""
        off = predicted.float() - (noise - latents)
        if self._schedule.preconditioned:
            off = off * self._sigma(levels, latents)
        return _squared(off)

    def _sigma(self, levels: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        sigmas: torch.Tensor = self._sigmas.to(latents.device, latents.dtype)[levels]
        return sigmas.reshape(-1, *[1] * (latents.ndim - 1))


def _squared(off: torch.Tensor) -> torch.Tensor:
    return off.square().flatten(1).mean(1)


def denoising_loss(
    pipeline: Any,
    samples: Sequence[Sample],
    *,
    repeats: int = 8,
    batch_size: int = 64,
    seed: int = 0,
    resolution: int | tuple[int, int] | None = None,
) -> float:
    """Mean squared error of the model's prediction on given samples, lower is better.

    The same noise and levels are drawn for every model asked with one seed, so the losses of
    two fine-tunes of one base can be compared sample by sample.

    Parameters
    ----------
    pipeline
        The pipeline to measure.
    samples
        Images with captions.
    repeats
        Noise draws a sample.
    batch_size
        Samples a forward pass.
    seed
        Seed of noise and levels.
    resolution
        Pixels to which images are resized, see :func:`privaudit.finetune`.

    Returns
    -------
    float
        The mean over samples and repeats.

    Raises
    ------
    FineTuneError
        If the pipeline is of no family that is known here.
    """
    from privaudit.diffusion.families import family_of

    family = family_of(pipeline)
    draws = torch.Generator().manual_seed(seed)
    size = family.size(resolution)
    mean, _ = family.latents(samples, size)
    device = family.denoiser.device
    total = 0.0
    with torch.inference_mode():
        for _ in range(repeats):
            for start in range(0, len(samples), batch_size):
                part = slice(start, start + batch_size)
                conditions = family.conditions(samples[part], size)
                latents = mean[part].to(device)
                noise, levels = family.objective.draw(latents, draws)
                errors = family.errors(family.denoiser, latents, conditions, noise, levels)
                total += float(errors.sum())
    return total / (repeats * len(samples))
