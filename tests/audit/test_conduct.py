"""Whether seeds and prompts decide what a target draws: asked with two images, and written down."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit import Audit, AuditInputs, AuditSettings, PipelineTarget
from privaudit.audit.checks.target import conduct_of, judge_conduct
from privaudit.engines.missing import Missing
from privaudit.engines.task import files
from privaudit.errors import InvalidAuditError, StoreError
from privaudit.record import Conduct
from privaudit.store import Store
from privaudit.testing import MemorizingTarget, ObliviousTarget
from tests.parts.encoders import PixelEncoder
from tests.parts.pipelines import tiny_pipeline

SETTINGS = AuditSettings(
    budget=1.0, queries=1, duplicate_limit=2.0, attacks=("threshold",), scenarios=("I",)
)


class Asked:
    """A callable that writes down what it is asked."""

    def __init__(self, draw: Any, fingerprint: str | None = None) -> None:
        self.draw, self.queries = draw, []  # type: ignore[var-annotated]
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.queries += zip(prompts, seeds, strict=True)
        return [self.draw(p, s) for p, s in zip(prompts, seeds, strict=True)]


def picture(*key: object) -> Image.Image:
    [image] = ObliviousTarget((32, 32)).generate(["?"], [hash(key) % 2**32])
    return image


def audit(emoji: dict[str, Any], target: Any, store: Store | None = None) -> Audit:
    sets = {"members": emoji["member"][:12], "non_members": emoji["non_member"][:12]}
    given = AuditInputs(target_model=target, image_encoder=PixelEncoder(), **sets)
    return Audit(given, SETTINGS, store)


def honest(prompt: str, seed: int) -> Image.Image:
    return picture(prompt, seed)


def test_a_target_that_honours_both_costs_two_images_more(
    emoji: dict[str, Any], tmp_path: Any
) -> None:
    target = Asked(honest, "v1")
    one = audit(emoji, target, Store(tmp_path))
    one.result("I", "threshold")
    assert one.record().validity.conduct == {  # type: ignore[union-attr]
        "target_model": Conduct(seeds_honoured=True, prompts=1, noise=0)
    }
    assert len(target.queries) == 24 + 2
    assert len(set(target.queries)) == 24 + 1
    assert one.record().provenance.images.generated == 24  # type: ignore[union-attr]
    later = audit(emoji, target, Store(tmp_path))
    later.result("I", "threshold")
    assert len(target.queries) == 24 + 3  # known in later sessions, but for one picture
    assert later.record().validity.conduct["target_model"].change == 0  # type: ignore[union-attr]
    assert later.record().provenance.images.generated == 0  # type: ignore[union-attr]


def test_another_model_under_the_stated_identity_is_an_error(
    emoji: dict[str, Any], tmp_path: Any
) -> None:
    audit(emoji, Asked(honest, "v1"), Store(tmp_path)).result("I", "threshold")
    other = Asked(lambda prompt, seed: picture("other", prompt, seed), "v1")
    with pytest.raises(StoreError, match=r"'callable:v1', and asked again .* another picture \("):
        audit(emoji, other, Store(tmp_path)).result("I", "threshold")
    assert len(other.queries) == 1
    other.recheck = False  # type: ignore[attr-defined]
    taken = audit(emoji, other, Store(tmp_path))
    taken.result("I", "threshold")
    assert len(other.queries) == 1
    assert taken.record().validity.conduct["target_model"].change is None  # type: ignore[union-attr]


def test_another_model_is_told_from_seeds_that_are_not_honoured(
    emoji: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found of seeds is asked anew after an update of this package; pictures are kept."""
    audit(emoji, Asked(honest, "v1"), Store(tmp_path)).result("I", "threshold")
    monkeypatch.setattr("privaudit.audit.checks.target.fingerprint_code", lambda: "another release")
    other = Asked(lambda prompt, seed: picture("other", prompt, seed), "v1")
    with pytest.raises(StoreError, match="another picture"):
        audit(emoji, other, Store(tmp_path)).result("I", "threshold")
    draws = itertools.count()
    unseeded = Asked(lambda prompt, seed: picture(prompt, seed, next(draws)), "v1")
    one = audit(emoji, unseeded, Store(tmp_path))
    one.result("I", "threshold")
    assert one.record().validity.conduct["target_model"].seeds_honoured is False  # type: ignore[union-attr]


