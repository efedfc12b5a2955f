"""The training objective of a latent diffusion model: what is minimised, and what it measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = [
    "check_trainable",
    "denoising_errors",
    "denoising_loss",
    "errors_at",
    "latents_of",
    "tokens_of",
    "training_scheduler",
]


def check_trainable(pipeline: Any) -> None:
    """Check that a pipeline is of the kind whose loss is computed here.

    Raises
    ------
    FineTuneError
        If it lacks a part, or one of them is of another kind: training would end in an error of
        a library, or in a model that cannot draw.
    """
    name = type(pipeline).__name__
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    missing = [part for part in parts if getattr(pipeline, part, None) is None]
    why = f"has no {', '.join(missing)}" if missing else _why_not_trainable(pipeline)
    if why is not None:
        msg = (
            f"{name} {why}: finetune trains latent diffusion pipelines with a U-Net; train others "
            "with their own script and pass the result as shadow_model"
        )
        raise FineTuneError(msg)
    for part in ("vae", "text_encoder"):
        dtype = getattr(pipeline, part).dtype
        if dtype != torch.float32:
            msg = (
                f"the {part} of {name} is {str(dtype).removeprefix('torch.')}, and finetune trains "
                "in float32: call pipeline.to(torch.float32), or load it with dtype=torch.float32"
            )
            raise FineTuneError(msg)


def _why_not_trainable(pipeline: Any) -> str | None:
    """Say which part of a pipeline is of another kind."""
    if getattr(pipeline.unet.config, "addition_embed_type", None) is not None:
        return "has a U-Net that wants more than a text (addition_embed_type)"
    if not hasattr(pipeline.vae, "quant_conv"):
        return f"has a {type(pipeline.vae).__name__}, which gives no distribution of latents"
    if not hasattr(pipeline.scheduler, "alphas_cumprod"):
        return f"has a {type(pipeline.scheduler).__name__}, which predicts no noise"
    return None


def training_scheduler(pipeline: Any) -> Any:
    """Make the noising process that a pipeline's U-Net was trained with.

    Raises
    ------
    FineTuneError
        If the U-Net predicts neither the noise nor the velocity.
    """
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    if scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        msg = (
            f"prediction_type {scheduler.config.prediction_type!r} is not supported: "
            "only 'epsilon' and 'v_prediction' are"
        )
        raise FineTuneError(msg)
    return scheduler


def latents_of(pipeline: Any, samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each image's scaled latents, float32 on the CPU."""
    vae = pipeline.vae
    size = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    means, stds = [], []
    with torch.inference_mode():
        for sample in samples:
            image = pipeline.image_processor.preprocess(sample.image, size, size)
            posterior = vae.encode(image.to(vae.device, vae.dtype)).latent_dist
            means.append(posterior.mean.float().cpu() * vae.config.scaling_factor)
            stds.append(posterior.std.float().cpu() * vae.config.scaling_factor)
    # Cloned: tensors made under inference_mode cannot enter autograd.
    return torch.cat(means).clone(), torch.cat(stds).clone()


def tokens_of(pipeline: Any, captions: list[str]) -> torch.Tensor:
    """Token ids of captions, padded or cut to the tokenizer's length: (n, length)."""
    ids: torch.Tensor = pipeline.tokenizer(
        captions,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids


def denoising_errors(
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    states: torch.Tensor,
    draws: torch.Generator,
) -> torch.Tensor:
    """Squared error of each sample's prediction at a random timestep, shape (n,)."""
    noise = torch.randn(latents.shape, generator=draws).to(latents.device)
    timesteps = torch.randint(
        scheduler.config.num_train_timesteps, (len(latents),), generator=draws
    ).to(latents.device)
    return errors_at(unet, scheduler, latents, states, noise, timesteps)


def errors_at(
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    states: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
) -> torch.Tensor:
    """Squared error of each sample's prediction, shape (n,): equation 14 of Ho et al. 2020.

    Parameters
    ----------
    unet, scheduler
        The denoiser, and the noising process that it was trained with.
    latents, noise
        Scaled latents and as much standard normal noise, shape (n, channels, height, width).
    states
        Text states, shape (n, tokens, width).
    timesteps
        How much noise is added to each, shape (n,), whole numbers from 0.
    """
    noisy = scheduler.add_noise(latents, noise, timesteps)
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(latents, noise, timesteps)
    else:
        target = noise
    predicted = unet(noisy, timesteps, states).sample
    errors: torch.Tensor = (predicted.float() - target).square().flatten(1).mean(1)
    return errors


def denoising_loss(
    pipeline: Any,
    samples: Sequence[Sample],
    *,
    repeats: int = 8,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Mean squared error of the model's prediction on given samples, lower is better.

    The same noise and timesteps are drawn for every model asked with one seed, so the losses of
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
        Seed of noise and timesteps.

    Returns
    -------
    float
        The mean over samples and repeats.
    """
    draws = torch.Generator().manual_seed(seed)
    scheduler = training_scheduler(pipeline)
    mean, _ = latents_of(pipeline, samples)
    ids = tokens_of(pipeline, [sample.caption for sample in samples])
    device = pipeline.unet.device
    total = 0.0
    with torch.inference_mode():
        for _ in range(repeats):
            for start in range(0, len(samples), batch_size):
                part = slice(start, start + batch_size)
                states = pipeline.text_encoder(ids[part].to(device))[0]
                errors = denoising_errors(
                    pipeline.unet, scheduler, mean[part].to(device), states, draws
                )
                total += float(errors.sum())
    return total / (repeats * len(samples))
