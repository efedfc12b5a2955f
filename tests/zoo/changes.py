"""Ways to change one thing of a pipeline, whatever its class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

Change = Callable[[Any], None]
TOKENS = {
    "padding_side": "left",
    "truncation_side": "left",
    "model_max_length": 8,
    "pad_token": "a",
}
SETTINGS = 2
"""Values of one configuration that are tried."""


def weights_of(pipeline: Any) -> dict[str, Change]:
    """Change the weights of each module a little."""

    def change(name: str) -> Change:
        def apply(pipeline: Any) -> None:
            with torch.no_grad():
                for parameter in pipeline.components[name].parameters():
                    if parameter.is_floating_point():
                        parameter.mul_(1.1).add_(0.01)

        return apply

    parts = pipeline.components.items()
    return {f"{name}: weights": change(name) for name, p in parts if isinstance(p, torch.nn.Module)}


def settings_of(pipeline: Any) -> dict[str, Change]:
    """Change settings of tokenizers, schedulers and of the pipeline itself, one at a time."""
    found: dict[str, Change] = {}
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) or part is None:
            continue
        tokenizer = getattr(part, "tokenizer", part)
        if hasattr(tokenizer, "get_vocab"):
            for setting, value in TOKENS.items():
                found[f"{name}: {setting}"] = _attribute(_tokenizer(name), setting, value)
        elif hasattr(part, "register_to_config"):
            found |= _configuration(name, _component(name), part, SETTINGS)
            found |= _tensors(name, _component(name), part)
    found |= _configuration("pipeline", _itself, pipeline, 99, set(pipeline.components))
    for name, value in vars(pipeline).items():
        if name in pipeline.components or name.startswith("_"):
            continue
        if hasattr(value, "register_to_config") and not hasattr(value, "components"):
            found |= _configuration(name, _inner(name), value, SETTINGS)
        elif (other := _other(value)) is not None:
            found[f"pipeline: {name}"] = _attribute(_itself, name, other)
    return found


def _itself(pipeline: Any) -> Any:
    return pipeline


def _inner(name: str) -> Callable[[Any], Any]:
    return lambda pipeline: getattr(pipeline, name)


def _component(name: str) -> Callable[[Any], Any]:
    return lambda pipeline: pipeline.components[name]


def _tokenizer(name: str) -> Callable[[Any], Any]:
    def get(pipeline: Any) -> Any:
        part = pipeline.components[name]
        return getattr(part, "tokenizer", part)

    return get


def _attribute(get: Callable[[Any], Any], name: str, value: Any) -> Change:
    return lambda pipeline: setattr(get(pipeline), name, value)


def _configuration(
    label: str, get: Callable[[Any], Any], part: Any, most: int, left_out: Any = ()
) -> dict[str, Change]:
    def change(name: str, value: Any) -> Change:
        def apply(pipeline: Any) -> None:
            owner = get(pipeline)
            if hasattr(owner, "set_timesteps"):  # its tables are made of it
                settings = {k: v for k, v in owner.config.items() if not k.startswith("_")}
                owner.__init__(**settings | {name: value})
            else:
                owner.register_to_config(**{name: value})

        return apply

    found: dict[str, Change] = {}
    for name, value in _by_effect(dict(part.config)):
        other = _other(value)
        if name.startswith("_") or name in left_out or other is None or len(found) == most:
            continue
        found[f"{label}: config {name}"] = change(name, other)
    return found


def _by_effect(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Numbers first: most flags of a scheduler want another flag beside them."""
    yield from sorted(config.items(), key=lambda item: type(item[1]) is not float)


def _tensors(label: str, get: Callable[[Any], Any], part: Any) -> dict[str, Change]:
    def change(name: str) -> Change:
        def apply(pipeline: Any) -> None:
            values = getattr(get(pipeline), name)
            setattr(get(pipeline), name, values * 0.9)

        return apply

    return {
        f"{label}: {name}": change(name)
        for name, value in vars(part).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
    }


def _other(value: Any) -> Any:
    """Return another value of the same kind, if there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 1
    if isinstance(value, float):
        return value * 1.5 if value else 0.5
    if isinstance(value, str) and " " in value:
        return f"{value[len(value) // 2 :]} painted"
    if isinstance(value, (list, tuple)) and value and type(value[0]) in (int, float):
        return type(value)(_other(inner) for inner in value)
    return None
