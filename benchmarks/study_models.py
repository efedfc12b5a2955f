"""The models of docs/study that are not in audits/models: fine-tunes of the same base and members.

``python benchmarks/study_models.py NAME --folder F`` makes one of them, and ``all`` makes all;
``--device cuda`` trains on a GPU. ``run`` is the over-fitted model again with a checkpoint every
200 steps, for the axis ``epochs``. The others are for the axis ``defences``: 600 steps each, where
the over-fitted model had 2,000.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from common import ROOT
from PIL import ImageOps

sys.path.insert(0, str(ROOT / "audits"))

import emoji_sets
from privaudit import DifferentialPrivacy, Sample, finetune, load_pipeline

LONG, EVERY, SHORT = 2000, 200, 600
FULL: dict[str, Any] = {"method": "full", "learning_rate": 1e-3}
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


def members(name: str) -> list[Sample]:
    """Return the members; of ``mirrored`` each twice, as it is and seen in a mirror."""
    samples = emoji_sets.twemoji("member")
    if name != "mirrored":
        return samples
    turned = [Sample(ImageOps.mirror(s.image), s.caption, id=f"{s.id}-mirrored") for s in samples]
    return [*samples, *turned]


def make(name: str, folder: Path, device: str) -> None:
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
        load_pipeline(emoji_sets.MODELS / "base", device=device),
        members(name),
        **{"steps": SHORT, **RECIPES[name]},
        batch_size=32,
        lr_scheduler="cosine",
        differential_privacy=privacy,
        checkpoints=(place, EVERY) if name == "run" else None,
        seed=emoji_sets.SEED,
        progress=False,
    )
    if name != "run":
        tuned.save(place)
    print(f"{name}: done", flush=True)


def main() -> None:
    """Make one of them, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*RECIPES, "all"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    for name in RECIPES if given.name == "all" else [given.name]:
        make(name, given.folder, given.device)


if __name__ == "__main__":
    main()
