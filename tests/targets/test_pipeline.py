"""Targets: real pipelines, callables, controls, and everything they can answer wrongly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

from privaudit import PipelineTarget, Sample
from privaudit.errors import GeneratorError
from privaudit.targets import Query, as_target, load_pipeline
from privaudit.targets.acceleration import Acceleration
from privaudit.testing import MemorizingTarget, ObliviousTarget
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline, tiny_sdxl

PROMPTS = [f"prompt {i}" for i in range(130)]
SEEDS = [1000 + i for i in range(130)]


def in_batches(target: Any, size: int, order: Any) -> list[bytes]:
    images: dict[int, bytes] = {}
    step = target.batch_size(size)
    for start in range(0, len(order), step):
        part = list(order[start : start + step])
        answered = target.generate([PROMPTS[i] for i in part], [SEEDS[i] for i in part])
        images |= {i: image.tobytes() for i, image in zip(part, answered, strict=True)}
    return [images[i] for i in sorted(images)]


@pytest.mark.parametrize("model", ["tiny", pytest.param("base", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_batch_size_and_order_change_no_pixel(model: str) -> None:
    pipeline = (
        tiny_pipeline()
        if model == "tiny"
        else load_pipeline(AUDITS / "models" / "base", device="cpu")
    )
    target = PipelineTarget(pipeline, num_inference_steps=3)
    n = len(PROMPTS) if model == "tiny" else 40
    expected = in_batches(target, 16, range(n))
    assert len(set(expected)) == n
    shuffled = np.random.default_rng(0).permutation(n)
    for size in (1, 7, 16, 30) if n == 40 else (32, 64, 128):
        assert in_batches(target, size, shuffled) == expected


def test_a_seed_decides_the_image() -> None:
    target = PipelineTarget(tiny_pipeline(), num_inference_steps=2)
    one, other, same = target.generate(["x", "x", "x"], [1, 2, 1])
    assert one.tobytes() == same.tobytes() != other.tobytes()


def identity(pipeline: Any, **given: Any) -> str:
    return PipelineTarget(pipeline, **{"num_inference_steps": 2, **given}).fingerprint


def test_the_fingerprint_tells_whatever_changes_an_image() -> None:
    pipeline = tiny_pipeline()
    first = identity(pipeline)
    assert identity(tiny_pipeline()) == first
    others = [
        identity(pipeline, num_inference_steps=3),
        identity(pipeline, guidance_scale=1.0),
        identity(pipeline, height=32),
        identity(tiny_pipeline(seed=1)),
        identity(tiny_pipeline(beta_schedule="scaled_linear")),
    ]
    with torch.no_grad():
        next(pipeline.unet.parameters()).view(-1)[0] += 1e-3
    others.append(identity(pipeline))
    assert len({first, *others}) == 7


def test_the_fingerprint_tells_an_adapter_its_scale_and_whether_it_is_on() -> None:
    from peft import LoraConfig

    pipeline = tiny_pipeline()
    prints = [identity(pipeline, allow_inactive_adapters=True)]
    with torch.random.fork_rng(devices=[]):
        pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"]), "own")
    prints.append(identity(pipeline, allow_inactive_adapters=True))
    pipeline.unet.set_adapters("own", 0.5)
    prints.append(identity(pipeline, allow_inactive_adapters=True))
    pipeline.unet.disable_adapters()
    prints.append(identity(pipeline, allow_inactive_adapters=True))
    assert len(set(prints)) == 4
    pipeline.unet.enable_adapters()
    assert identity(pipeline, allow_inactive_adapters=True) == prints[2]


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_every_process() -> None:
    """Some of what diffusers keeps in a configuration has another order in every process."""
    code = (
        "from tests.parts.pipelines import tiny_pipeline; from privaudit import PipelineTarget;"
        "print(PipelineTarget(tiny_pipeline(), num_inference_steps=2).fingerprint)"
    )
    expected = identity(tiny_pipeline())
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=AUDITS.parent,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split()[-1] == expected


def encoded_rows(pipeline: Any) -> list[int]:
    """Count the texts that each call of the text encoder is given."""
    rows: list[int] = []
    pipeline.text_encoder.register_forward_hook(
        lambda _, __, output: rows.append(len(output[0])) and None
    )
    return rows


@pytest.mark.parametrize("make", [tiny_pipeline, tiny_sdxl])
@pytest.mark.parametrize("call", [{}, {"guidance_scale": 1.0}, {"negative_prompt": "blue"}])
def test_a_prompt_is_encoded_once_for_all_its_images(make: Any, call: dict[str, Any]) -> None:
    pipeline = make()
    rows = encoded_rows(pipeline)
    target = PipelineTarget(pipeline, num_inference_steps=2, **call)
    assert target._texts is not None  # it was tried, and changes nothing
    rows.clear()
    prompts = [f"prompt {i // 8}" for i in range(32)]
    answered = target.generate(prompts[:16], list(range(16)))
    answered += target.generate(prompts[16:], list(range(16, 32)))
    # Two prompts and two, in batches of the least size; the unconditional text came before.
    assert rows == [16] * 2
    rows.clear()
    target.generate(prompts[:16], list(range(16)))
    assert rows == []
    # And the images are those of plain calls with the text itself.
    own = 5.0 if make is tiny_sdxl else 7.5  # by the signature of its call
    call = {"num_inference_steps": 2, "guidance_scale": own, **call}
    if "negative_prompt" in call:
        call["negative_prompt"] = [call["negative_prompt"]] * 16
    for start in (0, 16):
        images = pipeline(
            prompts[start : start + 16],
            generator=[torch.Generator().manual_seed(i) for i in range(start, start + 16)],
            **call,
        ).images
        for image, ours in zip(images, answered[start : start + 16], strict=True):
            assert image.tobytes() == ours.tobytes()


def test_arguments_that_change_what_a_text_means_are_left_to_the_pipeline() -> None:
    pipeline = tiny_pipeline()
    plain = PipelineTarget(pipeline, num_inference_steps=2)
    skipping = PipelineTarget(pipeline, num_inference_steps=2, num_images_per_prompt=1)
    assert plain.generate(["a"], [1])[0].tobytes() == skipping.generate(["a"], [1])[0].tobytes()
    assert plain._texts is not None
    assert skipping._texts is None


@pytest.mark.slow
def test_accelerations_change_a_copy_and_its_fingerprint() -> None:
    pipeline = tiny_pipeline()
    plain = PipelineTarget(pipeline, num_inference_steps=3)
    before = plain.generate(["a"], [1])[0]
    prints, images = {plain.fingerprint}, []
    for acceleration in (
        Acceleration(scheduler="UniPCMultistepScheduler"),
        Acceleration(dtype="bfloat16"),
        Acceleration(channels_last=True),
    ):
        target = PipelineTarget(pipeline, num_inference_steps=3, acceleration=acceleration)
        images.append(np.asarray(target.generate(["a"], [1])[0], dtype=int))
        prints.add(target.fingerprint)
    assert len(prints) == 4
    reference = np.asarray(before, dtype=int)
    assert (images[0] != reference).any()  # another solver
    assert 0 < np.abs(images[1] - reference).mean() < 8  # eight bits of mantissa
    assert np.abs(images[2] - reference).max() <= 1  # another order of the same sums
    assert pipeline.unet.dtype == torch.float32
    assert type(pipeline.scheduler).__name__ == "DDIMScheduler"
    assert PipelineTarget(pipeline, num_inference_steps=3).fingerprint == plain.fingerprint
    assert plain.generate(["a"], [1])[0].tobytes() == before.tobytes()
    with pytest.raises(GeneratorError, match="diffusers has no scheduler 'Fast': name a class"):
        PipelineTarget(pipeline, acceleration=Acceleration(scheduler="Fast")).generate(["a"], [1])


class Combined(DiffusionPipeline):
    """A pipeline that makes one of its parts, as diffusers' combined ones do."""

    def __init__(
        self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any
    ) -> None:
        super().__init__()
        parts = {
            "vae": vae,
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "unet": unet,
            "scheduler": scheduler,
        }
        self.register_modules(**parts)
        absent = dict.fromkeys(("safety_checker", "feature_extractor"))
        self.inner = StableDiffusionPipeline(**parts, **absent, requires_safety_checker=False)
        self.inner.set_progress_bar_config(disable=True)

    def __call__(self, prompt: Any, generator: Any = None, num_inference_steps: int = 9) -> Any:
        return self.inner(prompt, generator=generator, num_inference_steps=num_inference_steps)


