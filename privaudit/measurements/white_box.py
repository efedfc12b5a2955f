"""What an attacker with the weights measures of a sample: five attacks, from one view of a model.

Each reads how a denoiser treats a sample's own latents under its caption. None asks for an image.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from privaudit.diffusion.families import family_of
from privaudit.errors import FineTuneError, ScoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.measurements.features import Features, aggregate
from privaudit.targets.capabilities import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.diffusion.families import Conditions, Family, Size
    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = ["ProximalInitialization", "ScoreNorm", "StepwiseError", "View", "WhiteBoxMeasurement"]

SHARES = (0.1, 0.2, 0.3, 0.4)
"""Noise levels at which predictions are compared, as shares of the way from data to noise."""
STEPS = 10
"""Steps of SecMI from the data to its level."""
NORM = 4


@dataclass(frozen=True)
class View:
    """A model, seen with the latents of some samples.

    Attributes
    ----------
    family
        What is asked.
    latents
        Scaled latents, on the denoiser's device, shape (n, …).
    told
        What the denoiser is told of each sample: its prompt, and what else its family tells.
    untold
        The same under the empty prompt, by a call.
    seeds
        One of each sample.
    """

    family: Family
    latents: torch.Tensor
    told: Conditions
    untold: Callable[[], Conditions]
    seeds: Sequence[int]

    def levels(self, level: int) -> torch.Tensor:
        """Return one level for all samples, shape (n,)."""
        return torch.full((len(self.latents),), level, device=self.latents.device)

    def noise(self, timesteps: int) -> torch.Tensor:
        """Draw noise by the samples' seeds, shape (n, timesteps, …)."""
        drawn = [
            torch.randn(
                (timesteps, *self.latents.shape[1:]), generator=torch.Generator().manual_seed(seed)
            )
            for seed in self.seeds
        ]
        return torch.stack(drawn).to(self.latents.device, self.latents.dtype)

    def errors(
        self, noise: torch.Tensor, level: int, conditions: Conditions | None = None
    ) -> torch.Tensor:
        """Return the error of each prediction of that noise, as told or otherwise, shape (n,)."""
        family, told = self.family, self.told if conditions is None else conditions
        return family.errors(family.denoiser, self.latents, told, noise, self.levels(level))

    def implied(self, noisy: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents and noise that the model says noisy latents are made of."""
        family, levels = self.family, self.levels(level)
        timesteps = family.objective.noisy(noisy, noisy, levels)[1]
        predicted = family.predicted(family.denoiser, noisy, timesteps, self.told)
        return family.objective.implied(predicted.float(), noisy.float(), levels)

    def mixed(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """Add noise to latents."""
        dtype = self.latents.dtype
        return self.family.objective.noisy(latents.to(dtype), noise.to(dtype), self.levels(level))[
            0
        ]

    def moved(self, noisy: torch.Tensor, level: int, to: int) -> torch.Tensor:
        """Take one deterministic step from one level to another (DDIM, Song et al. 2021)."""
        return self.mixed(*self.implied(noisy, level), to)


class WhiteBoxMeasurement(ABC):
    """Measures a sample on a model's own weights; higher is more like a member.

    Parameters
    ----------
    resolution
        Pixels to which pictures are resized: of a side, or (height, width); ``None`` is what the
        pipeline draws by itself.
    """

    name: str
    draws = False
    """Whether a value depends on a draw of noise: then a sample is measured m times."""
    access: Access = "white-box"
    persistent = True

    def __init__(self, resolution: int | Size | None = None) -> None:
        self._resolution = resolution
        self.identity = fingerprint_values(
            white_box=type(self).__name__, resolution=resolution, version=1
        )

    @abstractmethod
    def values(self, view: View) -> torch.Tensor:
        """Measure each sample of a view, shape (n, d)."""

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Measure each query's sample, see :class:`Measurement`.

        Raises
        ------
        ScoreError
            If the target shows no pipeline, or one of no family that is known here.
        SettingError
            If the autoencoder cannot make latents of the resolution.
        """
        family = _family_of(target, self.name)
        size = family.size(self._resolution)
        asked = [query.sample.recaptioned(query.prompt) for query in queries.values()]
        latents, _ = family.latents(asked, size)
        with torch.inference_mode():
            view = View(
                family,
                latents.to(family.denoiser.device, family.denoiser.dtype),
                family.conditions(asked, size),
                lambda: family.conditions([sample.recaptioned("") for sample in asked], size),
                [query.seed for query in queries.values()],
            )
            values = self.values(view)
        return list(values.float().cpu().numpy().astype(np.float32))

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Average over the m draws of noise; the one similarity is the mean of the values.

        The vectors have shape (n, d). What depends on a draw is an expectation, so it is averaged
        whatever the audit's aggregation.
        """
        vectors = aggregate(rows, "mean", axis=1)
        return Features(vectors=vectors, similarity=vectors.mean(axis=1))

    def describe(self) -> dict[str, object]:
        """Return what is measured."""
        return {"name": self.name}


class ProximalInitialization(WhiteBoxMeasurement):
    """How consistently the model sees noise in a sample: PIA.

    Kong et al. 2024 ("An efficient membership inference attack for the diffusion model by proximal
    initialization"): the model's own prediction on the clean sample is the noise that is added to
    it, and the fourth-power norm of what a second prediction changes is small for members. Here at
    four noise levels, averaged; the published code has an interval of 200 of 1,000 timesteps.
    """

    name = "proximal initialization (PIA)"

    def values(self, view: View) -> torch.Tensor:
        """Measure the change of the predicted noise at each level, see the class."""
        objective = view.family.objective
        _, first = view.implied(view.latents, objective.level(0.0))
        changes = []
        for share in SHARES:
            level = objective.level(share)
            _, second = view.implied(view.mixed(view.latents, first, level), level)
            changes.append(_norm(second - first))
        return -torch.stack(changes, dim=1)


class StepwiseError(WhiteBoxMeasurement):
    """How well the model's own way to a little noise can be walked back: SecMI.

    Duan et al. 2023 ("Are diffusion models vulnerable to membership inference attacks?"),
    the statistic: from the sample, ten deterministic steps to a tenth of the noise; then one
    step on and one back. The squared distance between where this ends and where it began is
    small for members.
    """

    name = "stepwise error (SecMI)"

    def values(self, view: View) -> torch.Tensor:
        """Walk there, on and back, see the class."""
        objective, share = view.family.objective, SHARES[0]
        ladder = [objective.level(share * i / STEPS) for i in range(STEPS + 2)]
        at = view.latents
        for level, to in itertools.pairwise(ladder[:-1]):
            at = view.moved(at, level, to)
        there, on = ladder[-2:]
        back = view.moved(view.moved(at, there, on), on, there)
        return -(back - at).float().square().flatten(1).mean(1, keepdim=True)


class ScoreNorm(WhiteBoxMeasurement):
    """How much noise the model sees in a sample that has none: SimA.

    Rao, Qu & Moyer 2025 ("Score-based membership inference on diffusion models"): the norm of the
    predicted noise is small near training samples. Here at four noise levels, averaged; the
    authors report the best of many.
    """

    name = "norm of the score (SimA)"

    def values(self, view: View) -> torch.Tensor:
        """Measure the norm of the predicted noise at each level, see the class."""
        objective = view.family.objective
        found = [view.implied(view.latents, objective.level(share))[1] for share in SHARES]
        return -torch.stack([_norm(noise) for noise in found], dim=1)


def _norm(noise: torch.Tensor) -> torch.Tensor:
    """Return the fourth-power mean of each row, which does not grow with the resolution."""
    return noise.float().abs().pow(NORM).flatten(1).mean(1).pow(1 / NORM)


def _family_of(target: Any, name: str) -> Family:
    load = capabilities_of(target).pipeline
    if load is None:
        msg = (
            f"{type(target).__name__} shows no pipeline, and the {name} takes the weights: "
            "give a diffusers pipeline, or measure answers alone"
        )
        raise ScoreError(msg)
    try:
        return family_of(load())
    except FineTuneError as error:
        msg = f"no {name} ({error}): measure answers alone"
        raise ScoreError(msg) from error
