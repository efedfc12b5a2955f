"""How well a model removes noise from a sample: what an attacker with its weights sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from privaudit.fingerprint import fingerprint_values
from privaudit.measurements.white_box import WhiteBoxMeasurement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.diffusion.families import Size
    from privaudit.measurements.white_box import View

__all__ = ["TIMESTEPS", "ConditionalDiscrepancy", "DenoisingLoss"]

TIMESTEPS = 10
"""Timesteps that the loss is averaged over, evenly spaced in the middle of each tenth."""


class DenoisingLoss(WhiteBoxMeasurement):
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
        As of :class:`privaudit.measurements.white_box.WhiteBoxMeasurement`.
    """

    name = "denoising loss"
    draws = True

    def __init__(self, timesteps: int = TIMESTEPS, resolution: int | Size | None = None) -> None:
        super().__init__(resolution)
        self._timesteps = timesteps
        self.identity = fingerprint_values(denoising=timesteps, resolution=resolution, version=2)

    def values(self, view: View) -> torch.Tensor:
        """Measure the loss at each timestep, see the class."""
        errors = [view.errors(noise, level) for noise, level in _drawn(view, self._timesteps)]
        return -torch.stack(errors, dim=1)

    def describe(self) -> dict[str, object]:
        """Return what is measured, and at how many timesteps."""
        return {"name": self.name, "timesteps": self._timesteps}


class ConditionalDiscrepancy(WhiteBoxMeasurement):
    """How much its own caption helps the model to remove noise from a sample: CLiD.

    Zhai et al. 2024 ("Membership inference on text-to-image diffusion models via conditional
    likelihood discrepancy"): the denoising loss under the empty prompt, less that under the
    caption, on the same noise. A fine-tune learns which picture belongs to which caption faster
    than what pictures look like, so the difference is large for members. The authors' score also
    averages over shortened captions and adds the loss itself; this is the difference alone.
    """

    name = "conditional discrepancy (CLiD)"
    draws = True

    def values(self, view: View) -> torch.Tensor:
        """Measure the difference at each timestep, see the class."""
        untold = view.untold()
        gained = [
            view.errors(noise, level, untold) - view.errors(noise, level)
            for noise, level in _drawn(view, TIMESTEPS)
        ]
        return torch.stack(gained, dim=1)


def _drawn(view: View, timesteps: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield noise and level of each timestep: in the middle of as many equal parts."""
    noise = view.noise(timesteps)
    for i in range(timesteps):
        yield noise[:, i], int(view.family.objective.levels * (i + 0.5) / timesteps)