def test_accelerations_reach_the_pipelines_inside_a_combined_one() -> None:
    parts = tiny_pipeline().components
    given = Combined(**{name: part for name, part in parts.items() if part is not None})
    one, other = (
        PipelineTarget(given, num_inference_steps=3, acceleration=Acceleration(scheduler=name))
        for name in (None, "UniPCMultistepScheduler")
    )
    pictures = [target.generate(["a"], [1])[0].tobytes() for target in (one, other)]
    assert pictures[0] != pictures[1]
    assert one.probe != other.probe
    assert type(given.inner.scheduler).__name__ == "DDIMScheduler"


@pytest.mark.slow
def test_a_compiled_denoiser_draws_the_same_picture() -> None:
    plain = PipelineTarget(tiny_pipeline(), num_inference_steps=2)
    compiled = PipelineTarget(
        tiny_pipeline(), num_inference_steps=2, acceleration=Acceleration(compile=True)
    )
    assert compiled.fingerprint != plain.fingerprint
    images = [np.asarray(g.generate(["a"], [1])[0], dtype=int) for g in (plain, compiled)]
    assert np.abs(images[0] - images[1]).max() <= 2


def test_the_time_of_an_image_is_estimated_from_a_few_steps() -> None:
    pipeline = tiny_pipeline()
    few = PipelineTarget(pipeline, num_inference_steps=4).seconds_per_image()
    many = PipelineTarget(pipeline, num_inference_steps=400).seconds_per_image()
    assert few is not None
    assert many is not None
    assert 0 < few < many


