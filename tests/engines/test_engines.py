"""Engines: how many queries at once, what memory does to it, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from privaudit.audit.estimate import Plan, duration
from privaudit.batching import is_out_of_memory
from privaudit.engines import make_engine
from privaudit.engines.batch_size import BatchSize
from privaudit.engines.local import LocalEngine
from privaudit.engines.pace import Pace
from privaudit.engines.task import QueryFeatures, Task, compare
from privaudit.errors import GeneratorError, MissingExtraError
from privaudit.samples import Sample
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.targets.queries import Query
from tests.parts.encoders import PixelEncoder
from tests.store.hammer import Colour


class Sized:
    """Answers batches up to a size, and remembers the sizes it was given."""

    fingerprint = "sized-1"

    def __init__(self, room: int = 10**9, error: type[Exception] = MemoryError) -> None:
        self.room, self.error = room, error
        self.sizes: list[int] = []

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.sizes.append(len(prompts))
        if len(prompts) > self.room:
            msg = "CUDA out of memory. Tried to allocate 2.00 GiB"
            raise self.error(msg)
        return [Image.fromarray(np.full((8, 8, 3), seed % 251, np.uint8)) for seed in seeds]


def task_and_queries(function: Any, n: int, batch_size: int | None) -> tuple[Task, list[Query]]:
    samples = [
        Sample(Image.new("RGB", (8, 8), (i, 0, 0)), f"prompt {i}", id=str(i)) for i in range(n)
    ]
    queries = [Query(sample, sample.caption, i) for i, sample in enumerate(samples)]
    return Task(as_target(function), Colour(), "cosine", "channel", batch_size), queries


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_the_batch_is_halved_until_it_fits(error: type[Exception], tmp_path: Path) -> None:
    function = Sized(room=5, error=error)
    task, queries = task_and_queries(function, 40, 32)
    made: list[int] = []
    LocalEngine().run(task, queries, Store(tmp_path), made.append)
    assert function.sizes == [32, 16, 8] + [4] * 10
    assert made == [4] * 10
    roomy, _ = task_and_queries(Sized(), 40, 32)
    LocalEngine().run(roomy, queries, Store(None), made.append)
    keys = task.keys(queries)[1]
    assert len(Store(tmp_path).arrays(keys)) == 40


def test_no_room_for_one_is_a_typed_error() -> None:
    task, queries = task_and_queries(Sized(room=0), 4, 2)
    with pytest.raises(GeneratorError, match="out of memory with a batch of 1, the smallest"):
        LocalEngine().run(task, queries, Store(None), lambda _: None)


def test_an_error_of_another_kind_is_not_taken_for_memory() -> None:
    function = Sized(room=5, error=ValueError)
    task, queries = task_and_queries(function, 40, 32)
    with pytest.raises(GeneratorError, match="Sized raised ValueError on a batch of 32"):
        LocalEngine().run(task, queries, Store(None), lambda _: None)
    assert function.sizes == [32]
    assert not is_out_of_memory(ValueError("x"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))


class Anything:
    """A generator to which any size is as good as another."""

    fingerprint, persistent = "anything", True

    def batch_size(self, wanted: int) -> int:
        return wanted


@given(st.sampled_from([16, 32, 64, 128, 256]))
def test_the_search_stops_where_a_larger_batch_gains_nothing(best: int) -> None:
    """Up to ``best`` an image takes less with each doubling; beyond, as long or longer."""
    batch: Any = BatchSize(Anything(), None)  # type: ignore[arg-type]
    tried = []
    for _ in range(30):
        tried.append(batch.size)
        batch.took(batch.size, 1.0 / min(batch.size, best))
    assert batch.size == best
    assert max(tried) <= min(256, 2 * best)


@given(st.integers(1, 8), st.sampled_from([16, 32, 64]))
def test_what_many_workers_need_to_warm_up_does_not_decide(n_workers: int, best: int) -> None:
    """The first call of a size takes as long as any other size's first, on each of them."""
    batch: Any = BatchSize(Anything(), None, None, n_workers)  # type: ignore[arg-type]
    calls: dict[tuple[int, int], int] = {}
    for i in range(30 * n_workers):
        worker = (i % n_workers, batch.size)
        calls[worker] = calls.get(worker, 0) + 1
        batch.took(batch.size, 1.0 if calls[worker] == 1 else 1.0 / min(batch.size, best))
    assert batch.size == best
    assert batch.pace.batch_size == best


def test_what_has_no_room_on_a_worker_is_not_asked_again() -> None:
    batch = BatchSize(Anything(), None)  # type: ignore[arg-type]
    batch.limit(batch.size)
    assert batch.size == 16
    batch.limit(8)
    for seconds in (1.0, 1.0, 1.0):
        batch.took(batch.size, seconds)
    assert batch.size == 8
    assert batch.pace == Pace(8, 1.0)


def test_a_slow_first_call_of_a_size_does_not_decide() -> None:
    batch: Any = BatchSize(Anything(), None)  # type: ignore[arg-type]
    for seconds in (1.0, 1.0, 9.0, 0.5):  # the third warms up for batches of 32
        batch.took(batch.size, seconds)
    assert batch.size == 64


def test_a_set_size_is_kept_and_a_known_one_is_not_searched_again() -> None:
    known = Pace(7, 1.0)
    for batch in (BatchSize(Anything(), 7), BatchSize(Anything(), None, known)):  # type: ignore[arg-type]
        for seconds in (1.0, 1.0, 0.1, 0.1):
            batch.took(batch.size, seconds)
        assert batch.size == 7


