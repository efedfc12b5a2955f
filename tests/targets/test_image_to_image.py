"""Pictures handed in beside the text: what a pipeline's image-to-image form draws of them."""

from __future__ import annotations

import functools
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from privaudit import PictureFolder, PipelineTarget, SavedPipeline
from privaudit.errors import GeneratorError
from privaudit.targets import as_target
from privaudit.targets.image_to_image import varied
from privaudit.testing import ObliviousTarget
from tests.parts.pipelines import tiny_pipeline
from tests.zoo.families import ZOO

SEEDS = [11, 12, 13]


def built(name: str, **call: Any) -> PipelineTarget:
    if name == "tiny":
        return PipelineTarget(tiny_pipeline(), **call)
    kind = ZOO[name]
    return PipelineTarget(kind.build(), **(kind.call | call))


def asked(emoji: dict[str, Any]) -> tuple[list[Image.Image], list[str]]:
    samples = emoji["member"][: len(SEEDS)]
    return [sample.image for sample in samples], [sample.caption for sample in samples]


def apart(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        pytest.param("StableDiffusionXLPipeline", marks=pytest.mark.slow),
        pytest.param("StableDiffusion3Pipeline", marks=pytest.mark.slow),
        pytest.param("FluxPipeline", marks=pytest.mark.slow),
    ],
)
def test_a_picture_depends_on_its_own_query_and_not_on_its_batch(
    name: str, emoji: dict[str, Any]
) -> None:
    target, (images, prompts) = built(name, num_inference_steps=4), asked(emoji)
    together = varied(target, images, prompts, SEEDS, 0.5)
    assert {picture.size for picture in together} == {target.probe_pictures[0].size}
    one = [[given[1]] for given in (images, prompts, SEEDS)]
    assert apart(varied(target, *one, 0.5)[0], together[1]) <= 1
    others = [
        varied(target, images[:1], prompts[1:2], SEEDS[1:2], 0.5)[0],
        varied(target, images[1:2], prompts[1:2], SEEDS[:1], 0.5)[0],
        varied(target, images[1:2], prompts[1:2], SEEDS[1:2], 0.9)[0],
    ]
    assert all(apart(other, together[1]) for other in others)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("tiny", {"guidance_scale": 2.0, "negative_prompt": "blurred"}),
        pytest.param("StableDiffusion3Pipeline", {"guidance_scale": 2.0}, marks=pytest.mark.slow),
    ],
)
def test_it_is_what_diffusers_own_pipeline_draws_when_it_is_asked_the_same(
    name: str, call: dict[str, Any], emoji: dict[str, Any]
) -> None:
    from diffusers import AutoPipelineForImage2Image

    target, (images, prompts) = built(name, num_inference_steps=4, **call), asked(emoji)
    pipeline = AutoPipelineForImage2Image.from_pipe(target.pipeline)
    pipeline.set_progress_bar_config(disable=True)
    [found] = varied(target, images[:1], prompts[:1], SEEDS[:1], 0.6)
    size = target.probe_pictures[0].size
    [expected] = pipeline(
        prompts[0],
        image=images[0].resize(size, Image.Resampling.LANCZOS),
        strength=0.6,
        generator=torch.Generator().manual_seed(SEEDS[0]),
        **(ZOO[name].call if name in ZOO else {}) | {"num_inference_steps": 4} | call,
    ).images
    assert apart(found, expected) <= 1
    [else_] = varied(built(name, num_inference_steps=4), images[:1], prompts[:1], SEEDS[:1], 0.6)
    assert apart(found, else_) > 1


def test_where_a_strength_leaves_no_step_more_are_asked_for(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    steps, real = [], StableDiffusionImg2ImgPipeline.__call__

    @functools.wraps(real)
    def counted(self: Any, **given: Any) -> Any:
        steps.append((given["num_inference_steps"], given["strength"]))
        return real(self, **given)

    images, prompts = asked(emoji)
    target = PipelineTarget(tiny_pipeline(), num_inference_steps=3)
    varied(target, images, prompts, SEEDS, 0.5)
    monkeypatch.setattr(StableDiffusionImg2ImgPipeline, "__call__", counted)
    for strength, least in ((0.1, 10), (0.3, 4), (0.49, 3), (0.7, 3)):
        varied(target, images, prompts, SEEDS, strength)
        assert steps.pop() == (least, strength)


@pytest.mark.parametrize(
    ("scheduler", "spacing", "evaluations", "guided"),
    [
        ("DPMSolverMultistepScheduler", "linspace", 1, False),
        ("DDIMScheduler", "trailing", 1, False),
        # Its last of two steps begins where nearly no noise is: it would give the picture back.
        ("DDIMScheduler", "leading", 2, True),
    ],
)
def test_a_picture_is_drawn_anew_in_one_step_where_the_scheduler_has_one(
    scheduler: str, spacing: str, evaluations: int, guided: bool, emoji: dict[str, Any]
) -> None:
    import diffusers

    pipeline = tiny_pipeline()
    kind = getattr(diffusers, scheduler)
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, timestep_spacing=spacing)
    target = PipelineTarget(pipeline, num_inference_steps=4, guidance_scale=3.0)
    images, prompts = asked(emoji)
    varied(target, images[:1], prompts[:1], SEEDS[:1], 0.5, once=True)  # after the trial
    calls: list[tuple[int, float]] = []

    def count(module: Any, arguments: Any) -> None:
        calls.append((len(arguments[0]), float(arguments[1])))

    hook = target._image_to_image._pipeline.unet.register_forward_pre_hook(count)
    [once] = varied(target, images[:1], prompts[:1], SEEDS[:1], 0.5, once=True)
    hook.remove()
    assert len(calls) == evaluations
    # One query is padded to 16 rows, and guidance doubles them.
    assert {rows for rows, _ in calls} == {32 if guided else 16}
    assert 250 <= calls[0][1] <= 850
    [own] = varied(target, images[:1], prompts[:1], SEEDS[:1], 0.5)
    assert bool(apart(once, own)) is not guided


