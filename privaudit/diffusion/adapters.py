"""Adapters: small files of weights that turn a base model into a fine-tune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ADAPTER_STATES", "adapters_of"]

ADAPTER_STATES = ("active_adapters", "merged", "disable_adapters")
"""What every layer of peft knows about itself."""


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
    for component, module in pipeline.components.items():
        if not isinstance(module, torch.nn.Module):
            continue
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
