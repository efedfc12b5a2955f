"""Each pipeline of the zoo through the product: right pictures, known, drawn once, left as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import Sample, run_audit
from tests.parts.encoders import PixelEncoder
from tests.zoo.changes import settings_of, weights_of
from tests.zoo.families import ZOO
from tests.zoo.looks import (
    PROMPTS,
    SEEDS,
    by_hand,
    copied,
    counting,
    lasting,
    pixels,
    state,
    target_of,
)
from tests.zoo.registry import Kind

FAST = "StableDiffusionPipeline"
CI = ("AmusedPipeline", "FluxPipeline", FAST)
"""Of three kinds: one picture a call, batches, and batches of texts encoded once."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries, each its own


def each(*fast: str) -> pytest.MarkDecorator:
    """Test every pipeline, most of them at night: all together they take more than an hour."""

    def marks(name: str) -> list[pytest.MarkDecorator]:
        if name in fast:
            return []
        return [pytest.mark.slow] if name in CI else [pytest.mark.slow, pytest.mark.nightly]

    kinds = [pytest.param(kind, id=name, marks=marks(name)) for name, kind in ZOO.items()]
    return pytest.mark.parametrize("kind", kinds)


@each(FAST)
def test_answers_are_those_of_the_pipeline_alone(kind: Kind) -> None:
    pipeline = kind.build()
    alone = pixels(kind, pipeline)
    assert alone.std(axis=(1, 2, 3)).min() > 4  # else there is nothing to compare
    assert np.abs(alone[0] - alone[1]).max() > 8
    drawn = target_of(kind, kind.build()).generate(PROMPTS, SEEDS)
    difference = np.abs(np.stack([np.asarray(one, int) for one in drawn]) - alone)
    assert difference.max() <= 1


@each(FAST)
def test_the_second_run_draws_the_probe_alone_and_the_pipeline_is_left_as_it_was(
    kind: Kind, tmp_path: Any, emoji: dict[str, list[Sample]]
) -> None:
    pipeline = kind.build()
    pixels(kind, pipeline)
    before = lasting(pipeline, lambda: by_hand(kind, pipeline, "a bear", 3))
    drawn: list[int] = []
    for _ in range(2):
        target = target_of(kind, pipeline)
        with counting(type(pipeline)) as images:
            record = run_audit(
                target,
                emoji["member"][:6],
                emoji["non_member"][:6],
                image_encoder=PixelEncoder(),
                scenarios="I",
                attacks="threshold",
                gate="evidence",
                queries=1,
                store=tmp_path,
            )
        assert [result.name for result in record.results] == ["attack-I-threshold"]
        drawn.append(sum(images))
    assert drawn[0] >= 12
    assert drawn[1] == 2  # the probe
    after = state(pipeline)
    assert {name: after[name] for name in before} == before
    assert {"pipeline, configuration", *pipeline.components} <= set(before)


@each()
def test_whatever_changes_the_picture_is_noticed(kind: Kind) -> None:
    pipeline = kind.build()
    before, known = pixels(kind, pipeline, 2), target_of(kind, pipeline).fingerprint
    assert target_of(kind, copied(pipeline)).fingerprint == known
    effective: list[str] = []
    unnoticed: list[str] = []
    for name, change in (weights_of(pipeline) | settings_of(pipeline)).items():
        changed = copied(pipeline)
        try:
            change(changed)
            other = pixels(kind, changed, 2)
        except Exception:  # a value that the pipeline refuses: nobody can audit it either
            continue
        if other.shape == before.shape and np.abs(other - before).max() == 0:
            continue
        effective.append(name)
        if target_of(kind, changed).fingerprint == known:
            unnoticed.append(name)
    assert not unnoticed
    silent = {n for n in weights_of(pipeline) if n not in effective} - kind.silent
    assert not silent, "weights without an effect: the zoo's own fault"
    assert any("weights" not in name for name in effective)