def test_rows_that_a_pipeline_mixes_up_are_asked_one_by_one(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    real = StableDiffusionImg2ImgPipeline.__call__

    @functools.wraps(real)
    def mixed(self: Any, **given: Any) -> Any:
        if isinstance(given["image"], list):
            given["image"] = [given["image"][0]] * len(given["image"])
        return real(self, **given)

    images, prompts = asked(emoji)
    expected = varied(
        PipelineTarget(tiny_pipeline(), num_inference_steps=2), images, prompts, SEEDS, 0.5
    )
    monkeypatch.setattr(StableDiffusionImg2ImgPipeline, "__call__", mixed)
    target = PipelineTarget(tiny_pipeline(), num_inference_steps=2)
    found = varied(target, images, prompts, SEEDS, 0.5)
    assert all(apart(one, other) <= 1 for one, other in zip(found, expected, strict=True))


def test_a_saved_pipeline_and_a_copy_draw_the_same(tmp_path: Path, emoji: dict[str, Any]) -> None:
    images, prompts = asked(emoji)
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    expected = varied(PipelineTarget(pipeline, num_inference_steps=2), images, prompts, SEEDS, 0.5)
    saved = as_target(SavedPipeline(tmp_path / "model", device="cpu"), num_inference_steps=2)
    copied = pickle.loads(pickle.dumps(saved))
    for target in (saved, copied):
        found = varied(target, images, prompts, SEEDS, 0.5)
        assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]


def test_a_blanked_picture_is_an_error(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    def blank(_: Any, images: Any, *__: Any) -> Any:
        return images, [True] * len(images)

    monkeypatch.setattr(StableDiffusionImg2ImgPipeline, "run_safety_checker", blank)
    target, (images, prompts) = PipelineTarget(tiny_pipeline(), num_inference_steps=2), asked(emoji)
    with pytest.raises(GeneratorError, match="safety checker of StableDiffusionImg2ImgPipeline"):
        varied(target, images, prompts, SEEDS, 0.5)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (ObliviousTarget(), "ObliviousTarget takes no picture beside the text"),
        (as_target(lambda prompts, seeds: []), "CallableTarget takes no picture beside the text"),
        (PictureFolder("."), "PictureFolder takes no picture"),
    ],
)
def test_what_takes_no_picture_is_an_error_with_a_way_out(
    target: Any, said: str, emoji: dict[str, Any]
) -> None:
    images, prompts = asked(emoji)
    with pytest.raises(GeneratorError, match=f"{said}.*leave img2img out .* method vary"):
        varied(target, images, prompts, SEEDS, 0.5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PixArtAlphaPipeline", "no image-to-image form of PixArtAlphaPipeline .*leave img2img"),
        ("FluxKontextPipeline", "takes no strength"),
    ],
)
def test_a_pipeline_without_an_image_to_image_form_is_an_error(
    name: str, said: str, emoji: dict[str, Any]
) -> None:
    images, prompts = asked(emoji)
    with pytest.raises(GeneratorError, match=said):
        varied(built(name), images, prompts, SEEDS, 0.5)


class Service:
    """A user's own object."""

    fingerprint = "service of today"

    def __init__(self, answer: Any) -> None:
        self.heard: list[Any] = []
        self._answer = answer

    def generate(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        raise AssertionError

    def vary(
        self, images: list[Image.Image], prompts: list[str], seeds: list[int], strength: float
    ) -> Any:
        self.heard.append((images, prompts, seeds, strength))
        return self._answer(images)


def test_a_users_own_object_may_take_pictures(emoji: dict[str, Any]) -> None:
    images, prompts = asked(emoji)
    service = Service(lambda given: [image.convert("L") for image in given])
    pictures = varied(as_target(service), images, prompts, SEEDS, 0.3)
    assert service.heard == [(images, prompts, SEEDS, 0.3)]
    assert {picture.mode for picture in pictures} == {"RGB"}


def test_a_callable_may_take_pictures_too(emoji: dict[str, Any]) -> None:
    images, prompts = asked(emoji)

    def generate(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        raise AssertionError

    generate.vary = lambda images, *_: images  # type: ignore[attr-defined]
    found = varied(as_target(generate), images, prompts, SEEDS, 0.3)
    assert [one.tobytes() for one in found] == [one.tobytes() for one in images]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda images: images[1:], r"vary\(\) of CallableTarget returned 2 images for 3 prompts"),
        (lambda _: 1 / 0, r"vary\(\) of CallableTarget raised ZeroDivisionError on a batch of 3"),
        (lambda _: sys.exit(0), r"vary\(\) of CallableTarget raised SystemExit on a batch of 3"),
        (lambda images: ["" for _ in images], "returned a str for prompt"),
    ],
)
def test_what_a_users_own_object_does_wrong_is_an_error(
    answer: Any, said: str, emoji: dict[str, Any]
) -> None:
    images, prompts = asked(emoji)
    with pytest.raises(GeneratorError, match=said):
        varied(as_target(Service(answer)), images, prompts, SEEDS, 0.3)
