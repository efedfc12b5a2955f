"""What FSCA sees on the yardstick ``strength.py``, with a small CLIP that is trained here.

No CLIP's weights can be had from a package registry, so ``python benchmarks/strength_clip.py train
--folder F --sets S`` trains one: 32 px, 1 M parameters, contrastively on Noto's pairs and on those
of Twemoji that no target was trained on or asked about, which takes some minutes of one core.
``… report [NAME …]`` measures with it what ``strength.py make`` had targets answer, and prints the
AUC of scenario I as ``strength.py`` has it. A CLIP of 400 million pairs sees more.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import strength
import strength_sets
import strength_targets as targets
import torch
from common import show

from privaudit import load_encoder
from privaudit.attacks import make_attack
from privaudit.audit.scoring import beside_pool
from privaudit.encoders.clip import load_clip
from privaudit.measurements import AnswerSimilarity, ReconstructionSimilarity
from privaudit.measurements.captions import BLOCK, CaptionSimilarity
from privaudit.statistics import auc

if TYPE_CHECKING:
    from PIL import Image
    from strength_targets import Yard

    from privaudit.measurements import Features

    Pairs = list[tuple[Image.Image, str]]

EDGE, PATCH, WIDTH, LAYERS = 32, 8, 128, 3
STEPS, BATCH, RATE, WARM = 600, 96, 1e-3, 50
SHIFT = 3
"""Pixels that a picture is moved by at most, in each direction, while it is learned."""
HELD = 128
"""Pairs that are kept from training, to see whether anything was learned."""
DRAWS = 5
"""Of the known samples: a hundred times as long as the closed forms."""
METHODS = {
    "fsca": ("fsca", (BLOCK,)),
    "combined: own, pool": ("combined", (*strength.OWN, "pool")),
    "combined: own, pool, clip": ("combined", (*strength.OWN, "pool", BLOCK)),
}


def pairs_of(sets: Path) -> Pairs:
    """Return pictures and captions that no target but Noto's was asked about."""
    noto = strength_sets.emoji_sets.noto(sets / "noto" / "package", EDGE)
    spare = strength_sets.emoji_sets.twemoji("caption")
    return [*noto, *((sample.image, sample.caption) for sample in spare)]


def untrained() -> tuple[Any, Any]:
    """Make a CLIPModel of random weights, and its processor."""
    from transformers import (
        AutoTokenizer,
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
    )

    words = AutoTokenizer.from_pretrained(targets.BASE / "tokenizer")
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_attention_heads": 4,
        "num_hidden_layers": LAYERS,
    }
    text = {
        "vocab_size": len(words),
        "max_position_embeddings": 16,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**tower, **text},
        vision_config={**tower, "image_size": EDGE, "patch_size": PATCH},
        projection_dim=WIDTH,
    )
    edges = {"height": EDGE, "width": EDGE}
    pictures = CLIPImageProcessor(size={"shortest_edge": EDGE}, crop_size=edges)
    return CLIPModel(config), CLIPProcessor(pictures, words)


def learn(pairs: Pairs, steps: int = STEPS) -> tuple[Any, Any, float]:
    """Train contrastively; return model, processor, and how often a held picture finds its words.

    The last is among :data:`HELD` texts; by chance it is 1 in as many.
    """
    model, processor = untrained()
    given = processor(
        images=[image for image, _ in pairs],
        text=[caption for _, caption in pairs],
        padding="max_length",
        truncation=True,
        max_length=16,
        return_tensors="pt",
    )
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(1))
    held, seen = order[:HELD], order[HELD:]
    trained = model.train().parameters()
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.1, betas=(0.9, 0.98))
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    draws = torch.Generator().manual_seed(2)
    for _ in range(steps):
        chosen = seen[torch.randperm(len(seen), generator=draws)[:BATCH]]
        batch = {name: values[chosen] for name, values in given.items()}
        batch["pixel_values"] = _moved(batch["pixel_values"], draws)
        loss = model(**batch, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    with torch.inference_mode():
        alike = model.eval()(**{name: values[held] for name, values in given.items()})
    found = alike.logits_per_image.argmax(dim=1) == torch.arange(len(held))
    return model, processor, float(found.float().mean())


def _rate(step: int, steps: int) -> float:
    """Rise at first, then fall along a cosine."""
    return min(step / WARM, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def _moved(pixels: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Shift each picture a little, and make it a little lighter or darker."""
    edges = torch.nn.functional.pad(pixels, (SHIFT,) * 4, mode="replicate")
    places = torch.randint(0, 2 * SHIFT + 1, (len(pixels), 2), generator=draws).tolist()
    shifted = [
        one[:, y : y + EDGE, x : x + EDGE] for one, (y, x) in zip(edges, places, strict=True)
    ]
    light = 1 + 0.2 * torch.randn((len(pixels), 1, 1, 1), generator=draws)
    return torch.stack(shifted) * light


def measured(yard: Yard, folder: Path, sets: Path, measurement: Any) -> Features | None:
    """Measure a target's answers by the CLIP, too; members come first."""
    if yard.recipe != "none" and not targets.is_made(yard, folder):
        return None
    found = targets.Asked.of(yard, folder, sets).features(measurement)
    return None if found is None else beside_pool(found)


def aucs(features: Features, members: int, method: str) -> list[float]:
    """AUC of scenario I in each of the draws."""
    attack, blocks = METHODS[method]
    read = {name: features.blocks[name] for name in blocks}
    features = dataclasses.replace(features, blocks=read)
    labels, found = np.arange(len(features)) < members, []
    n = DRAWS if attack == "fsca" else strength.SPLITS
    for known, others in strength.split_known(members, len(labels), n):
        model = make_attack(attack, 0).fit(strength.part(features, known), labels[known])
        scores, of = model.score(strength.part(features, others)), labels[others]
        found.append(auc(scores[of], scores[~of]))
    return found


def report(yards: list[Yard], folder: Path, sets: Path) -> None:
    """Print what is seen with the CLIP, and without."""
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    paper = ReconstructionSimilarity(encoder, "cosine", "token")
    clip = load_clip(str(folder / "clip"), device="cpu")
    measurement = AnswerSimilarity(paper, pool=True, captions=CaptionSimilarity(clip))
    rows = []
    for yard in yards:
        features = measured(yard, folder, sets, measurement)
        if features is None:
            continue
        members = len(features) // 2
        found = [aucs(features, members, method) for method in METHODS]
        rows.append(
            [yard.name, yard.purpose, *(f"{np.mean(f):.3f} ± {np.std(f):.3f}" for f in found)]
        )
        print(*rows[-1], flush=True)
    show(rows, ["target", "for", *METHODS])


def main() -> None:
    """Train the CLIP, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["train", "report"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    given = parser.parse_intermixed_args()
    if given.step == "train":
        torch.set_num_threads(1)
        pairs = pairs_of(given.sets)
        model, processor, found = learn(pairs)
        model.save_pretrained(given.folder / "clip")
        processor.save_pretrained(given.folder / "clip")
        size = sum(part.numel() for part in model.parameters())
        print(f"{size} parameters, {len(pairs)} pairs; of {HELD} held back {found:.2f} are found")
        return
    yards = [yard for yard in targets.YARDS if not given.names or yard.name in given.names]
    report(yards, given.folder, given.sets)


if __name__ == "__main__":
    main()
