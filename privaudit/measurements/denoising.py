"""How well a model removes noise from a sample: what an attacker with its weights sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from privaudit.diffusion.families import family_of
from privaudit.errors import FineTuneError, ScoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.measurements.features import Features, aggregate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.diffusion.families import Family, Size
    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = ["TIMESTEPS", "DenoisingLoss"]

TIMESTEPS = 10
"""Timesteps that the loss is averaged over, evenly spaced in the middle of each tenth."""


class DenoisingLoss:
    """Negative denoising loss of each sample under its prompt, at fixed timesteps.

    The loss-threshold attack of Carlini et al. (2023, "Extracting training data from diffusion
    models", section 5.1; the objective is equation 14 of Ho et al. 2020): a model that has seen a
    sample predicts the noise that was added to it better. It takes the weights, so an audit's
    black-box results are compared with it, never mixed with it: it is the ceiling that
    ``benchmarks/strength.py`` measures them against.

    A row holds the negative mean squared error at each timestep; the noise comes from the query's
    seed, so the m queries of a sample are m draws of noise, the same ones for every model.

    Parameters
    ----------
    timesteps
        How many timesteps, evenly spaced over those that the model was trained with.
    resolution
        Pixels to which pictures are resized: of a side, or (height, width); ``None`` is what the
        pipeline draws by itself.
    """

    name = "denoising loss"
    access: Access = "white-box"
    persistent = True

    def __init__(self, timesteps: int = TIMESTEPS, resolution: int | Size | None = None) -> None:
        self._timesteps, self._resolution = timesteps, resolution
        self.identity = fingerprint_values(denoising=timesteps, resolution=resolution, version=2)

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Measure the loss of each query's sample, see :class:`Measurement`.

        Raises
        ------
        ScoreError
            If the target shows no pipeline, or one of no family that is known here.
        SettingError
            If the autoencoder cannot make latents of the resolution.
        """
        family = _family_of(target)
        objective, size = family.objective, family.size(self._resolution)
        device, dtype = family.denoiser.device, family.denoiser.dtype
        asked = list(queries.values())
        latents, _ = family.latents([query.sample for query in asked], size)
        noises = [
            torch.randn(
                (self._timesteps, *latents.shape[1:]),
                generator=torch.Generator().manual_seed(query.seed),
            )
            for query in asked
        ]
        noise = torch.stack(noises).to(device, dtype)
        latents = latents.to(device, dtype)
        errors = []
        with torch.inference_mode():
            conditions = family.conditions(
                [query.sample.recaptioned(query.prompt) for query in asked], size
            )
            for i in range(self._timesteps):
                level = int(objective.levels * (i + 0.5) / self._timesteps)
                at = torch.full((len(asked),), level, device=device)
                found = family.errors(family.denoiser, latents, conditions, noise[:, i], at)
                errors.append(found.cpu())
        return list(-torch.stack(errors, dim=1).numpy().astype(np.float32))

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Average over the draws of noise; the one similarity is the mean over timesteps.

        The vectors have shape (n, timesteps). A loss is an expectation, so it is averaged over
        its draws whatever the audit's aggregation.
        """
        vectors = aggregate(rows, "mean", axis=1)
        return Features(vectors=vectors, similarity=vectors.mean(axis=1))

    def describe(self) -> dict[str, object]:
        """Return what is measured, and at how many timesteps."""
        return {"name": self.name, "timesteps": self._timesteps}


def _family_of(target: Any) -> Family:
    pipeline = getattr(target, "pipeline", None)
    if pipeline is None:
        msg = (
            f"{type(target).__name__} shows no pipeline, and the denoising loss takes the weights: "
            "give a diffusers pipeline, or measure answers alone"
        )
        raise ScoreError(msg)
    try:
        return family_of(pipeline)
    except FineTuneError as error:
        msg = f"no denoising loss ({error}): measure answers alone"
        raise ScoreError(msg) from error
