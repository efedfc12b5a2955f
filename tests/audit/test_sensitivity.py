"""The sensitivity control: how faint a copy an audit still sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from privaudit import Audit, AuditInputs, AuditSettings, PipelineTarget, load_pipeline
from privaudit.audit.checks.controls import judge_sensitivity
from privaudit.measurements.pixels import structural_similarities
from privaudit.report.terminal import render
from privaudit.store import Store
from privaudit.targets import graded
from privaudit.targets.graded import (
    COPIED_AT_ONCE,
    GRADES,
    ROUND_TRIP,
    GradedTarget,
    round_trip,
)
from privaudit.targets.queries import plan_queries
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.encoders import PixelEncoder
from tests.parts.pipelines import tiny_pipeline

SETTINGS = AuditSettings(duplicate_limit=2.0, attacks="threshold,combined", scenarios="I")


def audited(emoji: dict[str, Any], model: Any, n: int = 40, **changes: Any) -> Audit:
    inputs = AuditInputs(
        target_model=model,
        members=emoji["member"][:n],
        non_members=emoji["non_member"][:n],
        image_encoder=PixelEncoder(),
    )
    return Audit(inputs, SETTINGS.replace(**changes), Store(None))


def test_a_control_changes_a_copy_of_a_member_whoever_is_asked_about(
    emoji: dict[str, Any],
) -> None:
    members, others = emoji["member"][:6], emoji["non_member"][:6]
    asked = plan_queries([*members, *others], ["?"] * 12, 1, 0)
    pictures = np.stack([np.asarray(s.image, dtype=float).ravel() for s in members])
    for name, change in GRADES.items():
        answers = list(GradedTarget(members, others, name, change).answer(asked))
        assert [a.query for a in answers] == asked
        drawn = np.stack([np.asarray(a.image, dtype=float).ravel() for a in answers])
        alike = np.corrcoef(pictures, drawn)[:6, 6:]  # members by answers
        diagonals = np.diag(alike[:, :6]), np.diag(alike[:, 6:])
        for own in diagonals:  # the answer to a non-member is a copy of some member as well
            assert own.mean() > alike.mean() + 0.05, name
    names = {GradedTarget(members, others, n, c).fingerprint for n, c in GRADES.items()}
    assert len(names) == len(GRADES)


def test_the_ladder_stops_at_the_faintest_grade_that_is_over_the_budget(
    emoji: dict[str, Any],
) -> None:
    found = audited(emoji, ObliviousTarget()).validity.sensitivity
    assert list(found) == ["combined"]  # the most telling attack alone
    grades = found["combined"]
    assert list(grades) == list(reversed(GRADES))[: len(grades)]
    aucs = [math.nan if auc is None else auc for auc in grades.values()]
    assert all(auc <= SETTINGS.budget for auc in aucs[:-1])
    assert aucs[-1] > SETTINGS.budget
    strict = audited(emoji, ObliviousTarget(), budget=1.0).validity.sensitivity
    assert list(strict["combined"]) == list(reversed(GRADES))
    assert strict["combined"]["cropped to 3/4"] > 0.9  # type: ignore[operator]


def test_the_table_says_the_faintest_copy_that_is_seen(emoji: dict[str, Any]) -> None:
    audit = audited(emoji, ObliviousTarget(), attacks="threshold")
    audit.result("I", "threshold")
    record = audit.record()
    assert record.validity is not None
    grades = record.validity.sensitivity["threshold"]
    faintest = [name for name, auc in grades.items() if auc is not None and auc > 0.6][-1]
    wanted = f"sensitivity: the faintest copy that threshold still sees: {faintest}"
    assert wanted in list(render([record], width=400, verbose=True))


def test_a_pipelines_own_autoencoder_is_the_first_grade(emoji: dict[str, Any]) -> None:
    pipeline = load_pipeline(AUDITS / "models" / "base", device="cpu")
    change = round_trip(pipeline)
    assert change is not None
    image = emoji["member"][0].image
    copy = change(image, image)
    assert copy.size == image.size
    assert copy == change(image, emoji["member"][1].image)
    assert copy != image
    assert structural_similarities([copy], [image]) > 0.7
    target = PipelineTarget(pipeline, num_inference_steps=1)
    validity = audited(emoji, target, n=16, attacks="threshold").validity
    grades = validity.sensitivity["threshold"]
    assert next(iter(grades)) == ROUND_TRIP
    assert (grades[ROUND_TRIP] or 0.0) > 0.95


def test_a_round_trip_is_made_once_and_depends_on_no_company(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = tiny_pipeline()
    decode, rows = pipeline.vae.decode, []
    monkeypatch.setattr(pipeline.vae, "decode", lambda z: rows.append(len(z)) or decode(z))
    monkeypatch.setattr(graded, "PIXELS_AT_ONCE", COPIED_AT_ONCE * 32 * 32)
    pictures = [s.image for s in emoji["member"][:18]]
    large = [picture.resize((96, 96)) for picture in pictures[:2]]
    change = round_trip(pipeline)
    assert change is not None
    copies = change.copies([*pictures, *large])
    assert rows == [COPIED_AT_ONCE, COPIED_AT_ONCE, 1, 1]  # small ones together, filled up
    assert [c.size for c in copies] == [p.size for p in [*pictures, *large]]
    assert [change(p, pictures[0]) for p in pictures] == copies[:18]
    assert len(rows) == 4  # each once
    alone = round_trip(pipeline)
    assert alone is not None
    assert alone(pictures[1], pictures[0]) == copies[1]


def test_an_untrained_autoencoder_can_draw_nobody(emoji: dict[str, Any]) -> None:
    target = PipelineTarget(tiny_pipeline(), num_inference_steps=1)
    validity = audited(emoji, target, n=12, attacks="threshold").validity
    assert ROUND_TRIP not in validity.sensitivity["threshold"]
    assert not any("autoencoder" in reason for reason in validity.reasons)


@pytest.mark.parametrize("auc", [0.55, 0.6, float("nan")])
def test_an_audit_that_cannot_see_a_round_trip_is_invalid(auc: float) -> None:
    def judged(value: float) -> list[str]:
        return judge_sensitivity({"threshold": {ROUND_TRIP: value}}, 0.6)

    assert judged(0.61) == []
    [reason] = judged(auc)
    assert "its own autoencoder" in reason
    # At a budget of 1 nothing can be over it: such an audit only compares.
    assert judge_sensitivity({"threshold": {ROUND_TRIP: auc}}, 1.0) == []


def test_what_has_no_autoencoder_has_no_round_trip() -> None:
    assert round_trip(ObliviousTarget()) is None
