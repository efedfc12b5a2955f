"""Fine-tuning on a card: what it learns there, and what DP-SGD keeps it from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import PipelineTarget, Sample, statistics
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.targets.queries import plan_queries
from privaudit.training import DifferentialPrivacy
from privaudit.training.fine_tuning import finetune
from tests.diffusion.test_families import (
    FAMILIES,
    quick,
    size_of,
    small,
    with_sharp_latents,
)
from tests.parts.pipelines import tiny_pipeline
from tests.zoo.registry import ZOO


def leak(pipeline: Any, sides: tuple[list[Sample], list[Sample]], size: Any) -> float:
    """AUC of an attacker with the weights, who has no doubt about what it measures."""
    scores = []
    for samples in sides:
        queries = plan_queries(samples, [sample.caption for sample in samples], 3, 0)
        measurement = DenoisingLoss(resolution=size)
        target = PipelineTarget(pipeline, num_inference_steps=2)
        rows = np.stack(measurement.rows(target, dict(enumerate(queries)), {}))
        rows = rows.reshape(len(samples), 3, -1)
        scores.append(measurement.features(rows, "mean").similarity)
    return statistics.auc(*scores)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_trains_and_a_step_is_what_it_is_on_a_cpu(
    name: str, emoji: dict[str, list[Sample]]
) -> None:
    samples = small(emoji["member"][:4], name)
    here = finetune(ZOO[name].build().to("cuda"), samples, **quick(name))
    there = finetune(ZOO[name].build(), samples, **quick(name))
    assert here.losses == pytest.approx(there.losses, rel=1e-2)
    assert here.pipeline.device.type == "cuda"


def test_it_memorises_on_a_card(emoji: dict[str, list[Sample]]) -> None:
    name = "StableDiffusionXLPipeline"
    sides = small(emoji["member"][:6], name), small(emoji["non_member"][:24], name)
    pipeline = with_sharp_latents(name, sides[0]).to("cuda")
    tuned = finetune(
        pipeline,
        sides[0],
        **quick(name, method="full", steps=300, batch_size=6, learning_rate=1e-2),
        lr_scheduler="cosine",
    ).pipeline
    before, after = (leak(one, sides, size_of(name)) for one in (pipeline, tuned))
    print(f"white-box AUC {before:.2f} before, {after:.2f} after")
    assert after >= 0.9 > before


@pytest.mark.parametrize("method", ["full", "lora", "bias"])
def test_dp_sgd_runs_on_a_card_and_says_what_it_did(
    method: str, emoji: dict[str, list[Sample]]
) -> None:
    tuned = finetune(
        tiny_pipeline().to("cuda"),
        emoji["member"][:16],
        method=method,
        steps=4,
        batch_size=8,
        progress=False,
        differential_privacy=DifferentialPrivacy(8.0, 1e-3, noise_seed=0),
    )
    assert tuned.epsilon is not None
    assert 0 < tuned.epsilon <= 8
    assert np.isfinite(tuned.losses).all()