def test_the_pace_of_a_model_is_remembered_for_the_next_plan(tmp_path: Path) -> None:
    function = Sized()
    task, queries = task_and_queries(function, 40, 8)
    plan = Plan(Store(tmp_path))
    plan.add("target_model", task, queries)
    assert (plan.n_new, plan.n_stored) == (40, 0)
    assert plan.seconds() is None
    assert next(plan.lines()).endswith("time unknown until the first batch")
    LocalEngine().run(task, queries[:20], Store(tmp_path), lambda _: None)
    plan = Plan(Store(tmp_path))
    plan.add("target_model", task, queries)
    plan.add("target_model", task, queries[:5])
    assert (plan.n_new, plan.n_stored) == (20, 20)
    seconds = plan.seconds()
    assert seconds is not None
    assert 0 < seconds < 20
    faster = Plan(Store(tmp_path), speedup=4)
    faster.add("target_model", task, queries)
    assert faster.seconds() == seconds / 4
    assert next(plan.lines()).startswith("privaudit: 20 images to generate, 20 in the store, about")


def test_a_set_size_is_not_taken_for_one_that_was_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    task, queries = task_and_queries(Sized(room=20), 120, None)
    fingerprint = task.generator.fingerprint

    def known() -> int | None:
        pace = Pace.read(store, fingerprint)
        assert pace is not None
        return pace.batch_size

    LocalEngine().run(replace(task, batch_size=8), queries[:8], store, lambda _: None)
    assert known() is None
    LocalEngine().run(task, queries[:24], store, lambda _: None)  # 16 and 8 are too few to tell
    assert known() is None
    LocalEngine().run(task, queries[:112], store, lambda _: None)  # 16 twice, and 32 has no room
    assert known() == 16
    LocalEngine().run(replace(task, batch_size=8), queries, store, lambda _: None)
    assert known() == 16


class OtherColour(Colour):
    """Another encoder, by name alone."""

    fingerprint = f"{Colour.fingerprint}-other"


@pytest.mark.parametrize(
    ("what", "made_again"),
    [
        ("prompt", True),
        ("seed", True),
        ("model", True),
        ("query image", False),
        ("encoder", False),
        ("similarity", False),
        ("axis", False),
    ],
)
def test_an_answer_is_found_only_by_all_that_determined_it(what: str, made_again: bool) -> None:
    task, (query, *_) = task_and_queries(Sized(), 1, None)
    other = Sample(Image.new("RGB", (8, 8), (0, 1, 0)), query.prompt, id=query.sample.id)
    model = Sized()
    model.fingerprint = "sized-2"
    changed = {
        "prompt": (task, replace(query, prompt="another")),
        "seed": (task, replace(query, seed=query.seed + 1)),
        "model": (replace(task, generator=as_target(model)), query),
        "query image": (task, replace(query, sample=other)),
        "encoder": (replace(task, encoder=OtherColour()), query),
        "similarity": (replace(task, similarity="l2"), query),
        "axis": (replace(task, similarity_axis="token"), query),
    }[what]
    image, value = task.keys([query])
    other_image, other_value = changed[0].keys([changed[1]])
    assert value != other_value
    assert (image != other_image) is made_again


def test_images_that_another_encoder_needs_are_in_the_store(tmp_path: Path) -> None:
    function = Sized()
    task, queries = task_and_queries(function, 8, 8)
    LocalEngine().run(task, queries, Store(tmp_path), lambda _: None)
    other = Task(task.generator, PixelEncoder(), "cosine", "channel", 8)
    plan = Plan(Store(tmp_path))
    plan.add("target_model", other, queries)
    assert (plan.n_new, plan.n_stored) == (0, 8)
    assert next(plan.lines()).endswith("0 images to generate, 8 in the store, nothing to wait for")
    LocalEngine().run(other, queries, Store(tmp_path), lambda _: None)
    assert function.sizes == [8]


class Counting(Colour):
    """Counts the images of each call."""

    fingerprint = "counting-colour"

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def encode(self, images: Any) -> Any:
        self.encoded.append(len(images))
        return super().encode(images)


def test_a_query_image_is_encoded_once_for_all_its_answers() -> None:
    features, encoder = QueryFeatures(), Counting()
    image = Image.new("RGB", (8, 8))
    for _ in range(3):
        features.encode(encoder, {"digest": image}, {"a": image, "b": image})
    assert encoder.encoded == [3, 2, 2]


def test_an_answer_that_is_a_query_image_or_another_answer_is_not_encoded_again() -> None:
    task, queries = task_and_queries(Sized(), 4, None)
    encoder = Counting()
    task = replace(task, encoder=encoder)
    own = queries[1].sample.image
    other, almost = Image.new("RGB", (8, 8), (9, 9, 9)), own.copy()
    almost.putpixel((0, 0), (1, 0, 1))
    answers = dict(enumerate([own.copy(), own, other, other.copy()]))
    features = QueryFeatures()
    asked = dict(enumerate(queries))
    rows = compare(task, asked, answers, features)
    assert encoder.encoded == [4 + 1]
    again = compare(task, asked, answers | {3: almost}, features)
    assert encoder.encoded == [5, 2]
    alone = [compare(task, {i: asked[i]}, {i: answers[i]}, QueryFeatures())[0] for i in range(4)]
    assert np.array_equal(rows, alone)
    assert np.array_equal(rows[:3], again[:3])
    assert (rows[3] != again[3]).any()


def test_durations_are_said_as_one_would() -> None:
    said = [duration(s) for s in (5, 300, 3 * 3600, 3 * 86400)]
    assert said == ["5 s", "5 min", "3.0 h", "3.0 days"]


def test_an_engine_whose_library_is_missing_names_the_extra(monkeypatch: Any) -> None:
    from privaudit.settings.resolve import resolve

    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "privaudit\[ray\]"'):
        make_engine(resolve({}, {})._replace(engine="ray"))
    assert isinstance(make_engine(resolve({}, {})), LocalEngine)
