"""What is known of a target beside its answers: one value, and no other question."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit import PipelineTarget, SavedPipeline
from privaudit.errors import GeneratorError
from privaudit.targets import Capabilities, as_target, capabilities_of
from privaudit.targets.image_to_image import varied
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline

FIELDS = {field.name for field in fields(Capabilities)}


def draw(prompts: list[str], seeds: list[int]) -> Any:
    return ObliviousTarget((8, 8)).generate(prompts, seeds)


def test_a_callable_has_the_defaults_and_says_what_it_brings() -> None:
    assert capabilities_of(as_target(draw)) == Capabilities()
    draw.fingerprint = "1"  # type: ignore[attr-defined]
    assert capabilities_of(as_target(draw)).recheck
    draw.recheck = False  # type: ignore[attr-defined]
    assert not capabilities_of(as_target(draw)).recheck
    with pytest.raises(GeneratorError, match="takes no picture beside the text"):
        varied(as_target(draw), [], [], [], 0.5)


def test_they_are_frozen_and_nothing_else_is_taken_for_them() -> None:
    with pytest.raises(FrozenInstanceError):
        Capabilities().paid = True  # type: ignore[misc]
    with pytest.raises(TypeError, match="may_refuses"):
        Capabilities(may_refuses=True)  # type: ignore[call-arg]

    class Own(ObliviousTarget):
        capabilities = {"may_refuse": True}  # type: ignore[assignment]  # noqa: RUF012

    with pytest.raises(
        TypeError, match=r"capabilities of Own is a dict: give privaudit\.targets\."
    ):
        capabilities_of(Own())


def test_a_pipeline_shows_itself_and_a_saved_one_is_loaded_for_it() -> None:
    pipeline = tiny_pipeline()
    able = capabilities_of(PipelineTarget(pipeline))
    assert able.pipeline is not None
    assert able.pipeline() is pipeline
    saved = SavedPipeline(AUDITS / "models" / "base", device="cpu")
    able = capabilities_of(as_target(saved))
    assert able.pace is not None
    assert "pipeline" not in vars(saved)
    assert able.pipeline is not None
    assert able.pipeline() is saved.pipeline


def test_nobody_but_a_target_asks_for_these_by_another_way() -> None:
    """An attribute that is asked for where it is needed is a capability that nobody can look up."""
    asked = []
    for file in Path(privaudit.__file__).parent.rglob("*.py"):
        if "targets" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "getattr",
                "hasattr",
            )
            if named and any(getattr(one, "value", None) in FIELDS for one in node.args):  # type: ignore[attr-defined]
                asked.append(f"{file.name}:{node.lineno}")  # type: ignore[attr-defined]
    assert not asked
