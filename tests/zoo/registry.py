"""The zoo's list: which pipelines there are, and how each is built and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Parts = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A pipeline class of diffusers, built tiny."""

    name: str
    family: str
    parts: Callable[[], Parts]
    call: dict[str, Any] = field(default_factory=dict)
    """What keeps it small: sizes and numbers of steps."""
    own: dict[str, Any] = field(default_factory=dict)
    """Attributes of the pipeline itself that do so where its call has no such argument."""
    output: str = "images"
    """Where the pictures are in what its call returns."""

    silent: frozenset[str] = frozenset()
    """Modules that have no part in a picture, such as the encoder of an image to be edited."""

    def picture(self, output: Any) -> Any:
        """Take the one picture out of what its call returned."""
        return getattr(output, self.output)[0]

    def build(self, seed: int = 0) -> Any:
        import diffusers

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts = self.parts()
            pipeline = getattr(diffusers, self.name)(**parts)
            for part in parts.values():
                if isinstance(part, torch.nn.Module):
                    _enliven(part)
        for name, value in self.own.items():
            setattr(pipeline, name, value)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


ZOO: dict[str, Kind] = {}


def builds(
    name: str,
    family: str,
    *,
    own: Parts | None = None,
    output: str = "images",
    silent: tuple[str, ...] = (),
    steps: str | None = "num_inference_steps",
    **call: Any,
) -> Callable[[Callable[[], Parts]], Any]:
    """Put a pipeline on the list: the function below makes its parts."""
    few = {} if steps is None else {steps: 2}

    def register(parts: Callable[[], Parts]) -> Callable[[], Parts]:
        assert name not in ZOO
        ZOO[name] = Kind(
            name,
            family,
            parts,
            few | call,
            own or {},
            output,
            frozenset(f"{one}: weights" for one in silent),
        )
        return parts

    return register


def flow() -> Any:
    """Return the scheduler of most transformers."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler()


def _enliven(module: torch.nn.Module) -> None:
    """Give a value to what is zero or one at first, or a part of the model would change nothing."""
    module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if (
                parameter.is_floating_point()
                and parameter.numel()
                and parameter.std(correction=0) == 0
            ):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