def test_where_a_pipeline_was_loaded_from_changes_no_fingerprint(tmp_path: Any) -> None:
    for folder in ("here", "there"):
        tiny_pipeline().save_pretrained(tmp_path / folder)
    here, there = (
        identity(load_pipeline(tmp_path / folder, device="cpu")) for folder in ("here", "there")
    )
    assert here == there


def test_nan_weights_are_an_error_and_not_a_black_image() -> None:
    pipeline = tiny_pipeline()
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(GeneratorError, match="1 of 1 images of StableDiffusionPipeline have NaN"):
        PipelineTarget(pipeline, num_inference_steps=1).generate(["a", "b"], [0, 1])


def test_a_safety_checker_that_blanks_images_is_an_error() -> None:
    pipeline = tiny_pipeline()

    def blank(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return image * 0, [True] * len(image)

    pipeline.run_safety_checker = blank
    with pytest.raises(GeneratorError, match="blanked 1 of 1 images"):
        PipelineTarget(pipeline, num_inference_steps=1).generate(["a"], [0])


def square(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), seed % 256) for seed in seeds]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda p, s: square(p, s)[:-1], "returned 1 images for 2 prompts"),
        (lambda p, s: [np.zeros((8, 8, 3))] * 2, "returned a ndarray for prompt 'a'"),
        (lambda p, s: None, "returned a NoneType"),
        (lambda p, s: [Image.new("F", (8, 8), float("nan"))] * 2, "NaN or infinite values"),
        (lambda p, s: 1 / 0, "raised ZeroDivisionError on a batch of 2 prompts, the first 'a'"),
    ],
)
def test_wrong_answers_are_typed_errors(function: Any, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        as_target(function).generate(["a", "b"], [0, 1])


class Service:
    """What a user wrote before anybody told of ``answer``."""

    fingerprint = "service-1"

    def generate(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return square(prompts, seeds)


def test_an_object_that_generates_is_a_target() -> None:
    target = as_target(Service())
    assert target.fingerprint == "callable:service-1"
    assert target.persistent
    sample = Sample(Image.new("RGB", (8, 8)), "a")
    (answer,) = target.answer([Query(sample, "a", 0, 7)])
    assert answer.query.seed == 7
    assert answer.image.getpixel((0, 0)) == (7, 0, 0)
    assert target.describe() == {"class": "Service.generate", "identity": "callable:service-1"}


def test_a_pipeline_says_what_really_runs() -> None:
    from peft import LoraConfig

    pipeline = tiny_pipeline()
    with torch.random.fork_rng(devices=[]):
        pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"]), "own")
    pipeline.unet.set_adapters("own", 0.5)
    target = PipelineTarget(
        pipeline,
        num_inference_steps=3,
        height=32,
        acceleration=Acceleration(scheduler="UniPCMultistepScheduler", dtype="bfloat16"),
    )
    described = target.describe()
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "class": "StableDiffusionPipeline",
        "identity": target.fingerprint,
        "device": "cpu",
        "dtype": "bfloat16",
        "scheduler": "UniPCMultistepScheduler",
        "call": {"num_inference_steps": 3, "guidance_scale": 7.5, "height": 32},
        "adapters": [{"name": "own", "component": "unet", "scale": 0.5, "active": True}],
        "acceleration": {"scheduler": "UniPCMultistepScheduler", "dtype": "bfloat16"},
    }
    pipeline.unet.disable_adapters()
    target = PipelineTarget(pipeline, num_inference_steps=2, allow_inactive_adapters=True)
    (adapter,) = target.describe()["adapters"]
    assert not adapter["active"]


def test_callables_without_a_fingerprint_are_not_persistent() -> None:
    assert not as_target(square).persistent
    square.fingerprint = "squares-1"  # type: ignore[attr-defined]
    assert as_target(square).persistent
    assert as_target(square).fingerprint == "callable:squares-1"


def test_what_cannot_generate_is_refused() -> None:
    with pytest.raises(GeneratorError, match=r"return privaudit\.load_pipeline\('runs/stamps'\)"):
        as_target("runs/stamps")
    with pytest.raises(GeneratorError, match="int cannot generate images"):
        as_target(3)
    with pytest.raises(GeneratorError, match="takes no spin: is it text-to-image"):
        PipelineTarget(tiny_pipeline(), spin=1)
    with pytest.raises(GeneratorError, match="does not exist"):
        load_pipeline("/no/such/folder")


def test_the_controls_remember_everything_and_nothing(emoji: dict[str, Any]) -> None:
    members = emoji["member"][:3]
    memorizing = MemorizingTarget(members)
    answered = memorizing.generate([m.caption for m in members], [0, 0, 0])
    assert [a.tobytes() for a in answered] == [m.image.tobytes() for m in members]
    unknown = memorizing.generate(["not in there"] * 2, [1, 2])
    assert unknown[0].tobytes() != unknown[1].tobytes()
    oblivious = ObliviousTarget((16, 16))
    one, other = oblivious.generate(["a", "b"], [5, 5])
    assert one.tobytes() == other.tobytes()
    assert one.size == (16, 16)


@pytest.mark.parametrize(("own", "clips"), [("DPMSolverMultistep", False), ("DDPM", True)])
def test_a_scheduler_in_anothers_place_clips_as_that_one_does(own: str, clips: bool) -> None:
    import diffusers

    pipeline = tiny_pipeline()
    pipeline.scheduler = getattr(diffusers, f"{own}Scheduler")()
    for name in ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"):
        target = PipelineTarget(pipeline, acceleration=Acceleration(scheduler=name))
        assert target.pipeline.scheduler.config.get("clip_sample", clips) is clips
    assert type(pipeline.scheduler).__name__ == f"{own}Scheduler"


@pytest.mark.slow
def test_ddim_draws_what_the_pipelines_own_scheduler_draws(emoji: dict[str, Any]) -> None:
    models, sample = AUDITS / "models", emoji["member"][2]
    pipeline = load_pipeline(models / "base", unet=models / "overfit" / "unet", device="cpu")
    member = np.asarray(sample.image.convert("RGB"), dtype=float).ravel()
    for name in (None, "DDIMScheduler"):
        target = PipelineTarget(
            pipeline,
            num_inference_steps=10,
            guidance_scale=3.0,
            acceleration=Acceleration(scheduler=name),
        )
        [drawn] = target.generate([sample.caption], [2])
        assert np.corrcoef(np.asarray(drawn, dtype=float).ravel(), member)[0, 1] > 0.9
