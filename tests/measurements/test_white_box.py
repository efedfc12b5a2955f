"""What an attacker with the weights measures: five attacks, each on real weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from privaudit import PipelineTarget, SavedPipeline, statistics
from privaudit.attacks import registry
from privaudit.diffusion.families import family_of
from privaudit.diffusion.objective import FlowMatching, NoisePrediction, Schedule
from privaudit.errors import ScoreError, SettingError
from privaudit.targets import as_target
from privaudit.targets.queries import plan_queries
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline

NAMES = registry.white_box_names()
WIDTHS = {"denoising": 10, "pia": 4, "secmi": 1, "sima": 4, "clid": 10}


def rows(name: str, target: Any, samples: list[Any]) -> Any:
    queries = plan_queries(samples, [sample.caption for sample in samples], 1, 0)
    return np.stack(
        registry.make_with_access(registry.WEIGHTS, name).rows(target, dict(enumerate(queries)), {})
    )


OBJECTIVES = {
    kind: NoisePrediction(DDPMScheduler(prediction_type=kind))
    for kind in ("epsilon", "v_prediction")
} | {"flow": FlowMatching(FlowMatchEulerDiscreteScheduler(shift=3.0), Schedule())}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_right_prediction_implies_what_noisy_latents_were_made_of(kind: str) -> None:
    objective: Any = OBJECTIVES[kind]
    draws = torch.Generator().manual_seed(0)
    latents, noise = torch.randn((2, 5, 4, 8, 8), generator=draws)
    levels = torch.tensor([objective.level(share) for share in (0.0, 0.1, 0.4, 0.7, 0.95)])
    noisy, _ = objective.noisy(latents, noise, levels)
    right = {
        "epsilon": noise,
        "v_prediction": OBJECTIVES["v_prediction"]._scheduler.get_velocity(latents, noise, levels),
        "flow": noise - latents,
    }[kind]
    assert float(objective.errors(right, latents, noise, levels).max()) < 1e-9
    found = objective.implied(right, noisy, levels)
    torch.testing.assert_close(found[0], latents, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1], noise, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_level_is_a_share_of_the_way_to_noise(kind: str) -> None:
    objective: Any = OBJECTIVES[kind]
    ladder = [objective.level(share) for share in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert len(set(ladder)) == 5
    assert {min(ladder), max(ladder)} == {0, objective.levels - 1}
    zeros, ones = torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1)
    spread = objective.noisy(zeros, ones, torch.tensor(ladder))[0].flatten().tolist()
    assert spread == sorted(spread)
    assert spread[0] < 0.1 < 0.9 < spread[-1]


def test_the_norm_and_the_proximal_change_are_what_their_papers_write(
    emoji: dict[str, Any],
) -> None:
    pipeline, samples = tiny_pipeline(), emoji["member"][:2]
    target = PipelineTarget(pipeline, num_inference_steps=2)
    sima, pia = rows("sima", target, samples), rows("pia", target, samples)
    family = family_of(pipeline)
    for i, sample in enumerate(samples):
        clean = family.latents([sample], (16, 16))[0]
        with torch.inference_mode():
            states = family.texts([sample.caption])["states"]

            def seen(latents: Any, t: int, states: Any = states) -> Any:
                return pipeline.unet(latents, torch.tensor([t]), states).sample

            first = seen(clean, 0)
            for j, t in enumerate((100, 200, 300, 400)):
                kept = pipeline.scheduler.alphas_cumprod[t]
                second = seen(kept.sqrt() * clean + (1 - kept).sqrt() * first, t)
                norm = float((seen(clean, t) ** 4).mean() ** 0.25)
                change = float(((second - first) ** 4).mean() ** 0.25)
                assert sima[i, j] == pytest.approx(-norm, rel=1e-4)
                assert pia[i, j] == pytest.approx(-change, rel=1e-4)


def test_the_stepwise_error_is_that_of_ddims_own_steps(emoji: dict[str, Any]) -> None:
    from diffusers import DDIMInverseScheduler, DDIMScheduler

    pipeline, [sample] = tiny_pipeline(), emoji["member"][:1]
    family = family_of(pipeline)
    at = family.latents([sample], (16, 16))[0]
    config = pipeline.scheduler.config | {"steps_offset": 0, "set_alpha_to_one": False}
    config |= {"clip_sample": False, "timestep_spacing": "leading"}
    back, on = DDIMScheduler.from_config(config), DDIMInverseScheduler.from_config(config)
    levels = on.config.num_train_timesteps
    for scheduler in (back, on):
        scheduler.set_timesteps(levels // 10)
    with torch.inference_mode():
        states = family.texts([sample.caption])["states"]

        def seen(latents: Any, t: int) -> Any:
            return pipeline.unet(latents, torch.tensor([t]), states).sample

        def moved(latents: Any, t: int, to: int) -> Any:
            # diffusers' own arithmetic of one step, told at which of its timesteps it is
            if to < t:
                return back.step(seen(latents, t), t, latents).prev_sample
            return on.step(seen(latents, t), to, latents).prev_sample

        for t in range(0, 100, 10):
            at = moved(at, t, t + 10)
        again = moved(moved(at, 100, 110), 110, 100)
    wanted = -float((again - at).square().mean())
    [found] = rows("secmi", PipelineTarget(pipeline, num_inference_steps=2), [sample])
    assert found[0] == pytest.approx(wanted, rel=1e-3)


def test_the_discrepancy_is_what_the_caption_takes_off_the_loss(emoji: dict[str, Any]) -> None:
    target, samples = PipelineTarget(tiny_pipeline(), num_inference_steps=2), emoji["member"][:2]
    told = rows("denoising", target, samples)
    queries = plan_queries(samples, ["", ""], 1, 0)
    measurement = registry.make_with_access(registry.WEIGHTS, "denoising")
    seeds = plan_queries(samples, [sample.caption for sample in samples], 1, 0)
    asked = {
        i: dataclasses.replace(query, seed=seed.seed)
        for i, (query, seed) in enumerate(zip(queries, seeds, strict=True))
    }
    untold = np.stack(measurement.rows(target, asked, {}))
    np.testing.assert_allclose(rows("clid", target, samples), told - untold, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_the_batch_and_are_told_apart_by_name(
    name: str, emoji: dict[str, Any]
) -> None:
    target, samples = PipelineTarget(tiny_pipeline(), num_inference_steps=2), emoji["member"][:3]
    together = rows(name, target, samples)
    assert together.shape == (3, WIDTHS[name])
    assert together.dtype == np.float32
    alone = np.concatenate([rows(name, target, [sample]) for sample in samples])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)
    identities = {registry.make_with_access(registry.WEIGHTS, other).identity for other in NAMES}
    assert len(identities) == len(NAMES)


def test_what_has_no_weights_and_what_has_no_name_are_refused(emoji: dict[str, Any]) -> None:
    with pytest.raises(ScoreError, match=r"shows no pipeline, and the norm of the score \(SimA\)"):
        rows("sima", ObliviousTarget(), emoji["member"][:1])
    with pytest.raises(SettingError, match="'lira' is unknown: choose from denoising, pia"):
        registry.make_with_access(registry.WEIGHTS, "lira")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_real_fine_tune_gives_its_members_away_and_its_base_does_not(
    name: str, emoji: dict[str, Any]
) -> None:
    models, n = AUDITS / "models", 30
    samples = [*emoji["member"][:n], *emoji["non_member"][:n]]
    found = {}
    for which, parts in {"base": {}, "overfit": {"unet": models / "overfit" / "unet"}}.items():
        saved: Any = SavedPipeline(models / "base", device="cpu", **parts)
        target = as_target(saved, num_inference_steps=2, guidance_scale=None, acceleration=None)
        scores = rows(name, target, samples).mean(axis=1)
        found[which] = statistics.auc(scores[:n], scores[n:])
    assert found["overfit"] > 0.85
    assert found["base"] < 0.68
