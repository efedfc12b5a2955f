"""Fine-tuning of a diffusers text-to-image pipeline: shadow models, and the audits' own targets.

The loop is the usual one for latent diffusion: encode the image with the VAE, add noise at a
random timestep, predict the noise (or the velocity) from the caption, minimise the squared
error. What differs from a training framework is what an audit needs: the given pipeline is
never changed, every random draw comes from one recorded seed, and DP-SGD is a setting.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tqdm.auto import tqdm

from privaudit.diffusion.dp_sgd import DifferentialPrivacy, PrivateOptimizer
from privaudit.diffusion.fine_tuned import BIASES_FILE, FineTuned, with_parts
from privaudit.diffusion.objective import (
    denoising_errors,
    latents_of,
    tokens_of,
    training_scheduler,
)
from privaudit.diffusion.training_checks import check_arguments, check_loss
from privaudit.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privaudit.samples import Sample

__all__ = ["BIASES_FILE", "DifferentialPrivacy", "FineTuned", "finetune", "with_parts"]

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "proj_in", "proj_out")
"""Attention projections and the convolutions of the residual blocks, by diffusers' names."""


def finetune(
    pipeline: Any,
    samples: Sequence[Sample],
    *,
    method: Literal["lora", "full", "bias"] = "lora",
    steps: int = 1000,
    batch_size: int = 4,
    learning_rate: float = 1e-4,
    lr_scheduler: str = "constant",
    lora_rank: int = 16,
    train_text_encoder: bool = False,
    caption_dropout: float = 0.1,
    ema_decay: float | None = None,
    differential_privacy: DifferentialPrivacy | None = None,
    seed: int = 0,
    checkpoints: tuple[str | Path, int] | None = None,
    progress: bool = True,
) -> FineTuned:
    """Fine-tune a text-to-image latent diffusion pipeline on images and their captions.

    Parameters
    ----------
    pipeline
        A diffusers pipeline with ``unet``, ``vae``, ``text_encoder`` and ``tokenizer``, such as
        ``StableDiffusionPipeline``. It is left as it was; training runs on its device.
    samples
        Images and captions. Images are resized to the pipeline's own resolution.
    method
        ``"lora"`` trains low-rank adapters on attention and residual convolutions of the U-Net;
        ``"full"`` trains all of the U-Net; ``"bias"`` trains its bias terms alone (Ben Zaken et
        al. 2022), so few parameters that DP-SGD's noise leaves more of what they learn (Bu et
        al. 2022).
    steps
        Optimisation steps.
    batch_size
        Samples a step. Under DP-SGD it is the expected size: batches are Poisson samples.
    learning_rate, lr_scheduler
        AdamW's learning rate, and the name of a schedule of ``diffusers.optimization``
        (``"constant"``, ``"cosine"``, ``"linear"``, …; no warm-up).
    lora_rank
        Rank of the adapters, which is also their α.
    train_text_encoder
        Train the text encoder too (``method="full"`` only).
    caption_dropout
        Probability of training a sample on the empty caption, which classifier-free guidance
        needs.
    ema_decay
        Decay of an exponential moving average of the trained weights, which is then what the
        returned pipeline holds; ``None`` keeps the last step's weights.
    differential_privacy
        Train with DP-SGD to this target, by Opacus.
    seed
        Seed of every draw: order, noise, timesteps, dropout and the adapters' initialisation.
    checkpoints
        A folder and a number of steps: after each so many, what was trained until then is
        written to ``checkpoint-N`` in it, as diffusers' scripts do.
    progress
        Show a progress bar.

    Returns
    -------
    FineTuned
        The new pipeline, in evaluation mode, and what its training cost.

    Raises
    ------
    SettingError
        If a setting is out of range.
    FineTuneError
        If the pipeline lacks a part, there are no samples, or the loss is no longer finite.
    MissingExtraError
        If LoRA is asked for without ``peft``, or DP-SGD without ``opacus``.

    Examples
    --------
    In the folder of this repository:

    >>> import privaudit
    >>> from PIL import Image
    >>> colours = ("red", "green")
    >>> samples = [privaudit.Sample(Image.new("RGB", (32, 32), c), c) for c in colours]
    >>> base = privaudit.load_pipeline("audits/models/base", device="cpu")
    >>> tuned = finetune(base, samples, method="bias", steps=2, batch_size=2, progress=False)
    >>> len(tuned.losses), tuned.pipeline is base
    (2, False)
    """
    check_arguments(
        pipeline, samples, method, steps, batch_size, caption_dropout, train_text_encoder
    )
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft initialises adapters from the global generator
        unet, text_encoder = _trainable_copies(pipeline, method, lora_rank, train_text_encoder)
    modules = [unet, text_encoder] if train_text_encoder else [unet]
    for module in modules:
        module.train()
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    loss_of = _Loss(pipeline, samples, unet, text_encoder, caption_dropout, draws)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    private: PrivateOptimizer | None = None
    batches: Iterable[torch.Tensor] = _shuffled_batches(len(samples), batch_size, draws)
    if differential_privacy is not None:
        private = PrivateOptimizer(
            unet, optimizer, differential_privacy, len(samples), batch_size, steps
        )
        loss_of.model, batches = private.model, private.batches()

    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    schedule = get_scheduler(lr_scheduler, optimizer, num_warmup_steps=0, num_training_steps=steps)
    average = EMAModel(parameters, decay=ema_decay, use_ema_warmup=True) if ema_decay else None
    losses: list[float] = []

    def so_far() -> FineTuned:
        statement = None if private is None else private.statement(len(losses))
        return FineTuned(
            pipeline=with_parts(pipeline, unet=unet, text_encoder=text_encoder),
            losses=tuple(losses),
            trained_parameters=sum(p.numel() for p in parameters),
            epsilon=None if statement is None else statement.epsilon,
            delta=None if statement is None else statement.delta,
            noise_multiplier=None if statement is None else statement.noise_multiplier,
            method=method,
            statement=statement,
            trained_text=train_text_encoder,
        )

    with tqdm(total=steps, desc="fine-tuning", unit="step", disable=not progress) as bar:
        for batch in itertools.islice(batches, steps):
            losses.append(_step(loss_of, batch, optimizer, parameters, private))
            check_loss(losses, len(batch), learning_rate)
            schedule.step()
            if average is not None:
                average.step(parameters)
            if checkpoints is not None and len(losses) % checkpoints[1] == 0:
                with _averaged(average, parameters):
                    so_far().save(Path(checkpoints[0]) / f"checkpoint-{len(losses)}")
            bar.update()
            bar.set_postfix(loss=f"{float(np.nanmean(losses[-50:])):.4f}", refresh=False)

    if average is not None:
        average.copy_to(parameters)
    finished = so_far()
    if private is not None:
        private.detach()
    for module in modules:
        module.eval().requires_grad_(requires_grad=False)
    return finished


