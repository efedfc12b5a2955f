"""Fine-tuning real pipelines: it learns, it leaves the original alone, it keeps DP's promise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)

from privaudit import PipelineTarget, Sample
from privaudit.diffusion.objective import denoising_loss
from privaudit.errors import FineTuneError, GeneratorError, SettingError
from privaudit.fingerprint import fingerprint_module
from privaudit.targets import load_pipeline
from privaudit.training import DifferentialPrivacy
from privaudit.training.fine_tuning import FineTune, finetune
from privaudit.training.recipe import Recipe
from tests.parts.pipelines import tiny_flux, tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {"steps": 40, "batch_size": 8, "learning_rate": 5e-3, "progress": False}


@pytest.mark.parametrize(
    "prediction_type", ["epsilon", pytest.param("v_prediction", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("method", ["lora", "full", "bias"])
def test_the_loss_falls_and_the_original_is_left_alone(
    method: Any, prediction_type: str, emoji: dict[str, Any]
) -> None:
    pipeline = tiny_pipeline(prediction_type=prediction_type)
    before = fingerprint_module(pipeline.unet)
    samples = emoji["member"][:8]
    tuned = finetune(pipeline, samples, method=method, **STEPS)
    assert fingerprint_module(pipeline.unet) == before
    assert len(tuned.losses) == 40
    assert denoising_loss(tuned.pipeline, samples) < 0.9 * denoising_loss(pipeline, samples)
    assert tuned.epsilon is None


def test_a_seed_repeats_a_fine_tune(emoji: dict[str, Any]) -> None:
    first, again, other = (
        finetune(tiny_pipeline(), emoji["member"][:8], seed=seed, **{**STEPS, "steps": 5})
        for seed in (1, 1, 2)
    )
    assert first.losses == again.losses != other.losses
    assert fingerprint_module(first.pipeline.unet) == fingerprint_module(again.pipeline.unet)


def assert_restored(original: Any, tuned: Any, loaded: Any) -> None:
    """The loaded pipeline draws what the tuned one does, and not what the original did."""
    images = []
    for model in (original, tuned, loaded):
        model.set_progress_bar_config(disable=True)
        generated = PipelineTarget(model, num_inference_steps=4).generate(["honey pot"], [3])
        images.append(np.asarray(generated[0], dtype=int))
    assert abs(images[1] - images[2]).max() <= 2  # float16 on disk
    assert abs(images[0] - images[1]).max() > 2


@pytest.mark.slow
def test_a_saved_adapter_gives_the_same_images(tmp_path: Path, emoji: dict[str, Any]) -> None:
    pipeline = tiny_pipeline()
    tuned = finetune(pipeline, emoji["member"][:8], lora_rank=4, **STEPS)
    pipeline.save_pretrained(tmp_path / "base")
    tuned.save_lora(tmp_path / "lora")
    loaded = load_pipeline(tmp_path / "base", lora=tmp_path / "lora", device="cpu")
    assert_restored(pipeline, tuned.pipeline, loaded)


@pytest.mark.slow
def test_saved_biases_give_the_same_images(tmp_path: Path, emoji: dict[str, Any]) -> None:
    pipeline = tiny_pipeline()
    tuned = finetune(pipeline, emoji["member"][:8], method="bias", **STEPS)
    kept = {k: v for k, v in pipeline.unet.state_dict().items() if not k.endswith("bias")}
    assert all(torch.equal(tuned.pipeline.unet.state_dict()[k], v) for k, v in kept.items())
    pipeline.save_pretrained(tmp_path / "base")
    tuned.save_biases(tmp_path / "biases")
    loaded = load_pipeline(tmp_path / "base", biases=tmp_path / "biases", device="cpu")
    assert_restored(pipeline, tuned.pipeline, loaded)
    with pytest.raises(GeneratorError, match="biases '/no/such' does not exist"):
        load_pipeline(tmp_path / "base", biases="/no/such", device="cpu")
    other = UNet2DConditionModel.from_config({**pipeline.unet.config, "layers_per_block": 2})
    other.save_pretrained(tmp_path / "base" / "unet")
    with pytest.raises(GeneratorError, match="biases that are not those of this unet"):
        load_pipeline(tmp_path / "base", biases=tmp_path / "biases", device="cpu")


@pytest.mark.slow
def test_the_text_encoder_can_be_trained_too(emoji: dict[str, Any]) -> None:
    pipeline = tiny_pipeline()
    before = fingerprint_module(pipeline.text_encoder)
    tuned = finetune(
        pipeline,
        emoji["member"][:8],
        method="full",
        train_text_encoder=True,
        ema_decay=0.9,
        **STEPS,
    )
    assert fingerprint_module(pipeline.text_encoder) == before
    assert fingerprint_module(tuned.pipeline.text_encoder) != before


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=pytest.mark.slow) for m in ("bias", "lora", "full")],
)
def test_dp_sgd_spends_what_it_was_given(method: Any, emoji: dict[str, Any]) -> None:
    tuned = finetune(
        tiny_pipeline(),
        emoji["member"][:16],
        method=method,
        differential_privacy=DifferentialPrivacy(
            4.0, 1e-3, max_physical_batch_size=3, noise_seed=0
        ),
        **{**STEPS, "steps": 12},
    )
    assert tuned.epsilon is not None
    assert 3.5 < tuned.epsilon <= 4.0
    assert tuned.noise_multiplier is not None
    assert tuned.noise_multiplier > 0.5
    assert not any(
        hasattr(p, "grad_sample") and p.grad_sample is not None
        for p in tuned.pipeline.unet.parameters()
    )


def with_part(**parts: Any) -> Any:
    pipeline = tiny_pipeline()
    pipeline.register_modules(**parts)
    return pipeline


def autoencoder_tiny() -> Any:
    blocks = {f"{side}_block_out_channels": (8, 8) for side in ("encoder", "decoder")}
    counts = {f"num_{side}_blocks": (1, 1) for side in ("encoder", "decoder")}
    return AutoencoderTiny(**blocks, **counts)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (tiny_flux, "FluxPipeline has no text_encoder_2, and finetune encodes"),
        (lambda: with_part(vae=autoencoder_tiny()), "has a AutoencoderTiny, which gives no distr"),
        (
            lambda: with_part(scheduler=FlowMatchEulerDiscreteScheduler()),
            "a FlowMatchEulerDiscreteScheduler adds no noise step by step",
        ),
    ],
    ids=["Flux", "AutoencoderTiny", "flow matching"],
)
def test_what_cannot_be_trained_here_is_refused_before_it_is(
    make: Any, said: str, emoji: dict[str, Any]
) -> None:
    with pytest.raises(FineTuneError, match=said):
        finetune(make(), emoji["member"][:2], progress=False)


def test_rectangular_samples_are_trained_on(emoji: dict[str, Any]) -> None:
    wide = [Sample(s.image.resize((48, 32)), s.caption) for s in emoji["member"][:2]]
    assert len(finetune(tiny_pipeline(), wide, **{**STEPS, "steps": 1}).losses) == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"steps": 0}, "steps=0 is below 1"),
        ({"method": "dreambooth"}, "method='dreambooth' is unknown"),
        ({"caption_dropout": 1.0}, "caption_dropout=1.0 is outside"),
        ({"train_text_encoder": True}, "goes with method='full' only"),
    ],
)
def test_bad_settings_are_refused(
    setting: dict[str, Any], said: str, emoji: dict[str, Any]
) -> None:
    with pytest.raises(SettingError, match=said):
        finetune(tiny_pipeline(), emoji["member"][:2], progress=False, **setting)


def test_bad_privacy_targets_are_refused() -> None:
    with pytest.raises(SettingError, match="epsilon=-1"):
        DifferentialPrivacy(-1, 1e-3)
    with pytest.raises(SettingError, match="delta=1"):
        DifferentialPrivacy(1, 1)
    with pytest.raises(SettingError, match="epsilon=nan"):
        DifferentialPrivacy(math.nan, 1e-3)


def test_a_pipeline_without_a_unet_and_a_diverging_loss_are_errors(emoji: dict[str, Any]) -> None:
    class Other:
        unet = None

    with pytest.raises(
        FineTuneError, match="Other has no denoiser: finetune trains Stable Diffusion"
    ):
        finetune(Other(), emoji["member"][:2])
    with pytest.raises(FineTuneError, match="0 samples"):
        finetune(tiny_pipeline(), [])
    broken = tiny_pipeline()
    with torch.no_grad():
        broken.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(FineTuneError, match="loss is nan at step 1: lower learning_rate"):
        finetune(broken, emoji["member"][:2], method="full", **STEPS)


def test_a_recipe_is_known_by_its_fields_and_its_base() -> None:
    one = FineTune(tiny_pipeline(), steps=2)
    keys = {
        one.fingerprint,
        FineTune(tiny_pipeline(seed=1), steps=2).fingerprint,
        *(
            dataclasses.replace(one, **{field.name: value}).fingerprint
            for field, value in zip(
                dataclasses.fields(Recipe),
                (
                    *("full", 3, 5, 2, 1e-3, "cosine", 4, ("to_q",), 16, True, False, 0.2, 0.9),
                    *(DifferentialPrivacy(4.0, 1e-3), 1),
                ),
                strict=True,
            )
        ),
    }
    # All but train_text_encoder, whose value here is the default, make another model.
    assert len(keys) == len(dataclasses.fields(Recipe)) + 1
    assert FineTune(tiny_pipeline(), steps=2).fingerprint == one.fingerprint
    both = (FineTune(tiny_pipeline(), method="full", train_text_encoder=on) for on in (True, False))
    assert len({recipe.fingerprint for recipe in both}) == 2
    hooked = tiny_pipeline()
    hooked.unet.register_forward_hook(lambda *given: (given[2][0] * 0.5,))
    assert FineTune(hooked, steps=2).fingerprint != one.fingerprint


def test_a_base_may_be_a_folder_which_is_read_when_it_is_needed(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    settings: dict[str, Any] = {"method": "bias", "steps": 2, "batch_size": 2}
    recipe = FineTune(tmp_path, **settings)
    tuned = finetune(tmp_path, emoji["member"][:2], progress=False, **settings)
    assert recipe(emoji["member"][:2], progress=False).losses == tuned.losses
    with pytest.raises(GeneratorError, match=r"base '/no/such' does not exist"):
        FineTune("/no/such")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.steps = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="unexpected keyword argument 'step'"):
        finetune(tmp_path, emoji["member"][:2], step=2)
