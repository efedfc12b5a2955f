"""The loss of diffusers' own training scripts, by family, on given draws.

Written after what the scripts of its repository compute (examples/text_to_image for XL,
examples/dreambooth for SD 3, Flux, Sana and Qwen-Image), with the parts of diffusers that they
use. PixArt has none there: its loss is the first term of Nichol and Dhariwal's (2021).
"""

from __future__ import annotations

from typing import Any

import torch


def xl(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, size: Any) -> Any:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    steps = (where * scheduler.config.num_train_timesteps).long()
    text, _, pooled, _ = pipeline.encode_prompt(
        [s.caption for s in samples], do_classifier_free_guidance=False
    )
    ids = torch.tensor([[*s.image.size[::-1], 0, 0, *size] for s in samples]).float()
    predicted = pipeline.unet(
        scheduler.add_noise(latents, noise, steps),
        steps,
        text,
        added_cond_kwargs={"time_ids": ids, "text_embeds": pooled},
        return_dict=False,
    )[0]
    return torch.nn.functional.mse_loss(predicted, noise)


def pixart(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, _: Any) -> Any:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    steps = (where * scheduler.config.num_train_timesteps).long()
    text, mask, _, _ = pipeline.encode_prompt(
        [s.caption for s in samples], do_classifier_free_guidance=False
    )
    predicted = pipeline.transformer(
        scheduler.add_noise(latents, noise, steps),
        encoder_hidden_states=text,
        encoder_attention_mask=mask,
        timestep=steps,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        return_dict=False,
    )[0]
    mean, _ = predicted.chunk(2, dim=1)
    return torch.nn.functional.mse_loss(mean, noise)


def flow(pipeline: Any, latents: Any, noise: Any, where: Any) -> tuple[Any, Any, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    steps = scheduler.timesteps[(where * scheduler.config.num_train_timesteps).long()]
    found = [int((scheduler.timesteps == step).nonzero().item()) for step in steps]
    sigma = scheduler.sigmas[found].reshape(-1, *[1] * (latents.ndim - 1))
    return steps, sigma, (1 - sigma) * latents + sigma * noise


def weighed(scheme: str, sigma: Any, predicted: Any, target: Any) -> Any:
    from diffusers.training_utils import compute_loss_weighting_for_sd3

    weights = compute_loss_weighting_for_sd3(scheme, sigma).float()
    return (weights * (predicted - target) ** 2).flatten(1).mean(1).mean()


def sd3(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, _: Any) -> Any:
    steps, sigma, noisy = flow(pipeline, latents, noise, where)
    captions = [s.caption for s in samples]
    text, _, pooled, _ = pipeline.encode_prompt(
        captions, captions, captions, do_classifier_free_guidance=False
    )
    predicted = pipeline.transformer(
        hidden_states=noisy,
        timestep=steps,
        encoder_hidden_states=text,
        pooled_projections=pooled,
        return_dict=False,
    )[0]
    return weighed("logit_normal", sigma, noisy - sigma * predicted, latents)


def flux(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, _: Any) -> Any:
    steps, sigma, noisy = flow(pipeline, latents, noise, where)
    text, pooled, text_ids = pipeline.encode_prompt([s.caption for s in samples], None)
    n, channels, height, width = latents.shape
    ids = pipeline._prepare_latent_image_ids(n, height // 2, width // 2, "cpu", torch.float32)
    tokens = pipeline.transformer(
        hidden_states=pipeline._pack_latents(noisy, n, channels, height, width),
        timestep=steps / 1000,
        guidance=torch.full((n,), 3.5),
        pooled_projections=pooled,
        encoder_hidden_states=text,
        txt_ids=text_ids,
        img_ids=ids,
        return_dict=False,
    )[0]
    factor = pipeline.vae_scale_factor
    predicted = pipeline._unpack_latents(tokens, height * factor, width * factor, factor)
    return weighed("none", sigma, predicted, noise - latents)


def sana(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, _: Any) -> Any:
    steps, sigma, noisy = flow(pipeline, latents, noise, where)
    text, mask, _, _ = pipeline.encode_prompt(
        [s.caption for s in samples], do_classifier_free_guidance=False
    )
    predicted = pipeline.transformer(
        hidden_states=noisy,
        encoder_hidden_states=text,
        encoder_attention_mask=mask,
        timestep=steps,
        return_dict=False,
    )[0]
    return weighed("none", sigma, predicted, noise - latents)


def qwen(pipeline: Any, latents: Any, noise: Any, where: Any, samples: Any, _: Any) -> Any:
    frames, noise = latents[:, :, None], noise[:, :, None]  # one frame of a video
    steps, sigma, noisy = flow(pipeline, frames, noise, where)
    text, mask = pipeline.encode_prompt([s.caption for s in samples])
    n, channels, _, height, width = frames.shape
    tokens = pipeline.transformer(
        hidden_states=pipeline._pack_latents(
            noisy.permute(0, 2, 1, 3, 4), n, channels, height, width
        ),
        encoder_hidden_states=text,
        encoder_hidden_states_mask=mask,
        timestep=steps / 1000,
        img_shapes=[(1, height // 2, width // 2)] * n,
        return_dict=False,
    )[0]
    factor = pipeline.vae_scale_factor
    predicted = pipeline._unpack_latents(tokens, height * factor, width * factor, factor)
    return weighed("none", sigma, predicted, noise - frames)


LOSSES = {
    "StableDiffusionXLPipeline": xl,
    "PixArtAlphaPipeline": pixart,
    "SanaPipeline": sana,
    "StableDiffusion3Pipeline": sd3,
    "FluxPipeline": flux,
    "QwenImagePipeline": qwen,
}
