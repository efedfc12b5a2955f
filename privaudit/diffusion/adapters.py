"""Adapters: small files of weights that turn a base model into a fine-tune.

diffusers loads what it recognises of such a file and passes over the rest, so that an audit of
the base would pass for one of the fine-tune. Here a file is used whole, or it is an error.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
import xxhash

from privaudit.diffusion.lora_files import layout_of, read_lora, renamed
from privaudit.errors import GeneratorError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["ADAPTER_STATES", "adapters_of", "check_active", "fuse_adapter"]

ADAPTER_STATES = ("active_adapters", "merged", "disable_adapters")
"""What every layer of peft knows about itself."""
SCALES = ("cross_attention_kwargs", "joint_attention_kwargs", "attention_kwargs")
"""Arguments of a call, one ``scale`` in which multiplies those of all adapters."""
LISTED = 3
"""Unused keys that a message names."""
WAY_OUT = (
    "write it with pipeline.save_lora_weights, or fuse it where it was trained and save the whole "
    "pipeline"
)


def adapters_of(pipeline: Any) -> list[dict[str, Any]]:
    """List the adapters that a pipeline holds beside its weights, switched on or not.

    Parameters
    ----------
    pipeline
        A diffusers pipeline.

    Returns
    -------
    list of dict
        ``name``, ``component``, ``scale`` (the largest over its layers; 1 is as it was trained)
        and ``active`` (whether any layer applies it).
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for component, module in _modules(pipeline).items():
        layers: Iterable[Any] = module.modules()
        for layer in layers:
            if not all(hasattr(type(layer), state) for state in ADAPTER_STATES):
                continue
            for name, scale in getattr(layer, "scaling", {}).items():
                entry = found.setdefault(
                    (component, name),
                    {"name": name, "component": component, "scale": 0.0, "active": False},
                )
                entry["scale"] = max(entry["scale"], float(scale), key=abs)
                applied = name in layer.active_adapters and not layer.disable_adapters
                entry["active"] |= applied or name in layer.merged_adapters
    return list(found.values())


def check_active(pipeline: Any, call: Mapping[str, Any]) -> None:
    """Check that of the adapters a pipeline holds, if any, one at least has an effect.

    Parameters
    ----------
    pipeline
        A diffusers pipeline.
    call
        What its call will be given.

    Raises
    ------
    GeneratorError
        If all are switched off or have scale 0: the base would be audited.
    """
    adapters = adapters_of(pipeline)
    scale = next((call[name]["scale"] for name in SCALES if "scale" in (call.get(name) or {})), 1.0)
    if not adapters or (scale and any(a["active"] and a["scale"] for a in adapters)):
        return
    first = adapters[0]
    state = "switched off" if not first["active"] else "at scale 0"
    msg = (
        f"{len(adapters)} of {len(adapters)} adapters of {type(pipeline).__name__} have no effect "
        f"({first['name']!r} of the {first['component']} is {state}), so the base would be "
        "audited: call pipeline.enable_lora() and set_adapters(...), or, if that is meant, wrap "
        "it as privaudit.PipelineTarget(pipeline, allow_inactive_adapters=True)"
    )
    raise GeneratorError(msg)


def fuse_adapter(pipeline: Any, source: str | Path, scale: float = 1.0) -> list[dict[str, Any]]:
    """Load a LoRA into a pipeline, fuse it into the weights, and check that all of it was used.

    Keys of peft's ``save_pretrained``, of compiled and of parallel models are renamed to those
    of diffusers, which converts kohya's and others. The values in the layers are then compared
    with those of the file.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, which is changed.
    source
        Hub name, folder or file.
    scale
        How much of it: 1 as it was trained. It may be negative, and not 0.

    Returns
    -------
    list of dict
        As of :func:`adapters_of`, with ``fused``.

    Raises
    ------
    GeneratorError
        If a key of the file was not used, no weight changed, or ``scale`` is no number, or 0.
    """
    name = type(pipeline).__name__
    if not isinstance(scale, (int, float)) or not math.isfinite(scale) or not scale:
        msg = f"LoRA {str(source)!r} at scale {scale!r} changes nothing: leave it out, or give 1"
        raise GeneratorError(msg)
    if not hasattr(pipeline, "load_lora_weights"):
        msg = f"{name} takes no LoRA, and {str(source)!r} is one: fuse it where it was trained"
        raise GeneratorError(msg)
    file, tensors, config = read_lora(source)
    named = renamed(tensors, config, _modules(pipeline), str(file))
    understood, lost = _load(pipeline, file, tensors, named)
    unused = lost or _unused(pipeline, understood)
    if unused or not understood:
        _refuse(file, name, unused or list(named), named)
    components = sorted({adapter["component"] for adapter in adapters_of(pipeline)})
    before = {part: _adapted(getattr(pipeline, part)) for part in components}
    pipeline.fuse_lora(components=components, lora_scale=scale, safe_fusing=True)
    pipeline.unload_lora_weights()
    after = {part: dict(getattr(pipeline, part).named_parameters()) for part in components}
    if all(_values(after[p][n]) == value for p in components for n, value in before[p].items()):
        msg = (
            f"LoRA {str(file)!r} changes no weight of {name}: its layers are zeros, or too small "
            "for the dtype of the base; check that it is the file of a finished training"
        )
        raise GeneratorError(msg)
    return [
        {
            "name": str(source),
            "component": part,
            "scale": float(scale),
            "active": True,
            "fused": True,
        }
        for part in components
    ]


