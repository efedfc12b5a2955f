"""Pipelines of all kinds: what they are asked with, and what becomes of what they return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from privaudit import PipelineTarget, SavedPipeline
from privaudit.errors import GeneratorError
from privaudit.targets import as_target, without_effect
from privaudit.targets.pictures import pictures_of
from privaudit.targets.trial import Company
from privaudit.testing import ObliviousTarget
from tests.parts.pipelines import tiny_pipeline, tiny_sdxl


def as_class(kind: type, pipeline: Any = None) -> Any:
    """Make a pipeline one of another class, of the same parts."""
    given = pipeline or tiny_pipeline()
    made = kind(**given.components, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


class AlwaysPil(StableDiffusionPipeline):
    def __call__(self, prompt: Any, output_type: str = "pil", **others: Any) -> Any:
        return super().__call__(prompt, output_type="pil", **others)


class Tensors(StableDiffusionPipeline):
    def __call__(self, prompt: Any, output_type: str = "pil", **others: Any) -> Any:
        return super().__call__(prompt, output_type="pt", **others)


class Bytes(StableDiffusionPipeline):
    def __call__(self, prompt: Any, output_type: str = "pil", **others: Any) -> Any:
        output = super().__call__(prompt, output_type="np", **others)
        output.images = (output.images * 255).round().astype(np.uint8)
        return output


class Tuples(StableDiffusionPipeline):
    def __call__(self, prompt: Any, **others: Any) -> Any:
        return super().__call__(prompt, **{**others, "return_dict": False})


class NoOutputType(StableDiffusionPipeline):
    def __call__(self, prompt: Any, generator: Any = None, num_inference_steps: int = 3) -> Any:
        return (
            super()
            .__call__(prompt, generator=generator, num_inference_steps=num_inference_steps)
            .images
        )


class RgbAndDepth(StableDiffusionPipeline):
    def __call__(self, prompt: Any, **others: Any) -> Any:
        images = super().__call__(prompt, **others).images
        return {"rgb": images, "depth": images}


class NoGenerator(StableDiffusionPipeline):
    def __call__(self, prompt: Any, num_inference_steps: int = 3) -> Any:
        return super().__call__(prompt, num_inference_steps=num_inference_steps)


class Trigger(StableDiffusionPipeline):
    """Puts a word before each prompt, as a fine-tune on one subject does."""

    def __call__(self, prompt: Any = None, prompt_embeds: Any = None, **others: Any) -> Any:
        if prompt is not None:
            prompt = [f"sks {one}" for one in ([prompt] if isinstance(prompt, str) else prompt)]
        return super().__call__(prompt, prompt_embeds=prompt_embeds, **others)


class Pads(StableDiffusionPipeline):
    """Draws each text as if the longest of the batch had been cut to its length."""

    def __call__(self, prompt: Any = None, **others: Any) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        longest = max(map(len, prompts))
        return super().__call__([one + " fox" * (longest > 30) for one in prompts], **others)


def drawn(pipeline: Any, prompts: list[str], **call: Any) -> list[bytes]:
    target = PipelineTarget(pipeline, num_inference_steps=2, **call)
    return [i.tobytes() for i in target.generate(prompts, list(range(len(prompts))))]


@pytest.mark.parametrize("kind", [AlwaysPil, Tensors, Bytes, Tuples, NoOutputType])
def test_output_of_any_kind_becomes_the_right_pixels(kind: type) -> None:
    assert drawn(as_class(kind), ["a fox"]) == drawn(tiny_pipeline(), ["a fox"])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RgbAndDepth, "returned a dict of rgb, depth, in which there is no field images"),
        (NoGenerator, "the call of NoGenerator takes no generator: is it text-to-image"),
    ],
)
def test_what_cannot_be_read_or_seeded_is_one_error(kind: type, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        drawn(as_class(kind), ["a fox"])


GREY = np.full((2, 4, 4, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ((GREY, GREY), "2 things, of which more than one may be the images"),
        (GREY[:1], "returned 1 images for 2 prompts"),
        (GREY * 4 - 1, "float32 values from 1 to 1"),
        (GREY * 300, "float32 values from 150 to 150"),
        (np.concatenate([GREY, GREY], axis=3), r"an image of shape \(4, 4, 6\)"),
        (GREY * np.nan, "2 of 2 images of X have NaN pixels, the first for prompt 'a'"),
        ((GREY, [True, False]), "blanked 1 of 2 images"),
        (None, "returned a NoneType"),
    ],
)
def test_wrong_pixels_are_typed_errors(output: Any, said: str) -> None:
    if said.startswith("float32 values from 1"):
        output = GREY * 2 - np.linspace(0, 2, GREY.size, dtype=np.float32).reshape(GREY.shape)
        said = "float32 values from -1 to"
        if output.max() > 1:
            output = output.clip(-1, 1)
    with pytest.raises(GeneratorError, match=said):
        pictures_of("X", output, ["a", "b"])


def test_grey_and_tensor_pictures_are_rgb() -> None:
    for output in (GREY[..., :1], torch.from_numpy(GREY).permute(0, 3, 1, 2), list(GREY)):
        first, _ = pictures_of("X", output, ["a", "b"])
        assert (first.mode, first.size, first.getpixel((0, 0))) == ("RGB", (4, 4), (128,) * 3)
    pil = [Image.new("L", (4, 4), 7)] * 2
    assert pictures_of("X", pil, ["a", "b"])[0].getpixel((0, 0)) == (7, 7, 7)


def test_dropout_that_training_left_on_draws_nothing() -> None:
    plain, training = tiny_pipeline(), tiny_pipeline()
    for pipeline in (plain, training):
        for block in pipeline.unet.modules():
            if isinstance(block, torch.nn.Dropout):
                block.p = 0.5
    training.unet.train()
    assert drawn(training, ["a fox"]) == drawn(plain, ["a fox"])
    assert training.unet.training
    assert all(module.training for module in training.unet.modules())


def test_texts_are_encoded_once_only_where_that_changes_nothing() -> None:
    assert PipelineTarget(tiny_pipeline(), num_inference_steps=1)._texts is not None
    trigger = as_class(Trigger)
    assert PipelineTarget(trigger, num_inference_steps=1)._texts is None
    expected = drawn(tiny_pipeline(), ["sks a fox"])
    assert drawn(trigger, ["a fox"]) == expected != drawn(tiny_pipeline(), ["a fox"])


def test_a_prompt_is_asked_alone_where_others_would_change_its_picture() -> None:
    prompts = ["a fox", "a bear that dances on a wire in the snow at night"]
    together = drawn(as_class(Pads), prompts)
    assert together[0] == drawn(tiny_pipeline(), ["a fox"])[0]
    assert PipelineTarget(as_class(Pads), num_inference_steps=1)._company == Company.ONE_TEXT
    assert PipelineTarget(tiny_pipeline(), num_inference_steps=1)._company == Company.ANY


class RowsMixedUp(StableDiffusionPipeline):
    """Gives each picture of a batch the noise of another, as a faulty loop over views does."""

    def __call__(self, prompt: Any = None, generator: Any = None, **others: Any) -> Any:
        noise = generator[::-1] if isinstance(generator, list) else generator
        return super().__call__(prompt, generator=noise, **others)


class OneAtATime(StableDiffusionPipeline):
    def __call__(self, prompt: Any = None, generator: Any = None, **others: Any) -> Any:
        if not isinstance(prompt, str) or isinstance(generator, list):
            msg = "one prompt, please"
            raise TypeError(msg)
        return super().__call__(prompt, generator=generator, **others)


@pytest.mark.parametrize("kind", [RowsMixedUp, OneAtATime])
def test_what_a_batch_would_change_or_refuse_is_asked_one_at_a_time(kind: type) -> None:
    prompts = ["a fox", "a fox", "a bear"]
    target = PipelineTarget(as_class(kind), num_inference_steps=2)
    pictures = [np.asarray(one, int) for one in target.generate(prompts, [0, 1, 2])]
    expected = [
        np.asarray(one, int)
        for one in PipelineTarget(tiny_pipeline(), num_inference_steps=2).generate(
            prompts, [0, 1, 2]
        )
    ]
    assert np.abs(np.stack(pictures) - np.stack(expected)).max() <= 1
    assert target._company == Company.NONE
    assert target.seconds_per_image() is not None


class NoMemory(StableDiffusionPipeline):
    def __call__(self, prompt: Any = None, **others: Any) -> Any:
        if not isinstance(prompt, str):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__call__(prompt, **others)


def test_a_lack_of_memory_is_no_reason_to_ask_one_at_a_time() -> None:
    with pytest.raises(GeneratorError, match="out of memory"):
        PipelineTarget(as_class(NoMemory), num_inference_steps=2).generate(["a fox"], [1])


def test_a_pipeline_is_asked_as_its_owner_would_ask_it() -> None:
    asked = [PipelineTarget(p)._call for p in (tiny_pipeline(), tiny_sdxl())]
    assert [call["guidance_scale"] for call in asked] == [7.5, 5.0]
    assert [call["num_inference_steps"] for call in asked] == [50, 50]
    own = as_class(NoOutputType)
    assert PipelineTarget(own, guidance_scale=3.0)._call == {"num_inference_steps": 3}
    assert PipelineTarget(as_class(Trigger), eta=0.5)._call["eta"] == 0.5
    with pytest.raises(GeneratorError, match="takes no true_cfg_scale"):
        PipelineTarget(tiny_pipeline(), true_cfg_scale=4.0)


def test_settings_without_effect_are_named(tmp_path: Any) -> None:
    wanted = {
        "num_inference_steps": 4,
        "guidance_scale": 2.0,
        "scheduler": "DDIMScheduler",
        "dtype": None,
        "compile": True,
    }
    given = [name for name, value in wanted.items() if value is not None]
    assert without_effect(lambda prompts, seeds: [], wanted) == given
    assert without_effect(ObliviousTarget(), wanted) == given
    assert without_effect(PipelineTarget(tiny_pipeline()), wanted) == given
    assert without_effect(tiny_pipeline(), wanted) == []
    assert without_effect(as_class(NoOutputType), wanted) == ["guidance_scale"]
    tiny_pipeline().save_pretrained(tmp_path)
    saved = SavedPipeline(
        tmp_path, device="cpu", call={"guidance_scale": 3.0, "height": 32, "width": 32}
    )
    assert without_effect(saved, wanted) == ["guidance_scale"]
    target = as_target(saved, num_inference_steps=1, guidance_scale=2.0)
    assert target.describe()["call"] == {
        "num_inference_steps": 1,
        "guidance_scale": 3.0,
        "height": 32,
        "width": 32,
    }
    (picture,) = target.generate(["a"], [1])  # type: ignore[attr-defined]
    assert picture.size == (32, 32)
    with pytest.raises(GeneratorError, match="give plain values"):
        SavedPipeline(tmp_path, call={"latents": torch.ones(1)})
