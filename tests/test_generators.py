"""Generators: real pipelines, callables, controls, and everything they can answer wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from privaudit import MemorizingGenerator, ObliviousGenerator, PipelineGenerator
from privaudit.errors import GeneratorError
from privaudit.generators import as_generator, load_pipeline
from tests.conftest import AUDITS, tiny_pipeline

PROMPTS = [f"prompt {i}" for i in range(40)]
SEEDS = [1000 + i for i in range(40)]


def in_batches(generator: Any, size: int, order: Any) -> list[bytes]:
    images: dict[int, bytes] = {}
    step = generator.batch_size(size)
    for start in range(0, len(order), step):
        part = list(order[start : start + step])
        answered = generator.generate([PROMPTS[i] for i in part], [SEEDS[i] for i in part])
        images |= {i: image.tobytes() for i, image in zip(part, answered, strict=True)}
    return [images[i] for i in sorted(images)]


@pytest.mark.parametrize("model", ["tiny", "base"])
def test_batch_size_and_order_change_no_pixel(model: str) -> None:
    pipeline = (
        tiny_pipeline()
        if model == "tiny"
        else load_pipeline(AUDITS / "models" / "base", device="cpu")
    )
    generator = PipelineGenerator(pipeline, num_inference_steps=3)
    expected = in_batches(generator, 16, range(40))
    assert len(set(expected)) == 40
    shuffled = np.random.default_rng(0).permutation(40)
    for size in (1, 7, 16, 30, 64):
        assert in_batches(generator, size, shuffled) == expected


def test_a_seed_decides_the_image() -> None:
    generator = PipelineGenerator(tiny_pipeline(), num_inference_steps=2)
    one, other, same = generator.generate(["x", "x", "x"], [1, 2, 1])
    assert one.tobytes() == same.tobytes() != other.tobytes()


def test_the_fingerprint_tells_whatever_changes_an_image() -> None:
    pipeline = tiny_pipeline()
    first = PipelineGenerator(pipeline).fingerprint
    assert PipelineGenerator(tiny_pipeline()).fingerprint == first
    others = [
        PipelineGenerator(pipeline, num_inference_steps=4).fingerprint,
        PipelineGenerator(pipeline, guidance_scale=1.0).fingerprint,
        PipelineGenerator(pipeline, height=32).fingerprint,
        PipelineGenerator(tiny_pipeline(seed=1)).fingerprint,
        PipelineGenerator(tiny_pipeline(beta_schedule="scaled_linear")).fingerprint,
    ]
    with torch.no_grad():
        next(pipeline.unet.parameters()).view(-1)[0] += 1e-3
    others.append(PipelineGenerator(pipeline).fingerprint)
    assert len({first, *others}) == 7


def test_where_a_pipeline_was_loaded_from_changes_no_fingerprint(tmp_path: Any) -> None:
    for folder in ("here", "there"):
        tiny_pipeline().save_pretrained(tmp_path / folder)
    here, there = (
        PipelineGenerator(load_pipeline(tmp_path / folder, device="cpu")).fingerprint
        for folder in ("here", "there")
    )
    assert here == there


def test_nan_weights_are_an_error_and_not_a_black_image() -> None:
    pipeline = tiny_pipeline()
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(GeneratorError, match="2 of 2 images of StableDiffusionPipeline have NaN"):
        PipelineGenerator(pipeline, num_inference_steps=1).generate(["a", "b"], [0, 1])


def test_a_safety_checker_that_blanks_images_is_an_error() -> None:
    pipeline = tiny_pipeline()

    def blank(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return image * 0, [True] * len(image)

    pipeline.run_safety_checker = blank
    with pytest.raises(GeneratorError, match="blanked 1 of 1 images"):
        PipelineGenerator(pipeline, num_inference_steps=1).generate(["a"], [0])


def square(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), seed % 256) for seed in seeds]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda p, s: square(p, s)[:-1], "returned 1 images for 2 prompts"),
        (lambda p, s: [np.zeros((8, 8, 3))] * 2, "returned a ndarray for prompt 'a'"),
        (lambda p, s: None, "returned a NoneType"),
        (lambda p, s: [Image.new("F", (8, 8), float("nan"))] * 2, "returned NaN pixels"),
        (lambda p, s: 1 / 0, "raised ZeroDivisionError on a batch of 2 prompts, the first 'a'"),
    ],
)
def test_wrong_answers_are_typed_errors(function: Any, said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        as_generator(function).generate(["a", "b"], [0, 1])


def test_callables_without_a_fingerprint_are_not_persistent() -> None:
    assert not as_generator(square).persistent
    square.fingerprint = "squares-1"  # type: ignore[attr-defined]
    assert as_generator(square).persistent
    assert as_generator(square).fingerprint == "callable:squares-1"


def test_what_cannot_generate_is_refused() -> None:
    with pytest.raises(GeneratorError, match="int cannot generate images"):
        as_generator(3)
    with pytest.raises(GeneratorError, match="takes no spin"):
        PipelineGenerator(tiny_pipeline(), spin=1)
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        load_pipeline("/no/such/folder")


def test_the_controls_remember_everything_and_nothing(emoji: dict[str, Any]) -> None:
    members = emoji["member"][:3]
    memorizing = MemorizingGenerator(members)
    answered = memorizing.generate([m.caption for m in members], [0, 0, 0])
    assert [a.tobytes() for a in answered] == [m.image.tobytes() for m in members]
    unknown = memorizing.generate(["not in there"] * 2, [1, 2])
    assert unknown[0].tobytes() != unknown[1].tobytes()
    oblivious = ObliviousGenerator((16, 16))
    one, other = oblivious.generate(["a", "b"], [5, 5])
    assert one.tobytes() == other.tobytes()
    assert one.size == (16, 16)