def _load(
    pipeline: Any,
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    named: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Have diffusers load it, and return what diffusers made of its keys, and those it dropped."""
    understood: dict[str, torch.Tensor] = {}
    lost: list[str] = []
    convert = type(pipeline).lora_state_dict

    def overheard(*given: Any, **options: Any) -> Any:
        answer = convert(*given, **options)
        understood.update(_state(answer))
        options.pop("weight_name", None)
        lost.extend(_lost(named, functools.partial(convert, **options)))
        return answer

    pipeline.lora_state_dict = overheard
    try:
        if named.keys() == tensors.keys():
            pipeline.load_lora_weights(file.parent, weight_name=file.name)
        else:
            pipeline.load_lora_weights(dict(named))
    except OSError:
        raise
    except Exception as error:
        msg = (
            f"LoRA {str(file)!r} cannot be loaded into {type(pipeline).__name__} "
            f"({first_line(error):.200}): its keys look like {layout_of(named)}; {WAY_OUT}"
        )
        raise GeneratorError(msg) from error
    finally:
        del pipeline.lora_state_dict
    return understood, lost


def _state(answer: Any) -> dict[str, torch.Tensor]:
    """Return the weights among what ``lora_state_dict`` returned."""
    return dict(answer[0] if isinstance(answer, tuple) else answer)


def _lost(named: Mapping[str, torch.Tensor], convert: Callable[..., Any]) -> list[str]:
    """Return the keys whose values are in nothing that a conversion makes of a file.

    Gradients tell: a converter renames, cuts, joins and scales tensors, some it repeats, and some
    it drops with a warning that nobody sees.
    """
    leaves = {
        key: value.detach().float().requires_grad_()
        for key, value in named.items()
        if not _is_alpha(key)
    }
    with torch.enable_grad():
        # Not the leaves themselves: a converter may scale a tensor in its place.
        copies = {key: leaves[key] * 1 if key in leaves else named[key] for key in named}
        made = [value for value in _state(convert(copies)).values() if value.requires_grad]
        if made:
            torch.stack([value.sum() for value in made]).sum().backward()  # type: ignore[no-untyped-call]
    return [key for key, leaf in leaves.items() if leaf.grad is None]


def _unused(pipeline: Any, understood: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the keys whose values are in no layer of the pipeline."""
    there: Counter[str] = Counter(
        _values(parameter)
        for module in _modules(pipeline).values()
        for name, parameter in module.named_parameters()
        # What peft found no value for, it leaves without one.
        if (".lora_" in name or ".lokr_" in name) and not parameter.is_meta
    )
    unused = []
    for key, value in understood.items():
        if _is_alpha(key):
            continue
        # A layer may have the dtype of the file or of the model.
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            digest = _values(value.to(dtype))
            if there[digest]:
                there[digest] -= 1
                break
        else:
            unused.append(key)
    return unused


def _refuse(file: Path, name: str, unused: Sequence[str], named: Mapping[str, Any]) -> None:
    shown = ", ".join(unused[:LISTED]) + (", …" if len(unused) > LISTED else "")
    msg = (
        f"{len(unused)} of {len(named)} keys of the LoRA {str(file)!r} are of no use to {name} "
        f"({shown}), so a part of the fine-tune, or all of it, would be missing: its keys look "
        f"like {layout_of(unused)}; {WAY_OUT}"
    )
    raise GeneratorError(msg)


def _adapted(module: torch.nn.Module) -> dict[str, str]:
    """Hash the weights that adapters are laid over, by the names these have without them."""
    return {
        name.replace(".base_layer.", "."): _values(parameter)
        for name, parameter in module.named_parameters()
        if ".base_layer." in name
    }


def _values(tensor: torch.Tensor) -> str:
    flat: Any = tensor.detach().float().cpu().contiguous().flatten().numpy()
    return f"{len(flat)}:{xxhash.xxh3_128(flat).hexdigest()}"


def _is_alpha(key: str) -> bool:
    return key.endswith(".alpha")


def _modules(pipeline: Any) -> dict[str, torch.nn.Module]:
    return {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
