"""What a picture handed in shows, in one step without guidance and in the pipeline's own steps.

``python benchmarks/picture_steps.py`` asks the models of audits/ about each of their members and
non-members. The score is the structural similarity of the sample and of
what came back, less that of the base's answer to the same sample and noise; nothing is fitted.
``evaluations`` are those of the target's denoiser, a sample.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

from common import show

import emoji_sets
import privaudit
from privaudit.measurements.pixels import structural_similarities
from privaudit.statistics import auc_interval
from privaudit.targets.image_to_image import varied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit import Sample

STRENGTH = 0.5
CALL = {"num_inference_steps": 10, "guidance_scale": 3.0}
MODELS: dict[str, tuple[dict[str, Any], str, str]] = {
    "over-fitted": ({"unet": "overfit/unet"}, "member", "non_member"),
    "LoRA": ({"lora": "shadow"}, "shadow_member", "shadow_non_member"),
    "DP-SGD": ({"biases": "dp"}, "member", "non_member"),
}
HEADERS = ["model", "asked", "answers", "evaluations", "AUC", "bounds", "AUC without the base"]


def target(**parts: str) -> Any:
    """Load a pipeline of audits/ with its own settings."""
    folders = {name: emoji_sets.MODELS / folder for name, folder in parts.items()}
    saved = privaudit.SavedPipeline(emoji_sets.MODELS / "base", **folders, device="cpu")
    return privaudit.PipelineTarget(saved.pipeline, **CALL)


def similarities(model: Any, samples: Sequence[Sample], m: int, *, once: bool) -> np.ndarray:
    """Return the structural similarity of each sample and its m answers, shape (n, m)."""
    columns = []
    images = [sample.image for sample in samples]
    for draw in range(m):
        seeds = [draw * len(samples) + i for i in range(len(samples))]
        answers = []
        for start in range(0, len(samples), 64):
            part = slice(start, start + 64)
            captions = [sample.caption for sample in samples[part]]
            answers += varied(model, images[part], captions, seeds[part], STRENGTH, once=once)
        columns.append(structural_similarities(images, answers))
    return np.stack(columns, axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    m = parser.parse_args().draws
    base, rows = target(), []
    for name, (parts, inside, outside) in MODELS.items():
        members, others = emoji_sets.twemoji(inside), emoji_sets.twemoji(outside)
        samples = [*members, *others]
        model = target(**parts)
        for once in (True, False):
            own = similarities(model, samples, m, once=once)
            its = similarities(base, samples, m, once=once)
            cost = 1 if once else CALL["num_inference_steps"]  # half the steps, twice a guided one
            for answers in (1, m):
                scores = (own - its)[:, :answers].mean(axis=1)
                alone = own[:, :answers].mean(axis=1)
                n = len(members)
                bounds = auc_interval(scores[:n], scores[n:], 0.95)
                plain = auc_interval(alone[:n], alone[n:], 0.95)
                how = "one step, no guidance" if once else "5 of 10 steps, guidance 3"
                between = f"{bounds.low:.3f}-{bounds.high:.3f}"
                row = [name, how, answers, answers * cost, f"{bounds.auc:.3f}", between]
                rows.append([*row, f"{plain.auc:.3f}"])
    show(rows, HEADERS)


if __name__ == "__main__":
    main()
