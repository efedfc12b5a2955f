"""The models of docs/study that are not in audits/models: fine-tunes of the same base and members.

``python benchmarks/study_models.py NAME --folder F`` makes one of them, and ``all`` makes all;
``--device cuda`` trains on a GPU. ``run`` is the over-fitted model again with a checkpoint every
200 steps, for the axis ``epochs``. Those of :data:`RECIPES` are for the axis ``defences``: 600
steps each, where the over-fitted model had 2,000. Those of :data:`SHADOWS` are fine-tuned on the
shadow's members, for the axis ``shadows``, 600 steps too; ``other-architecture`` is a U-Net of
three levels, not two, pre-trained on Noto emoji for 2,000 (``--noto``, as of ``make_models.py``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from common import ROOT
from PIL import ImageOps

sys.path.insert(0, str(ROOT / "audits"))

import emoji_sets
from privaudit import Sample, finetune, load_pipeline
from privaudit.training import DifferentialPrivacy

LONG, EVERY, SHORT = 2000, 200, 600
FULL: dict[str, Any] = {"method": "full", "learning_rate": 1e-3}
COMMON: dict[str, Any] = {
    "batch_size": 32,
    "lr_scheduler": "cosine",
    "seed": emoji_sets.SEED,
    "progress": False,
}
BIAS: dict[str, Any] = {"method": "bias", "learning_rate": 1.5e-3, "ema_decay": 0.995}
RECIPES: dict[str, dict[str, Any]] = {
    "run": {**FULL, "steps": LONG},
    "no-defence": FULL,
    "a-third-of-the-steps": {**FULL, "steps": SHORT // 3},
    "caption-dropout": {**FULL, "caption_dropout": 0.5},
    "mirrored": FULL,
    "lora-rank-4": {"lora_rank": 4, "learning_rate": 3e-3},
    "biases": BIAS,
    **{f"dp-{epsilon}": BIAS for epsilon in (1, 4, 8, 50)},
}
"""What differs from 600 steps of 32 samples, on a cosine schedule."""
SHADOWS: dict[str, dict[str, Any]] = {
    "whole": FULL,
    "other-architecture": FULL,
}
ARCHITECTURE: dict[str, Any] = {
    "block_out_channels": (48, 96, 96),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
}


def members(name: str) -> list[Sample]:
    """Return the members; of ``mirrored`` each twice, as it is and seen in a mirror."""
    samples = emoji_sets.twemoji("shadow_member" if name in SHADOWS else "member")
    if name != "mirrored":
        return samples
    turned = [Sample(ImageOps.mirror(s.image), s.caption, id=f"{s.id}-mirrored") for s in samples]
    return [*samples, *turned]


def base(name: str, device: str, noto: Path | None) -> Any:
    """Load what is fine-tuned: the base of ``audits/``, or one of another architecture."""
    pipeline = load_pipeline(emoji_sets.MODELS / "base", device=device)
    if name != "other-architecture":
        return pipeline
    torch.manual_seed(emoji_sets.SEED)
    given = {**pipeline.unet.config, **ARCHITECTURE}
    pipeline.unet = type(pipeline.unet).from_config(given).to(device)
    pictures = [Sample(image, caption) for image, caption in emoji_sets.noto(noto or Path())]
    return finetune(pipeline, pictures, **FULL, **COMMON, steps=LONG, ema_decay=0.995).pipeline


def make(name: str, folder: Path, device: str, noto: Path | None) -> None:
    """Fine-tune one model, and write it where ``privaudit study`` finds it."""
    place, privacy = folder / name, None
    if name.startswith("dp-"):
        privacy = DifferentialPrivacy(
            epsilon=float(name.removeprefix("dp-")),
            delta=1e-3,
            max_grad_norm=0.1,
            noise_seed=emoji_sets.SEED,  # for the sake of the figures: it protects nobody
        )
    tuned = finetune(
        base(name, device, noto),
        members(name),
        **COMMON,
        **{"steps": SHORT, **(RECIPES | SHADOWS)[name]},
        differential_privacy=privacy,
        checkpoints=(place, EVERY) if name == "run" else None,
    )
    if name != "run":
        tuned.save(place)
    print(f"{name}: done", flush=True)


def main() -> None:
    """Make one of them, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*RECIPES, *SHADOWS, "all"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--noto", type=Path, help="unpacked emoji-datasource-google")
    given = parser.parse_args()
    if given.noto is None and given.name in ("other-architecture", "all"):
        parser.error("other-architecture is pre-trained on Noto emoji: --noto FOLDER")
    for name in [*RECIPES, *SHADOWS] if given.name == "all" else [given.name]:
        make(name, given.folder, given.device, given.noto)


if __name__ == "__main__":
    main()
