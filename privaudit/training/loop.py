"""One fine-tune under way: its loss, its steps, and what became of the weights so far."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.fine_tuned import FineTuned, with_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.diffusion.families import Family, Size
    from privaudit.samples import Sample
    from privaudit.training.dp_sgd import PrivateOptimizer
    from privaudit.training.recipe import Recipe

__all__ = ["ShuffledBatches", "Training", "TrainingLoss"]

LARGEST_NORM = 1.0
"""To which the gradient of a step is clipped, as diffusers' training scripts do by default."""


class TrainingLoss:
    """Mean denoising error of the samples at some indices, with fresh draws at each call.

    Parameters
    ----------
    family
        The pipeline that is fine-tuned, as its family.
    samples, size
        All that it is fine-tuned on, and the pixels they are resized to.
    denoiser
        The copy that is trained.
    recipe
        Says how often a caption is dropped, and whether the text encoder is trained too.
    draws
        Where noise, levels and dropped captions come from.
    """

    def __init__(
        self,
        family: Family,
        samples: Sequence[Sample],
        size: Size,
        denoiser: Any,
        recipe: Recipe,
        draws: torch.Generator,
    ) -> None:
        self.model = denoiser
        """What predicts: DP-SGD puts its own in the place of the denoiser."""
        self._family, self._learns_text = family, recipe.train_text_encoder
        self._device = family.denoiser.device
        self._mean, self._std = family.latents(samples, size)
        self._captions = [sample.caption for sample in samples]
        self._pictures = family.pictures(samples, size)
        self._dropout, self._draws = recipe.caption_dropout, draws

    def __call__(self, part: torch.Tensor) -> torch.Tensor:
        """Return the mean over the samples at these indices, a scalar."""
        dropped = torch.rand(len(part), generator=self._draws) < self._dropout
        captions = [
            "" if gone else self._captions[i]
            for i, gone in zip(part.tolist(), dropped.tolist(), strict=True)
        ]
        noise = torch.randn(self._mean[part].shape, generator=self._draws)
        latents = (self._mean[part] + self._std[part] * noise).to(self._device)
        with torch.set_grad_enabled(self._learns_text):
            told = self._family.texts(captions)
        told |= {name: rows[part.to(rows.device)] for name, rows in self._pictures.items()}
        noise, levels = self._family.objective.draw(latents, self._draws)
        return self._family.errors(self.model, latents, told, noise, levels).mean()


class ShuffledBatches:
    """Endless batches, each epoch a new permutation; the last of an epoch may be smaller.

    Parameters
    ----------
    n
        Number of samples.
    batch_size
        Samples of a batch.
    draws
        Where the permutations come from.

    Attributes
    ----------
    left
        What is left of the epoch, int64.
    """

    def __init__(self, n: int, batch_size: int, draws: torch.Generator) -> None:
        self._n, self._size, self._draws = n, batch_size, draws
        self.left = torch.empty(0, dtype=torch.long)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self

    def __next__(self) -> torch.Tensor:
        """Return the indices of the next batch."""
        if not len(self.left):
            self.left = torch.randperm(self._n, generator=self._draws)
        batch, self.left = self.left[: self._size], self.left[self._size :]
        return batch


class Training:
    """What is trained, and what became of it so far.

    Parameters
    ----------
    family
        The pipeline that is fine-tuned, as its family.
    trained
        Copies of its parts that are trained, by name.
    recipe
        How.
    draws
        Where everything random comes from.

    Attributes
    ----------
    losses
        Mean squared error of each step so far.
    parameters
        Those that are trained, float32.
    optimizer, schedule
        AdamW over the parameters, and its learning rate.
    average
        Their moving average, if there is one.
    private
        What makes it private, if anything does.
    """

    def __init__(
        self,
        family: Family,
        trained: dict[str, Any],
        recipe: Recipe,
        draws: torch.Generator,
    ) -> None:
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self._family, self._trained, self._recipe = family, trained, recipe
        self.draws = draws
        for module in trained.values():
            module.train()
        self.parameters = [
            p for module in trained.values() for p in module.parameters() if p.requires_grad
        ]
        self.average = None
        if recipe.ema_decay:
            self.average = EMAModel(self.parameters, decay=recipe.ema_decay, use_ema_warmup=True)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=recipe.learning_rate)
        self.schedule = get_scheduler(
            recipe.lr_scheduler,
            self.optimizer,
            num_warmup_steps=0,
            num_training_steps=recipe.steps,
        )
        self.private: PrivateOptimizer | None = None
        self.losses: list[float] = []
        # Per-sample gradients of an autocast pass are another thing, which nobody accounts for.
        private = recipe.differential_privacy is not None
        dtype = torch.float32 if private else family.denoiser.dtype
        self._device, self._dtype = family.denoiser.device.type, dtype
        # Gradients of float16 are lost to rounding unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(self._device, enabled=dtype == torch.float16)

    def step(self, loss_of: TrainingLoss, batches: Sequence[torch.Tensor]) -> None:
        """Take one step on the samples at some indices: the mean over the batches' losses."""
        if self.private is not None:
            [batch] = batches
            self.losses.append(self.private.step(loss_of, batch))
        else:
            self.losses.append(self._step(loss_of, batches))
        self.schedule.step()
        if self.average is not None:
            self.average.step(self.parameters)

    def _step(self, loss_of: TrainingLoss, batches: Sequence[torch.Tensor]) -> float:
        total, n = 0.0, sum(map(len, batches))
        for batch in batches:
            half = self._dtype != torch.float32
            with torch.autocast(self._device, self._dtype, enabled=half):
                loss = loss_of(batch) * (len(batch) / n)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return total

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving average, if there is one, in the place of the weights for a while."""
        if self.average is None:
            yield
            return
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        yield
        self.average.restore(self.parameters)

    def so_far(self) -> FineTuned:
        """Return the pipeline with the weights as they are now."""
        statement = None if self.private is None else self.private.statement(len(self.losses))
        return FineTuned(
            pipeline=with_parts(self._family.pipeline, **self._trained),
            losses=tuple(self.losses),
            trained_parameters=sum(p.numel() for p in self.parameters),
            epsilon=None if statement is None else statement.epsilon,
            delta=None if statement is None else statement.delta,
            noise_multiplier=None if statement is None else statement.noise_multiplier,
            method=self._recipe.method,
            statement=statement,
            trained_text="text_encoder" in self._trained,
        )

    def finished(self) -> FineTuned:
        """Return the pipeline in evaluation mode and its own dtypes, the average in the weights."""
        if self.average is not None:
            self.average.copy_to(self.parameters)
        finished = self.so_far()
        if self.private is not None:
            self.private.detach()
        for name, module in self._trained.items():
            if self._recipe.gradient_checkpointing and name == self._family.part:
                module.disable_gradient_checkpointing()
            module.eval().requires_grad_(requires_grad=False)
            module.to(getattr(self._family.pipeline, name).dtype)
        return finished
