"""Fine-tuning of a diffusers text-to-image pipeline: shadow models, and the audits' own targets.

The loop is the usual one for latent diffusion: encode the image with the VAE, add noise at a
random level, predict it (or the velocity) from the caption, minimise the squared error. What a
family of models does in its own way is in :mod:`privaudit.diffusion.families`. What differs from
a training framework is what an audit needs: the given pipeline is never changed, every random
draw comes from one recorded seed, and DP-SGD is a setting.
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
from privaudit.diffusion.families import StableDiffusion, family_of
from privaudit.diffusion.fine_tuned import FineTuned, check_lora_file, with_parts
from privaudit.diffusion.training_checks import check_arguments, check_loss, check_trained
from privaudit.errors import FineTuneError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privaudit.diffusion.families import Family, Size
    from privaudit.samples import Sample

__all__ = ["DifferentialPrivacy", "FineTuned", "finetune"]


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
    lora_targets: Sequence[str] | None = None,
    resolution: int | tuple[int, int] | None = None,
    gradient_checkpointing: bool = False,
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
        A diffusers pipeline of Stable Diffusion 1.x, 2.x, XL, 3 or 3.5, Flux, Sana, PixArt or
        Qwen-Image, in float32. It is left as it was; training runs on its device.
    samples
        Images and captions. Images are resized to ``resolution``.
    method
        ``"lora"`` trains low-rank adapters of the denoiser (the U-Net or the transformer);
        ``"full"`` trains all of it; ``"bias"`` trains its bias terms alone (Ben Zaken et
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
    lora_targets
        Ends of the names of the layers that get an adapter; ``None`` takes the family's own:
        attention projections, and the convolutions of a U-Net's residual blocks.
    resolution
        Pixels of a side, or (height, width); ``None`` is what the pipeline draws by itself.
    gradient_checkpointing
        Compute activations twice instead of keeping them: less memory, more time, same result.
    train_text_encoder
        Train the text encoder too (``method="full"``, Stable Diffusion 1.x and 2.x only).
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
        If the pipeline is of no known family or lacks a part, there are no samples, no layer has
        a name of ``lora_targets``, or the loss is no longer finite.
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
    family = family_of(pipeline)
    check_arguments(samples, method, steps, batch_size, caption_dropout)
    check_trained(family, method, train_text_encoder, differential_privacy)
    if checkpoints is not None and method == "lora":
        check_lora_file(pipeline, family.part)  # now, not at the first checkpoint
    size = family.size(resolution)
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft initialises adapters from the global generator
        trained = _trainable_copies(family, method, lora_rank, lora_targets, train_text_encoder)
    denoiser = trained[family.part]
    if gradient_checkpointing:
        denoiser.enable_gradient_checkpointing()
    training = _Training(pipeline, trained, method, ema_decay)
    loss_of = _Loss(family, samples, size, denoiser, caption_dropout, draws, train_text_encoder)
    optimizer = torch.optim.AdamW(training.parameters, lr=learning_rate)
    batches: Iterable[torch.Tensor] = _shuffled_batches(len(samples), batch_size, draws)
    if differential_privacy is not None:
        training.private = PrivateOptimizer(
            denoiser, optimizer, differential_privacy, len(samples), batch_size, steps
        )
        loss_of.model, batches = training.private.model, training.private.batches()

    from diffusers.optimization import get_scheduler

    schedule = get_scheduler(lr_scheduler, optimizer, num_warmup_steps=0, num_training_steps=steps)
    with tqdm(total=steps, desc="fine-tuning", unit="step", disable=not progress) as bar:
        for batch in itertools.islice(batches, steps):
            training.step(loss_of, batch, optimizer)
            check_loss(training.losses, len(batch), learning_rate)
            schedule.step()
            done = len(training.losses)
            if checkpoints is not None and done % checkpoints[1] == 0:
                with training.averaged():
                    training.so_far().save(Path(checkpoints[0]) / f"checkpoint-{done}")
            bar.update()
            recent = float(np.nanmean(training.losses[-50:]))
            bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
    if gradient_checkpointing:
        denoiser.disable_gradient_checkpointing()
    return training.finished()


class _Training:
    """What is trained, and what became of it so far.

    Parameters
    ----------
    pipeline
        The pipeline that is fine-tuned.
    trained
        Copies of its parts that are trained, by name.
    method
        Of :func:`finetune`.
    ema_decay
        Decay of the moving average, if there is one.
    """

    def __init__(
        self, pipeline: Any, trained: dict[str, Any], method: str, ema_decay: float | None
    ) -> None:
        from diffusers.training_utils import EMAModel

        self._pipeline, self._trained, self._method = pipeline, trained, method
        for module in trained.values():
            module.train()
        self.parameters = [
            p for module in trained.values() for p in module.parameters() if p.requires_grad
        ]
        self._average = (
            EMAModel(self.parameters, decay=ema_decay, use_ema_warmup=True) if ema_decay else None
        )
        self.private: PrivateOptimizer | None = None
        self.losses: list[float] = []

    def step(self, loss_of: _Loss, batch: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step on the samples at some indices."""
        self.losses.append(_step(loss_of, batch, optimizer, self.parameters, self.private))
        if self._average is not None:
            self._average.step(self.parameters)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving average, if there is one, in the place of the weights for a while."""
        if self._average is None:
            yield
            return
        self._average.store(self.parameters)
        self._average.copy_to(self.parameters)
        yield
        self._average.restore(self.parameters)

    def so_far(self) -> FineTuned:
        """Return the pipeline with the weights as they are now."""
        statement = None if self.private is None else self.private.statement(len(self.losses))
        return FineTuned(
            pipeline=with_parts(self._pipeline, **self._trained),
            losses=tuple(self.losses),
            trained_parameters=sum(p.numel() for p in self.parameters),
            epsilon=None if statement is None else statement.epsilon,
            delta=None if statement is None else statement.delta,
            noise_multiplier=None if statement is None else statement.noise_multiplier,
            method=self._method,
            statement=statement,
            trained_text="text_encoder" in self._trained,
        )

    def finished(self) -> FineTuned:
        """Return the pipeline in evaluation mode, with the average in the place of the weights."""
        if self._average is not None:
            self._average.copy_to(self.parameters)
        finished = self.so_far()
        if self.private is not None:
            self.private.detach()
        for module in self._trained.values():
            module.eval().requires_grad_(requires_grad=False)
        return finished


class _Loss:
    """Mean denoising error of the samples at some indices, with fresh draws at each call.

    Parameters
    ----------
    family
        The pipeline that is fine-tuned, as its family.
    samples, size
        All that it is fine-tuned on, and the pixels they are resized to.
    denoiser
        The copy that is trained.
    caption_dropout
        Probability of the empty caption.
    draws
        Where noise, levels and dropped captions come from.
    learns_text
        Whether the text encoder is trained too.
    """

    def __init__(
        self,
        family: Family,
        samples: Sequence[Sample],
        size: Size,
        denoiser: Any,
        caption_dropout: float,
        draws: torch.Generator,
        learns_text: bool,
    ) -> None:
        self.model = denoiser
        """What predicts: DP-SGD puts its own in the place of the denoiser."""
        self._family, self._learns_text = family, learns_text
        self._device = family.denoiser.device
        self._mean, self._std = family.latents(samples, size)
        self._captions = [sample.caption for sample in samples]
        self._pictures = family.pictures(samples, size)
        self._dropout, self._draws = caption_dropout, draws

    def __call__(self, part: torch.Tensor) -> torch.Tensor:
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
    family: Family,
    method: str,
    lora_rank: int,
    lora_targets: Sequence[str] | None,
    train_text_encoder: bool,
) -> dict[str, Any]:
    trained = {family.part: _trainable_denoiser(family, method, lora_rank, lora_targets)}
    if isinstance(family, StableDiffusion) and train_text_encoder:
        copied = copy.deepcopy(family.text_encoder).to(torch.float32).requires_grad_(True)
        family.text_encoder = trained["text_encoder"] = copied
    return trained


def _trainable_denoiser(
    family: Family, method: str, lora_rank: int, lora_targets: Sequence[str] | None
) -> Any:
    # A copy that is not compiled: its layers keep their names, and training changes them.
    own = getattr(family.denoiser, "_orig_mod", family.denoiser)
    denoiser = copy.deepcopy(own)
    if denoiser.dtype != torch.float32:
        denoiser = denoiser.to(torch.float32)
    if method == "lora":
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise MissingExtraError("LoRA fine-tuning", "peft", "finetune") from error
        targets = list(lora_targets or family.lora_targets)
        config = LoraConfig(r=lora_rank, lora_alpha=lora_rank, target_modules=targets)
        denoiser.requires_grad_(requires_grad=False)
        try:
            if hasattr(denoiser, "add_adapter"):
                denoiser.add_adapter(config)
            else:  # PixArt's, which diffusers gives no adapters
                inject_adapter_in_model(config, denoiser)
        except ValueError as error:
            msg = (
                f"no adapter fits lora_targets={targets} in a {type(denoiser).__name__} "
                f"({str(error).splitlines()[0]}): name layers of pipeline.{family.part}"
            )
            raise FineTuneError(msg) from error
    else:
        for name, parameter in denoiser.named_parameters():
            parameter.requires_grad_(method == "full" or name.endswith("bias"))
    return denoiser


def _shuffled_batches(n: int, batch_size: int, draws: torch.Generator) -> Iterator[torch.Tensor]:
    """Endless batches, each epoch a new permutation; the last of an epoch may be smaller."""
    while True:
        yield from torch.split(torch.randperm(n, generator=draws), batch_size)
