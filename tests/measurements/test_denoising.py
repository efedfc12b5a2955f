"""The denoising loss of a sample: what the weights give away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from privaudit import PipelineTarget, SavedPipeline, statistics
from privaudit.diffusion.families import family_of
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.errors import ScoreError
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.store import Store
from privaudit.targets import Query, as_target
from privaudit.targets.queries import plan_queries
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline


def asked(samples: list[Any], m: int = 1) -> list[Query]:
    return plan_queries(samples, [sample.caption for sample in samples], m, 0)


def features(pipeline: Any, samples: list[Any], m: int = 1) -> Any:
    target = PipelineTarget(pipeline, num_inference_steps=2)
    measurement = DenoisingLoss()
    rows = measurement.rows(target, dict(enumerate(asked(samples, m))), {})
    return measurement.features(np.stack(rows).reshape(len(samples), m, -1), "max")


def test_a_row_is_the_error_written_out(emoji: dict[str, Any]) -> None:
    pipeline = tiny_pipeline()
    queries = asked(emoji["member"][:2])
    rows = DenoisingLoss(4).rows(
        PipelineTarget(pipeline, num_inference_steps=2), dict(enumerate(queries)), {}
    )
    assert [row.shape for row in rows] == [(4,), (4,)]
    assert rows[0].dtype == np.float32
    family = family_of(pipeline)
    for query, row in zip(queries, rows, strict=True):
        latent = family.latents([query.sample], (16, 16))[0]
        draws = torch.Generator().manual_seed(query.seed)
        noise = torch.randn((4, *latent.shape[1:]), generator=draws)
        with torch.inference_mode():
            states = family.texts([query.prompt])["states"]
            for i, t in enumerate((125, 375, 625, 875)):
                alpha = pipeline.scheduler.alphas_cumprod[t]
                noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * noise[i]
                predicted = pipeline.unet(noisy, torch.tensor([t]), states).sample
                wanted = -float((predicted - noise[i]).square().mean())
                assert row[i] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
def test_a_real_fine_tune_denoises_its_members_better_and_its_base_does_not(
    emoji: dict[str, Any],
) -> None:
    models = AUDITS / "models"
    samples = [*emoji["member"][:20], *emoji["non_member"][:20]]
    queries = dict(enumerate(asked(samples)))
    found = {}
    for name, parts in {"base": {}, "overfit": {"unet": models / "overfit" / "unet"}}.items():
        target: Any = as_target(
            SavedPipeline(models / "base", device="cpu", **parts),
            num_inference_steps=2,
            guidance_scale=None,
            acceleration=None,
        )
        rows = np.stack(DenoisingLoss().rows(target, queries, {}))[:, None]
        scores = DenoisingLoss().features(rows, "mean").similarity
        found[name] = statistics.auc(scores[:20], scores[20:])
    assert found["overfit"] > 0.97
    assert found["base"] < 0.7


def test_the_prompt_and_the_draw_of_noise_matter_and_the_batch_does_not(
    emoji: dict[str, Any],
) -> None:
    pipeline, samples = tiny_pipeline(), emoji["member"][:3]
    together = features(pipeline, samples).vectors
    alone = np.concatenate([features(pipeline, [sample]).vectors for sample in samples])
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert not np.allclose(together[0], together[1], rtol=1e-4)


def test_an_engine_measures_it_without_a_single_image(emoji: dict[str, Any]) -> None:
    class Mute(PipelineTarget):
        def answer(self, queries: Any) -> Any:
            raise AssertionError("it was asked")

    store, queries = Store(None), asked(emoji["member"][:2])
    task = Task(Mute(tiny_pipeline(), num_inference_steps=2), DenoisingLoss(), 2)
    LocalEngine().run(task, queries, store, lambda _: None)
    assert len(store.arrays(task.keys(queries)[1])) == 2


def test_weights_that_are_not_there_are_refused(emoji: dict[str, Any]) -> None:
    queries: Any = dict(enumerate(asked(emoji["member"][:1])))
    with pytest.raises(ScoreError, match="shows no pipeline"):
        DenoisingLoss().rows(ObliviousTarget(), queries, {})
    bare = tiny_pipeline()
    bare.text_encoder = None
    target = PipelineTarget.__new__(PipelineTarget)
    target.__dict__["_pipeline"] = bare
    with pytest.raises(ScoreError, match="has no text_encoder"):
        DenoisingLoss().rows(target, queries, {})
