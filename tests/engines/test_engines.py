"""Engines: how many queries at once, what memory does to it, and what is remembered of it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from privaudit.audit.plan import Estimate, duration
from privaudit.batching import is_out_of_memory
from privaudit.encoders.cache import FeatureCache
from privaudit.engines import make_engine, missing
from privaudit.engines.batch_size import BatchSize
from privaudit.engines.local import LocalEngine
from privaudit.engines.pace import Pace
from privaudit.engines.task import Task, generate
from privaudit.errors import GeneratorError, MissingExtraError
from privaudit.measurements import ReconstructionSimilarity
from privaudit.samples import Sample
from privaudit.store import Store
from privaudit.targets import Answer, Query, Target, as_target
from privaudit.targets.queries import plan_queries
from tests.parts.encoders import PixelEncoder
from tests.store.hammer import Colour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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


def measured_by(
    encoder: Any, similarity: str = "cosine", axis: str = "channel"
) -> ReconstructionSimilarity:
    return ReconstructionSimilarity(encoder, similarity, axis)


def task_and_queries(function: Any, n: int, batch_size: int | None) -> tuple[Task, list[Query]]:
    samples = [
        Sample(Image.new("RGB", (8, 8), (i, 0, 0)), f"prompt {i}", id=str(i)) for i in range(n)
    ]
    queries = [Query(sample, sample.caption, 0, i) for i, sample in enumerate(samples)]
    return Task(as_target(function), measured_by(Colour()), batch_size), queries


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


class Trickling:
    """Answers one query at a time, the last first, and falters at one of them."""

    fingerprint, persistent = "trickling", True

    def __init__(self, falter: int = -1, *, skip: bool = False, twice: bool = False) -> None:
        self.falter, self.skip, self.twice = falter, skip, twice

    def batch_size(self, wanted: int) -> int:
        return wanted

    def answer(self, queries: Any) -> Any:
        for query in reversed(queries):
            if query.seed == self.falter:
                if self.skip:
                    continue
                msg = "the line went dead"
                raise ConnectionError(msg)
            yield Answer(query, Image.new("RGB", (8, 8), (query.seed, 0, 0)))
            if self.twice:
                yield Answer(query, Image.new("RGB", (8, 8)))

    def describe(self) -> dict[str, Any]:
        return {"class": "Trickling", "identity": self.fingerprint}


def test_answers_come_in_any_order_and_those_before_a_failure_are_kept(tmp_path: Path) -> None:
    target = Trickling(falter=5)
    assert isinstance(target, Target)
    assert as_target(target) is target
    task, queries = task_and_queries(Sized(), 16, 8)
    task = replace(task, target=target)
    made: list[int] = []
    with pytest.raises(GeneratorError, match="Trickling raised ConnectionError on a batch of 8"):
        LocalEngine().run(task, queries, Store(tmp_path), made.append)
    assert made == [2]  # 7 and 6 of the first batch
    assert Store(tmp_path).usage()["images"][0] == 2
    healthy = replace(task, target=Trickling())
    LocalEngine().run(healthy, queries, Store(tmp_path), made.append)
    assert sum(made) == 16
    images, _ = task.keys(queries)
    for query, image in zip(queries, images, strict=True):
        kept = Store(tmp_path).image(image)
        assert kept is not None
        assert kept.getpixel((0, 0)) == (query.seed, 0, 0)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Trickling(5, skip=True), "left 1 of 8 queries without an answer, the first of sample '5'"),
        (Trickling(twice=True), "answered twice, or unasked, for sample '7'"),
    ],
)
def test_a_target_that_answers_too_few_or_too_many_is_an_error(target: Any, said: str) -> None:
    task, queries = task_and_queries(Sized(), 8, 8)
    with pytest.raises(GeneratorError, match=said):
        LocalEngine().run(replace(task, target=target), queries, Store(None), lambda _: None)


class AtOnce(Trickling):
    """Answers a call as a whole, as a pipeline does; its last answer may be unasked."""

    fingerprint = "at once"

    def answer(self, queries: Any) -> Any:
        return list(super().answer(queries))


@pytest.mark.parametrize(("twice", "kept"), [(False, 8), (True, 1)])
def test_answers_that_come_at_one_time_are_kept_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twice: bool, kept: int
) -> None:
    task, queries = task_and_queries(Sized(), 8, 8)
    task, store, told = replace(task, target=AtOnce(twice=twice)), Store(tmp_path), []
    heard = missing.Missing.heard

    def counted(self: Any, answers: Any) -> None:
        told.append(len(answers))
        heard(self, answers)

    monkeypatch.setattr(missing.Missing, "heard", counted)
    with pytest.raises(GeneratorError) if twice else contextlib.nullcontext():
        LocalEngine().run(task, queries, store, lambda _: None)
    assert told == [kept]  # one call for all: their files are made on all cores at once
    assert store.usage()["images"][0] == kept


class Anything:
    """A target to which any size is as good as another."""

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
    plan = Estimate(Store(tmp_path))
    plan.add("target_model", task, queries)
    assert (plan.n_new, plan.n_stored) == (40, 0)
    assert plan.seconds() is None
    assert next(plan.lines()).endswith("time unknown until the first batch")
    LocalEngine().run(task, queries[:20], Store(tmp_path), lambda _: None)
    plan = Estimate(Store(tmp_path))
    plan.add("target_model", task, queries)
    plan.add("target_model", task, queries[:5])
    assert (plan.n_new, plan.n_stored) == (20, 20)
    seconds = plan.seconds()
    assert seconds is not None
    assert 0 < seconds < 20
    faster = Estimate(Store(tmp_path), speedup=4)
    faster.add("target_model", task, queries)
    assert faster.seconds() == seconds / 4
    assert next(plan.lines()).startswith("privaudit: 20 images to generate, 20 in the store, about")


def test_a_set_size_is_not_taken_for_one_that_was_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    task, queries = task_and_queries(Sized(room=20), 120, None)
    fingerprint = task.target.fingerprint

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
        "model": (replace(task, target=as_target(model)), query),
        "query image": (task, replace(query, sample=other)),
        "encoder": (replace(task, measurement=measured_by(OtherColour())), query),
        "similarity": (replace(task, measurement=measured_by(Colour(), "l2")), query),
        "axis": (replace(task, measurement=measured_by(Colour(), axis="token")), query),
    }[what]
    image, value = task.keys([query])
    other_image, other_value = changed[0].keys([changed[1]])
    assert value != other_value
    assert (image != other_image) is made_again


def test_images_that_another_encoder_needs_are_in_the_store(tmp_path: Path) -> None:
    function = Sized()
    task, queries = task_and_queries(function, 8, 8)
    LocalEngine().run(task, queries, Store(tmp_path), lambda _: None)
    other = Task(task.target, measured_by(PixelEncoder()), 8)
    plan = Estimate(Store(tmp_path))
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
    encoder = Counting()
    features = FeatureCache(encoder)
    image = Image.new("RGB", (8, 8))
    for _ in range(3):
        features.encode({"digest": image}, {"a": image, "b": image})
    assert encoder.encoded == [3, 2, 2]


def test_an_answer_that_is_a_query_image_or_another_answer_is_not_encoded_again() -> None:
    task, queries = task_and_queries(Sized(), 4, None)
    encoder = Counting()
    task = replace(task, measurement=measured_by(encoder))
    own = queries[1].sample.image
    other, almost = Image.new("RGB", (8, 8), (9, 9, 9)), own.copy()
    almost.putpixel((0, 0), (1, 0, 1))
    answers = dict(enumerate([own.copy(), own, other, other.copy()]))
    asked = dict(enumerate(queries))
    rows = task.measure(asked, answers)
    assert encoder.encoded == [4 + 1]
    again = task.measure(asked, answers | {3: almost})
    assert encoder.encoded == [5, 2]
    fresh = [replace(task, measurement=measured_by(encoder)) for _ in range(4)]
    alone = [one.measure({i: asked[i]}, {i: answers[i]})[0] for i, one in enumerate(fresh)]
    assert np.array_equal(rows, alone)
    assert np.array_equal(rows[:3], again[:3])
    assert (rows[3] != again[3]).any()


def test_durations_are_said_as_one_would() -> None:
    said = [duration(s) for s in (5, 300, 3 * 3600, 3 * 86400)]
    assert said == ["5 s", "5 min", "3.0 h", "3.0 days"]


def test_an_engine_whose_library_is_missing_names_the_extra(monkeypatch: Any) -> None:
    from privaudit.settings import SessionSettings

    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "privaudit\[ray\]"'):
        make_engine(SessionSettings(engine="ray"))
    assert isinstance(make_engine(SessionSettings()), LocalEngine)


class Odd(BaseException):
    """Neither an error nor the user's wish to stop."""


