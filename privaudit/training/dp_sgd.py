"""DP-SGD (Abadi et al. 2016) for :mod:`privaudit.training.fine_tuning`, by Opacus."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from privaudit.diffusion.dp_statement import DpStatement, code_versions
from privaudit.errors import MissingExtraError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DifferentialPrivacy", "PrivateOptimizer"]

ACCOUNTANT = "prv"
"""Opacus' name of the accountant of Gopi et al. (2021)."""
STRIDE = 1_000_003
"""From the noise seed of one step to that of the next, so that seeds of two runs do not meet."""


@dataclass(frozen=True)
class DifferentialPrivacy:
    """Privacy target of a DP-SGD fine-tune.

    Parameters
    ----------
    epsilon, delta
        The (ε, δ) that the finished model must satisfy, for adding or removing one sample.
        The noise multiplier is solved for it by Opacus' accountant before training starts.
    max_grad_norm
        L2 norm to which each sample's gradient is clipped (C in Abadi et al. 2016).
    max_physical_batch_size
        Samples whose gradients are held in memory at once; a lower value costs time, not
        privacy. ``None`` holds the whole batch.
    noise_seed
        Seed of the privacy noise. ``None`` draws it from the operating system, and nothing else
        is safe for a model you release: whoever knows the seed can subtract the noise.
    """

    epsilon: float
    delta: float
    max_grad_norm: float = 1.0
    max_physical_batch_size: int | None = None
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse targets that promise nothing.

        Raises
        ------
        SettingError
            If ε or the clipping norm is not positive and finite, or δ is outside (0, 1).
        """
        for name in ("epsilon", "max_grad_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                msg = f"{name}={value!r} is not a positive number: give DP-SGD a finite one"
                raise SettingError(msg)
        if not 0 < self.delta < 1:
            msg = f"delta={self.delta!r} is outside (0, 1): use less than 1 / number of samples"
            raise SettingError(msg)


@functools.lru_cache(maxsize=64)  # a search over seconds of accounting: shadows share their numbers
def _noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    with np.errstate(divide="ignore"):  # a batch of everybody: the accountant takes log(0)
        found = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=sample_rate,
            steps=steps,
            accountant=ACCOUNTANT,
        )
    return float(found)


class PrivateOptimizer:
    """One optimiser made private: Poisson batches, clipped gradients, noise, accounting.

    Parameters
    ----------
    module
        The network to train, already on its device. Adapters are added after the move and
        before this, the order in which Opacus is known to train LoRA correctly.
    optimizer
        An ordinary optimiser over the trainable parameters of ``module``.
    privacy
        The target, which decides the noise multiplier.
    n_samples, batch_size, steps
        Size of the training set, expected batch size, and number of steps to account for.

    Attributes
    ----------
    model
        ``module`` with hooks that compute per-sample gradients; call it in its place.
    noise_multiplier
        Standard deviation of the noise over ``max_grad_norm``.

    Raises
    ------
    MissingExtraError
        If ``opacus`` is not installed.
    """

    def __init__(
        self,
        module: Any,
        optimizer: torch.optim.Optimizer,
        privacy: DifferentialPrivacy,
        n_samples: int,
        batch_size: int,
        steps: int,
    ) -> None:
        try:
            from opacus import PrivacyEngine
        except ImportError as error:
            raise MissingExtraError("DP-SGD", "opacus", "finetune") from error
        self._privacy = privacy
        # Which samples a batch holds must stay as secret as the noise: the amplification by
        # sampling that the accountant counts on is lost on whoever can replay the draws.
        sampling = torch.Generator()
        noise = torch.Generator(device=module.device)
        self._generators = (sampling, noise)
        self._seed(0)
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.arange(n_samples)),
            batch_size=min(batch_size, n_samples),
            generator=sampling,
        )
        self.noise_multiplier = _noise_multiplier(
            privacy.epsilon, privacy.delta, 1 / len(loader), steps
        )
        self._engine = PrivacyEngine(accountant=ACCOUNTANT)
        self.model, self._optimizer, self._loader = self._engine.make_private(
            module=module,
            optimizer=optimizer,
            data_loader=loader,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            noise_generator=noise,
        )

    def _seed(self, done: int) -> None:
        """Seed batches and noise for the steps after so many: noise of one seed twice is none."""
        for generator in self._generators:
            if self._privacy.noise_seed is None:
                generator.seed()
            else:
                generator.manual_seed(self._privacy.noise_seed + STRIDE * done)

    def history(self) -> list[tuple[float, float, int]]:
        """Return what the accountant has counted: noise multiplier, sample rate and steps."""
        return list(self._engine.accountant.history)

    def resume(self, history: list[tuple[float, float, int]]) -> None:
        """Go on after steps that another process took and counted."""
        self._engine.accountant.history = list(history)
        self._seed(sum(steps for _, _, steps in history))

    def batches(self) -> Iterator[torch.Tensor]:
        """Endless Poisson samples of indices; a batch may be empty."""
        while True:
            for (indices,) in self._loader:
                yield indices.long()

    def step(self, loss_of: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> float:
        """Take one private step on a batch of indices.

        Parameters
        ----------
        loss_of
            Mean loss over given indices.
        batch
            Indices of the samples, possibly none: then the step is pure noise, as the privacy
            analysis demands.

        Returns
        -------
        float
            The batch's mean loss, NaN for an empty batch.
        """
        if len(batch) == 0:
            for parameter in self._optimizer.params:
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
            self._optimizer.step()
            self._optimizer.zero_grad()
            return math.nan
        total = 0.0
        parts = torch.split(batch, self._privacy.max_physical_batch_size or len(batch))
        for index, part in enumerate(parts):
            loss = loss_of(part)
            loss.backward()  # type: ignore[no-untyped-call]
            self._fill_in(len(part))
            # All parts but the last only add their clipped gradients; the noise comes once.
            self._optimizer.signal_skip_step(do_skip=index + 1 < len(parts))
            self._optimizer.step()
            self._optimizer.zero_grad()
            total += loss.item() * len(part)
        return total / len(batch)

    def _fill_in(self, n: int) -> None:
        """Give no gradient to what no sample's loss depends on.

        Of the last block of a transformer that reads texts and pictures side by side, what is said
        of the text goes nowhere. Opacus takes a missing gradient for a mistake in its hooks, and
        must go on to where there is a gradient that no hook saw.
        """
        for parameter in self._optimizer.params:
            seen = parameter.grad is not None and bool(parameter.grad.any())
            if not seen and getattr(parameter, "grad_sample", None) is None:
                parameter.grad_sample = parameter.new_zeros((n, *parameter.shape))

    def spent(self) -> float:
        """ε spent so far at the target's δ, by the PRV accountant."""
        with np.errstate(divide="ignore"):
            return float(self._engine.get_epsilon(self._privacy.delta))

    def statement(self, steps: int) -> DpStatement:
        """Say all that was done in so many steps."""
        return DpStatement(
            epsilon=self.spent(),
            delta=self._privacy.delta,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self._privacy.max_grad_norm,
            sample_rate=1 / len(self._loader),
            steps=steps,
            accountant=ACCOUNTANT,
            secret_noise=self._privacy.noise_seed is None,
            code=code_versions(),
        )

    def detach(self) -> None:
        """Take Opacus' hooks and per-sample gradients off the network."""
        self.model.cleanup()
