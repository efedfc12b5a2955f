"""What is looked at in each pipeline of the zoo."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from privaudit import PipelineTarget
from privaudit.fingerprint import fingerprint_module
from tests.zoo.registry import Kind

PROMPTS = (
    "a fox",
    "Two BEARS, 'dancing' on a <b>wire</b> &amp; a drum: é",
    " ".join(f"{n} small houses near the sea," for n in range(12)),
)
SEEDS = (5, 6, 7)


def by_hand(kind: Kind, pipeline: Any, prompt: str, seed: int) -> Image.Image:
    """Draw as the documentation of diffusers does: one prompt, one generator."""
    with torch.no_grad():
        output = pipeline(
            prompt=prompt, generator=torch.Generator("cpu").manual_seed(seed), **kind.call
        )
    picture = kind.picture(output)
    if isinstance(picture, Image.Image):
        return picture
    return Image.fromarray((picture * 255).round().astype(np.uint8))


def pixels(kind: Kind, pipeline: Any, n: int = len(PROMPTS)) -> np.ndarray:
    """Draw the last n prompts by hand, of which the very last is longer than any encoder reads."""
    asked = zip(PROMPTS[-n:], SEEDS[-n:], strict=True)
    return np.stack([np.asarray(by_hand(kind, pipeline, *one), int) for one in asked])


def target_of(kind: Kind, pipeline: Any) -> PipelineTarget:
    return PipelineTarget(pipeline, **kind.call)


@contextlib.contextmanager
def counting(kind: type) -> Iterator[list[int]]:
    """Count the images that pipelines of a class draw, and leave the pipelines as they are."""
    plain = kind.__call__
    drawn: list[int] = []

    @functools.wraps(plain)
    def call(self: Any, *given: Any, **named: Any) -> Any:
        generators = named.get("generator")
        drawn.append(len(generators) if isinstance(generators, list) else 1)
        return plain(self, *given, **named)

    kind.__call__ = call
    try:
        yield drawn
    finally:
        kind.__call__ = plain


def state(pipeline: Any) -> dict[str, Any]:
    """Take down all that an audit might change in a pipeline."""
    found = {f"pipeline, {name}": value for name, value in _plain(vars(pipeline))}
    found["pipeline, configuration"] = repr(sorted(map(repr, pipeline.config.items())))
    for name, part in pipeline.components.items():
        found[name] = id(part)
        if isinstance(part, torch.nn.Module):
            found[f"{name}, weights"] = fingerprint_module(part)
            found[f"{name}, modules"] = [
                [path, m.training, sorted(vars(m)), *(len(h) for h in _hooks(m))]
                for path, m in part.named_modules()
            ]
        elif hasattr(part, "get_vocab"):
            found[f"{name}, tokens"] = [repr(part), part.padding_side, part.model_max_length]
        elif hasattr(part, "__dict__"):
            found |= {f"{name}, {inner}": value for inner, value in _plain(vars(part))}
    return found


def lasting(pipeline: Any, call: Callable[[], Any]) -> dict[str, Any]:
    """Take down what a call by hand does not change either, such as a solver's last step."""
    before = state(pipeline)
    call()
    return {name: value for name, value in state(pipeline).items() if before.get(name) == value}


def _hooks(module: torch.nn.Module) -> list[Any]:
    return [value for name, value in vars(module).items() if name.endswith("_hooks")]


def _plain(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    kinds = (bool, int, float, str, list, tuple, dict, type(None), torch.Tensor)
    for name, value in values.items():
        yield name, repr(value) if isinstance(value, kinds) else id(value)


def copied(pipeline: Any) -> Any:
    """Copy a pipeline with all that it consists of."""
    return copy.deepcopy(pipeline)