class OwnTarget:
    """A target that is no callable: nothing stands between its ``answer`` and the engine."""

    persistent, fingerprint = False, "own"

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return self.function([q.prompt for q in queries], [q.seed for q in queries])


@pytest.mark.parametrize("wrap", [as_target, OwnTarget])
@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, Odd, pytest.skip.Exception])
def test_a_model_that_leaves_is_an_error_that_shows_no_prompt(kind: type, wrap: Any) -> None:
    def leave(prompts: list[str], seeds: list[int]) -> Any:
        raise kind(f"gone at {prompts[0]!r}")

    sample = Sample(image=Image.new("RGB", (8, 8)), caption="secret", id="s1")
    queries = dict(enumerate(plan_queries([sample], ["secret"], 1, 0)))
    with pytest.raises(BaseException, match=f"raised {kind.__name__} .*gone") as error:
        generate(wrap(leave), queries, 1, {})  # what is let through would skip this test
    assert type(error.value) is GeneratorError
    assert "secret" not in str(error.value)


def test_who_stops_a_session_stops_it() -> None:
    def stop(prompts: list[str], seeds: list[int]) -> Any:
        raise KeyboardInterrupt

    sample = Sample(image=Image.new("RGB", (8, 8)), caption="a", id="s1")
    with pytest.raises(KeyboardInterrupt):
        generate(as_target(stop), dict(enumerate(plan_queries([sample], ["a"], 1, 0))), 1, {})