@pytest.mark.parametrize(("levels", "noise", "same"), [(1, 0, False), (0, 2, True), (6, 2, False)])
def test_what_counts_as_rounding_follows_from_what_one_session_saw(
    emoji: dict[str, Any], tmp_path: Any, levels: int, noise: int, same: bool
) -> None:
    """A card's kernels may round otherwise from call to call: by as much as they did before."""
    calls = itertools.count()

    def shifted(by: int) -> Any:
        def draw(prompt: str, seed: int) -> Image.Image:
            values = np.asarray(picture(prompt, seed), int)
            wobble = np.arange(values.size).reshape(values.shape) % 4 == next(calls) % 4
            moved = np.where(
                values < 128, values + by + noise * wobble, values - by - noise * wobble
            )
            return Image.fromarray(moved.astype(np.uint8))

        return draw

    audit(emoji, Asked(shifted(0), "v1"), Store(tmp_path)).result("I", "threshold")
    later = audit(emoji, Asked(shifted(levels), "v1"), Store(tmp_path))
    if not same:
        with pytest.raises(StoreError, match="may be rounding"):
            later.result("I", "threshold")
        return
    later.result("I", "threshold")
    assert 0 < later.record().validity.conduct["target_model"].change <= 1.0  # type: ignore


def test_an_answer_that_another_process_is_drawing_is_waited_for(
    emoji: dict[str, Any], tmp_path: Any
) -> None:
    """Two workers of one session look at a target at the same moment."""
    target = Asked(honest, "v1")
    first, second = (audit(emoji, target, Store(tmp_path)) for _ in range(2))
    scorer = first.scorer(first.sets("I"))
    labelled = first.sets("I").calibration
    query = scorer.queries(labelled.samples)[0]
    missing = Missing(scorer.task(labelled.target), [query], first.store)
    looking = threading.Thread(target=lambda: looked.append(conduct_of(own, labelled)))
    looked: list[Conduct] = []
    own = second.scorer(second.sets("I"))
    with first.store.alone(labelled.target.fingerprint):
        looking.start()
        time.sleep(0.5)
        assert target.queries == []  # it waits
        image = honest(query.prompt, query.seed)
        missing.keep(files(missing.task, {0: image}))
        missing.answer([0], missing.task.measure({0: query}, {0: image}))
    looking.join(30)
    assert looked == [Conduct(seeds_honoured=True, prompts=1, noise=0)]
    # Once more, to see whether its seed is honoured; the first answer was there.
    assert target.queries.count((query.prompt, query.seed)) == 1


def test_seeds_that_are_not_honoured_are_noted_and_the_first_answer_kept(
    emoji: dict[str, Any], tmp_path: Any
) -> None:
    draws = itertools.count()
    target = Asked(lambda prompt, seed: picture(prompt, seed, next(draws)), "v1")
    one = audit(emoji, target, Store(tmp_path))
    first = one.result("I", "threshold")
    assert one.record().validity.conduct["target_model"].seeds_honoured is False  # type: ignore[union-attr]
    assert len(target.queries) == 24 + 1
    again = audit(emoji, target, Store(tmp_path))
    assert again.result("I", "threshold") == first
    assert again.record().validity.conduct["target_model"].seeds_honoured is False  # type: ignore[union-attr]
    assert len(target.queries) == 24 + 1


def test_a_target_that_ignores_its_prompt_is_invalid(emoji: dict[str, Any]) -> None:
    target = Asked(lambda prompt, seed: picture(seed))
    one = audit(emoji, target)
    with pytest.raises(
        InvalidAuditError, match=r"1[0-9] of 1[0-9] pairs of prompts, each with one"
    ):
        one.result("I", "threshold")
    assert one.record().validity.conduct["target_model"].ignored >= 10  # type: ignore[union-attr]
    assert len(target.queries) < 24  # long before all is drawn


def test_one_prompt_of_many_that_is_ignored_is_in_the_record() -> None:
    assert judge_conduct("target_model", Conduct(prompts=20, ignored=1)) == []
    (reason,) = judge_conduct("target_model", Conduct(prompts=20, ignored=2))
    assert reason.startswith("2 of 20 pairs of prompts, each with one seed, got one picture of")


def test_a_control_that_ignores_prompts_says_so(emoji: dict[str, Any]) -> None:
    one = audit(emoji, ObliviousTarget())
    one.result("I", "threshold")
    assert one.record().validity.conduct["target_model"] == Conduct()  # type: ignore[union-attr]
    two = audit(emoji, MemorizingTarget(emoji["member"][:12]))
    two.result("I", "threshold")
    assert two.record().validity.conduct["target_model"].prompts == 1  # type: ignore[union-attr]


def test_a_pipeline_is_judged_by_its_probe() -> None:
    pipeline = tiny_pipeline()
    assert not PipelineTarget(pipeline, num_inference_steps=2).ignores_probe_prompts()
    encode = pipeline.text_encoder.forward
    pipeline.text_encoder.forward = lambda ids, *rest, **named: encode(ids * 0, *rest, **named)
    assert PipelineTarget(pipeline, num_inference_steps=2).ignores_probe_prompts()
