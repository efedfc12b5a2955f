"""Fine-tuning of a diffusers text-to-image pipeline: shadow models, and the audits' own targets.

The loop is the usual one for latent diffusion: encode the image with the VAE, add noise at a
random level, predict it (or the velocity) from the caption, minimise the squared error. What a
family of models does in its own way is in :mod:`privaudit.diffusion.families`. What differs from
a training framework is what an audit needs: the given pipeline is never changed, every random
draw comes from one recorded seed, and DP-SGD is a setting.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from privaudit.diffusion.families import StableDiffusion, family_of
from privaudit.errors import FineTuneError, MissingExtraError, first_line
from privaudit.fingerprint import (
    fingerprint_code,
    fingerprint_module,
    fingerprint_values,
    library_versions,
)
from privaudit.targets import PipelineTarget, SavedPipeline
from privaudit.training.checks import (
    check_checkpoints,
    check_loss,
    check_trained,
)
from privaudit.training.dp_sgd import PrivateOptimizer
from privaudit.training.loop import ShuffledBatches, Training, TrainingLoss
from privaudit.training.recipe import Recipe
from privaudit.training.resuming import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.diffusion.families import Family
    from privaudit.diffusion.fine_tuned import FineTuned
    from privaudit.samples import Sample

__all__ = ["FineTune", "finetune"]

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "opacus")
"""Whose versions decide what a fine-tune makes."""
PROBE_STEPS = 2
"""Of the pictures by which a base in memory is known."""


@dataclass(frozen=True)
class FineTune(Recipe):
    """How a text-to-image latent diffusion pipeline is fine-tuned: a recipe, called with samples.

    Its fields are its key: what a ``fine_tune`` fixture returns, so that the shadow model is kept
    in the store, and made once.

    Parameters
    ----------
    base
        A diffusers pipeline of Stable Diffusion 1.x, 2.x, XL, 3 or 3.5, Flux, Sana, PixArt or
        Qwen-Image, a :class:`privaudit.SavedPipeline`, or the folder of one, which is loaded when
        it is first needed. It is left as it was; training runs on its device. In float16 or
        bfloat16, what is not trained stays so, and what is trained is float32 until the end.
    method
        ``"lora"`` trains low-rank adapters of the denoiser (the U-Net or the transformer);
        ``"full"`` trains all of it; ``"bias"`` trains its bias terms alone (Ben Zaken et
        al. 2022), so few parameters that DP-SGD's noise leaves more of what they learn (Bu et
        al. 2022).
    steps
        Optimisation steps.
    batch_size
        Samples a step. Under DP-SGD it is the expected size: batches are Poisson samples.
    gradient_accumulation_steps
        Batches a step, whose gradients are averaged: less memory than one large batch. Under
        DP-SGD it is 1: ``max_physical_batch_size`` of :class:`DifferentialPrivacy` saves memory.
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

    Raises
    ------
    SettingError
        If a setting is out of range, or does not go with another.
    GeneratorError
        If ``base`` is a name, and there is no such folder or file.

    Examples
    --------
    In the folder of this repository:

    >>> import privaudit
    >>> from PIL import Image
    >>> recipe = FineTune("audits/models/base", method="bias", steps=2, batch_size=2)
    >>> colours = ("red", "green")
    >>> samples = [privaudit.Sample(Image.new("RGB", (32, 32), c), c) for c in colours]
    >>> len(recipe(samples, progress=False).losses)
    2
    >>> recipe.fingerprint == dataclasses.replace(recipe, steps=3).fingerprint
    False
    """

    base: Any

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, and name a folder as a pipeline."""
        super().__post_init__()
        if isinstance(self.base, (str, Path)):
            object.__setattr__(self, "base", SavedPipeline(self.base))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the base, the settings, and the versions of the code that trains."""
        base = self.base
        if not isinstance(base, SavedPipeline):
            # Two pictures tell what no file of weights does, such as a hook.
            base = PipelineTarget(
                base, num_inference_steps=PROBE_STEPS, allow_inactive_adapters=True
            )
        return fingerprint_values(
            base=base.fingerprint,
            settings=_settings(self),
            code=fingerprint_code(),
            libraries=library_versions(*LIBRARIES),
        )

    def __call__(
        self,
        samples: Sequence[Sample],
        *,
        checkpoints: tuple[str | Path, int] | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> FineTuned:
        """Fine-tune the base on images and their captions.

        Parameters
        ----------
        samples
            Images and captions. Images are resized to ``resolution``.
        checkpoints
            A folder and a number of steps: after each so many, what was trained until then is
            written to ``checkpoint-N`` in it, as diffusers' scripts do.
        resume
            Go on from the newest of these checkpoints, if there is one: the result is the same as
            without the stop. Under DP-SGD what was spent is counted, and batches and noise are new.
        progress
            Show a progress bar.

        Returns
        -------
        FineTuned
            The new pipeline, in evaluation mode, and what its training cost.

        Raises
        ------
        FineTuneError
            If the pipeline is of no known family or lacks a part, there are no samples, no layer
            has a name of ``lora_targets``, the loss is no longer finite, or the checkpoint is of
            another training.
        SettingError
            If a setting does not go with a model of this family.
        MissingExtraError
            If ``method="lora"`` and ``peft`` is missing, or DP-SGD and ``opacus`` is.
        """
        pipeline = self.base.pipeline if isinstance(self.base, SavedPipeline) else self.base
        family = family_of(pipeline)
        if not samples:
            msg = "0 samples to fine-tune on: pass at least one image with its caption"
            raise FineTuneError(msg)
        check_trained(family, self)
        check_checkpoints(family, self.method, checkpoints, resume=resume)
        training, loss_of, batches = _begun(family, samples, self)
        kept: Progress | None = None
        if checkpoints is not None:
            identity = _identity(family, samples, self)
            kept = Progress(Path(checkpoints[0]), checkpoints[1], identity, training, batches)
            if resume:
                kept.restore()
        done = len(training.losses)
        with tqdm(
            total=self.steps, initial=done, desc="fine-tuning", unit="step", disable=not progress
        ) as bar:
            for _ in range(done, self.steps):
                together = list(itertools.islice(batches, self.gradient_accumulation_steps))
                training.step(loss_of, together)
                check_loss(training.losses, sum(map(len, together)), self.learning_rate)
                if kept is not None:
                    kept.took_step()
                bar.update()
                recent = float(np.nanmean(training.losses[-50:]))
                bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
        return training.finished()


def finetune(
    base: Any,
    samples: Sequence[Sample],
    *,
    checkpoints: tuple[str | Path, int] | None = None,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> FineTuned:
    """Fine-tune a text-to-image latent diffusion pipeline on images and their captions.

    It is ``FineTune(base, **settings)(samples, …)``.

    Parameters
    ----------
    base
        The pipeline, which is left as it was.
    samples
        Images and captions.
    checkpoints, resume, progress
        As of a call of :class:`privaudit.FineTune`.
    **settings
        As of :class:`privaudit.FineTune`, such as ``steps`` and ``method``.

    Returns
    -------
    FineTuned
        The new pipeline, in evaluation mode, and what its training cost.

    Raises
    ------
    FineTuneError, SettingError, MissingExtraError
        As of :class:`privaudit.FineTune` and its call.

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
    recipe = FineTune(base, **settings)
    return recipe(samples, checkpoints=checkpoints, resume=resume, progress=progress)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Return the settings by name, without the base."""
    return {field.name: getattr(recipe, field.name) for field in dataclasses.fields(Recipe)}


def _begun(
    family: Family, samples: Sequence[Sample], recipe: Recipe
) -> tuple[Training, TrainingLoss, Iterator[torch.Tensor]]:
    """Copy what is trained, and make all that its steps need."""
    draws = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # peft initialises adapters from the global generator
        trained = _trainable_copies(family, recipe)
    denoiser = trained[family.part]
    if recipe.gradient_checkpointing:
        denoiser.enable_gradient_checkpointing()
    training = Training(family, trained, recipe, draws)
    size = family.size(recipe.resolution)
    loss_of = TrainingLoss(family, samples, size, denoiser, recipe, draws)
    privacy, n = recipe.differential_privacy, len(samples)
    if privacy is None:
        return training, loss_of, ShuffledBatches(n, recipe.batch_size, draws)
    private = PrivateOptimizer(
        denoiser, training.optimizer, privacy, n, recipe.batch_size, recipe.steps
    )
    training.private, loss_of.model = private, private.model
    return training, loss_of, private.batches()


def _identity(family: Family, samples: Sequence[Sample], recipe: Recipe) -> str:
    """Hash all that decides what the training does."""
    return fingerprint_values(
        base={
            name: fingerprint_module(part)
            for name, part in family.pipeline.components.items()
            if isinstance(part, torch.nn.Module)
        },
        samples=[[sample.digest, sample.caption] for sample in samples],
        recipe=_settings(recipe),
    )


def _trainable_copies(family: Family, recipe: Recipe) -> dict[str, Any]:
    trained = {family.part: _trainable_denoiser(family, recipe)}
    if isinstance(family, StableDiffusion) and recipe.train_text_encoder:
        copied = copy.deepcopy(family.text_encoder).to(torch.float32).requires_grad_(True)
        family.text_encoder = trained["text_encoder"] = copied
    return trained


def _trainable_denoiser(family: Family, recipe: Recipe) -> Any:
    # A copy that is not compiled: its layers keep their names, and training changes them.
    own = getattr(family.denoiser, "_orig_mod", family.denoiser)
    denoiser = copy.deepcopy(own)
    method = recipe.method
    # The frozen weights of a LoRA stay as they are: they are most of the memory.
    if denoiser.dtype != torch.float32 and (method != "lora" or recipe.differential_privacy):
        denoiser = denoiser.to(torch.float32)
    if method == "lora":
        try:
            from diffusers.training_utils import cast_training_params
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise MissingExtraError("LoRA fine-tuning", "peft", "finetune") from error
        targets = list(recipe.lora_targets or family.lora_targets)
        config = LoraConfig(r=recipe.lora_rank, lora_alpha=recipe.lora_rank, target_modules=targets)
        denoiser.requires_grad_(requires_grad=False)
        try:
            if hasattr(denoiser, "add_adapter"):
                denoiser.add_adapter(config)
            else:  # PixArt's, which diffusers gives no adapters
                inject_adapter_in_model(config, denoiser)
            cast_training_params(denoiser, dtype=torch.float32)
        except ValueError as error:
            msg = (
                f"no adapter fits lora_targets={targets} in a {type(denoiser).__name__} "
                f"({first_line(error)}): name layers of pipeline.{family.part}"
            )
            raise FineTuneError(msg) from error
    else:
        for name, parameter in denoiser.named_parameters():
            parameter.requires_grad_(method == "full" or name.endswith("bias"))
    return denoiser