@contextlib.contextmanager
def _averaged(average: Any, parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    """Put the moving average, if there is one, in the place of the weights for a while."""
    if average is None:
        yield
        return
    average.store(parameters)
    average.copy_to(parameters)
    yield
    average.restore(parameters)


class _Loss:
    """Mean denoising error of the samples at some indices, with fresh draws at each call.

    Parameters
    ----------
    pipeline
        The pipeline that is fine-tuned.
    samples
        All that it is fine-tuned on.
    unet, text_encoder
        The copies that are trained; the text encoder may be the pipeline's own.
    caption_dropout
        Probability of the empty caption.
    draws
        Where noise, timesteps and dropped captions come from.
    """

    def __init__(
        self,
        pipeline: Any,
        samples: Sequence[Sample],
        unet: Any,
        text_encoder: Any,
        caption_dropout: float,
        draws: torch.Generator,
    ) -> None:
        self.model = unet
        """What predicts the noise: DP-SGD puts its own in the place of the U-Net."""
        self._device = pipeline.unet.device
        self._text_encoder = text_encoder
        self._learns_text = text_encoder is not pipeline.text_encoder
        self._scheduler = training_scheduler(pipeline)
        self._mean, self._std = latents_of(pipeline, samples)
        self._tokens = tokens_of(pipeline, [sample.caption for sample in samples])
        self._empty = tokens_of(pipeline, [""])[0]
        self._dropout, self._draws = caption_dropout, draws

    def __call__(self, part: torch.Tensor) -> torch.Tensor:
        dropped = torch.rand(len(part), generator=self._draws) < self._dropout
        captions = torch.where(dropped[:, None], self._empty, self._tokens[part])
        noise = torch.randn(self._mean[part].shape, generator=self._draws)
        latents = (self._mean[part] + self._std[part] * noise).to(self._device)
        with torch.set_grad_enabled(self._learns_text):
            states = self._text_encoder(captions.to(self._device))[0]
        errors = denoising_errors(self.model, self._scheduler, latents, states, self._draws)
        return errors.mean()


def _step(
    loss_of: _Loss,
    batch: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    parameters: list[torch.nn.Parameter],
    private: PrivateOptimizer | None,
) -> float:
    if private is not None:
        return private.step(loss_of, batch)
    loss = loss_of(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _trainable_copies(
    pipeline: Any, method: str, lora_rank: int, train_text_encoder: bool
) -> tuple[Any, Any]:
    # A copy that is not compiled: its layers keep their names, and training changes them.
    unet = copy.deepcopy(getattr(pipeline.unet, "_orig_mod", pipeline.unet)).to(torch.float32)
    text_encoder = pipeline.text_encoder
    if method == "lora":
        try:
            from peft import LoraConfig
        except ImportError as error:
            raise MissingExtraError("LoRA fine-tuning", "peft", "finetune") from error
        unet.requires_grad_(requires_grad=False)
        unet.add_adapter(
            LoraConfig(r=lora_rank, lora_alpha=lora_rank, target_modules=list(LORA_TARGETS))
        )
    else:
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(method == "full" or name.endswith("bias"))
    if train_text_encoder:
        text_encoder = copy.deepcopy(text_encoder).to(torch.float32).requires_grad_(True)
    return unet, text_encoder


def _shuffled_batches(n: int, batch_size: int, draws: torch.Generator) -> Iterator[torch.Tensor]:
    """Endless batches, each epoch a new permutation; the last of an epoch may be smaller."""
    while True:
        yield from torch.split(torch.randperm(n, generator=draws), batch_size)
