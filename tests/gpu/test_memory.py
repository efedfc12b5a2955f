"""A card that is too small for a batch: the batch is halved, and nothing is lost or asked twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from privaudit import PipelineTarget, Sample
from privaudit.encoders import as_encoder
from privaudit.encoders.base import encode_in_batches
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.errors import EncoderError, GeneratorError
from privaudit.measurements.pixels import PixelSimilarity
from privaudit.store import Store
from privaudit.targets.queries import plan_queries
from tests.parts.encoders import tiny_vit

LARGE = {"height": 512, "width": 512}


@pytest.fixture
def leave_room() -> Iterator[Callable[[int], None]]:
    """Let this process have so many bytes more than what it holds."""

    def limit(n_bytes: int) -> None:
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + n_bytes) / whole)

    yield limit
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)


def peak(work: Callable[[], object]) -> int:
    """Bytes that a piece of work needs beyond what was held before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def test_a_batch_that_does_not_fit_is_halved_and_each_picture_is_drawn_once(
    overfit: Any, emoji: dict[str, list[Sample]], leave_room: Callable[[int], None]
) -> None:
    target = PipelineTarget(overfit, num_inference_steps=2, **LARGE)
    samples = emoji["member"][:64]
    prompts = [sample.caption for sample in samples]
    target.generate(prompts[:2], [0, 1])  # trials and workspaces, before memory is short
    for_eight = peak(lambda: target.generate(prompts[:8], range(8)))
    leave_room(int(1.3 * for_eight))
    sizes: list[int] = []
    answer = target.answer

    def counted(queries: Any) -> Any:
        sizes.append(len(queries))
        return answer(queries)

    target.answer = counted  # type: ignore[method-assign]
    task = Task(target, PixelSimilarity(), 64)
    queries = plan_queries(samples, prompts, 1, 0)
    made: list[int] = []
    store = Store(None)
    LocalEngine().run(task, queries, store, made.append)
    assert sizes[0] == 64
    assert min(sizes) <= 8
    assert sum(made) == 64
    print(f"batches tried: {sizes}")
    sizes.clear()
    LocalEngine().run(task, queries, store, made.append)
    assert not sizes


def test_no_room_for_one_picture_is_an_error_with_the_way_out(
    overfit: Any, emoji: dict[str, list[Sample]], leave_room: Callable[[int], None]
) -> None:
    target = PipelineTarget(overfit, num_inference_steps=2, **LARGE)
    target.generate(["a fox", "a dog"], [0, 1])
    leave_room(1 << 20)
    queries = plan_queries(emoji["member"][:4], ["a fox"] * 4, 1, 0)
    with pytest.raises(GeneratorError, match="out of memory with a batch of 1, the smallest"):
        LocalEngine().run(Task(target, PixelSimilarity(), 4), queries, Store(None), lambda _: None)


def test_an_encoder_halves_its_own_batch(
    emoji: dict[str, list[Sample]], leave_room: Callable[[int], None]
) -> None:
    encoder = as_encoder(tiny_vit(512))
    images = [sample.image.resize((512, 512)) for sample in emoji["member"][:64]]
    few = encode_in_batches(encoder, images[:8], 8)
    for_eight = peak(lambda: encoder.encode(images[:8]))
    leave_room(int(1.3 * for_eight))
    calls: list[int] = []
    encode = encoder.encode

    def counted(part: Any) -> Any:
        calls.append(len(part))
        return encode(part)

    encoder.encode = counted  # type: ignore[method-assign]
    features = encode_in_batches(encoder, images, 64)
    assert calls[0] == 64
    assert len(calls) > 2
    np.testing.assert_allclose(features[:8], few, atol=1e-4)
    leave_room(0)
    with pytest.raises(EncoderError, match="free memory, give it another device, or take a small"):
        encode_in_batches(encoder, images, 64)
