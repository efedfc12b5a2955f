"""What makes two pipelines the same: weights, settings, and what is drawn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import xxhash

from privaudit.diffusion.adapters import ADAPTER_STATES
from privaudit.errors import GeneratorError, first_line
from privaudit.fingerprint import fingerprint_module
from privaudit.targets.arguments import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PROBES", "component_identity"]

PROBES = (
    ("Zoë's 3 cats, PLAYING <b>chess</b> &amp; tea — 100% of the time", 1),
    (" ".join(f"a picture of {n} small things," for n in range(14)), 1),
)
"""Prompts and seeds of the probe: marks, capitals and entities that a tokenizer may treat in its
own way, and a text that is longer than CLIP reads. They have one seed: who draws one picture for
both ignores the prompt."""
OF_TOKENIZERS = ("model_max_length", "padding_side", "truncation_side", "special_tokens_map")
"""Settings of a tokenizer that a probe may miss: of a text that repeats itself, what is cut off on
either side may leave nearly the same."""


def component_identity(component: Any) -> Any:
    """Return what is known of a component without running it, as plain values."""
    if isinstance(component, torch.nn.Module):
        # An adapter's scale and whether it is on are not in the state dict. Asked of the class: to
        # ask each of a thousand layers takes longer than to hash them.
        adapters = [
            [name, *(getattr(layer, state, None) for state in ("scaling", *ADAPTER_STATES))]
            for name, layer in component.named_modules()
            if all(hasattr(type(layer), state) for state in ADAPTER_STATES)
        ]
        dtype = str(next((p.dtype for p in component.parameters()), None))
        return [
            _weights(component),
            _settings(getattr(component, "config", None)),
            dtype,
            adapters,
        ]
    if hasattr(component, "get_vocab"):
        settings = {name: plain(getattr(component, name, None)) for name in OF_TOKENIZERS}
        return [type(component).__qualname__, component.get_vocab(), settings]
    if hasattr(component, "config"):
        return [type(component).__qualname__, _settings(component.config)]
    return repr(type(component))


def _settings(config: Any) -> dict[str, Any]:
    """Return a component's configuration, but for where it came from and who wrote it.

    Names with an underscore are diffusers' own notes, one of which is a set in no order.
    """
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config or {})
    notes = ("_", "transformers_version")
    return {name: value for name, value in values.items() if not name.startswith(notes)}


def _weights(module: torch.nn.Module) -> str:
    """Hash a module's weights, also those that are offloaded or quantised.

    Raises
    ------
    GeneratorError
        If there is no way to their values.
    """
    try:
        return fingerprint_module(module)
    except (NotImplementedError, RuntimeError, TypeError, AttributeError):
        digest = xxhash.xxh3_128(type(module).__qualname__.encode())
    try:
        offloaded = _offloaded(module)
        for name, value in sorted(module.state_dict().items()):
            for part in _plain_parts(offloaded.get(name, value)):
                digest.update(name.encode())
                digest.update(part)
    except (NotImplementedError, RuntimeError, TypeError, AttributeError) as error:
        msg = (
            f"the weights of {type(module).__name__} cannot be read, so nothing tells it from "
            f"another model ({first_line(error):.120}): load it without offloading and "
            "quantisation, or audit it as a callable with a fingerprint"
        )
        raise GeneratorError(msg) from error
    return digest.hexdigest()


def _offloaded(module: torch.nn.Module) -> dict[str, Any]:
    """Return the values that accelerate keeps for modules whose own are on no device."""
    found = {}
    for path, part in module.named_modules():
        hook: Any = getattr(part, "_hf_hook", None)
        for inner in getattr(hook, "hooks", [hook]):
            values = getattr(inner, "weights_map", None)
            if values is None:
                continue
            for name, parameter in (*part.named_parameters(), *part.named_buffers()):
                if parameter.is_meta and name in values:
                    found[f"{path}.{name}" if path else name] = values[name]
    return found


def _plain_parts(value: Any) -> Iterator[bytes]:
    """Yield all that a value of a state dict consists of, as bytes."""
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _plain_parts(inner)
    elif not isinstance(value, torch.Tensor):
        yield repr(value).encode()
    elif hasattr(value, "__tensor_flatten__"):  # a subclass, such as torchao's
        names, about = value.__tensor_flatten__()
        yield repr(about).encode()
        for name in names:
            yield from _plain_parts(getattr(value, name))
    elif value.is_quantized:
        yield from _plain_parts(value.int_repr())
        yield from _plain_parts(value.dequantize())  # scales and zero points
    else:
        yield f"{tuple(value.shape)}{value.dtype}".encode()
        raw: Any = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        yield raw.tobytes()
