"""Pipelines written down, so that a later session finds what an earlier one fine-tuned."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from privaudit.errors import GeneratorError, PrivauditError
from privaudit.files import read_object
from privaudit.targets.arguments import DTYPES, dtype_argument
from privaudit.targets.convert import is_pipeline, untuned
from privaudit.targets.saved import SavedPipeline

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["kept_pipeline", "why_not_kept", "write_pipeline"]

HOW = "load.json"
"""What a folder of a kept pipeline says of how it is loaded."""
WHOLE = "pipeline"
ALIKE = 1.0
"""Levels of 255 that the pictures of the kept and of the original may differ by, on average:
a fused adapter rounds otherwise."""
PROBE_STEPS = 2


def why_not_kept(model: Any, limit: int | None) -> str | None:
    """Say why a model cannot be written down, or ``None`` if it can.

    Parameters
    ----------
    model
        What a ``fine_tune`` fixture returned.
    limit
        Bytes that the store may take: one model takes half of them at most.
    """
    if isinstance(model, SavedPipeline):
        return None
    pipeline = _pipeline_of(model)
    if pipeline is None:
        return (
            f"a {type(model).__name__} cannot be written down; return a diffusers pipeline, what "
            "privaudit.finetune returned, or a SavedPipeline"
        )
    modules = [part for part in pipeline.components.values() if hasattr(part, "parameters")]
    size = sum(p.numel() * p.element_size() for part in modules for p in part.parameters())
    if limit is not None and size > limit / 2:
        return (
            f"it has {size / 1e6:,.0f} MB of weights, over half of what the store may take "
            f"({limit / 1e6:,.0f} MB); raise --privaudit-store-limit"
        )
    return None


def write_pipeline(model: Any, folder: Path) -> None:
    """Write a pipeline as safetensors, adapters fused into its weights, and how it is loaded.

    Of a :class:`privaudit.SavedPipeline`, whose files are there, only their names and hash.

    Parameters
    ----------
    model
        A diffusers pipeline, what ``finetune`` returned, or a :class:`privaudit.SavedPipeline`.
    folder
        An empty folder.

    Raises
    ------
    GeneratorError
        If the pipeline that was written is not the one that was given: its class is not loaded
        again, or it draws something else.
    OSError
        If it cannot be written.
    """
    if isinstance(model, SavedPipeline):
        how = {"arguments": model.arguments(), "fingerprint": model.fingerprint}
        (folder / HOW).write_text(json.dumps(how), encoding="utf-8")
        return
    pipeline = _pipeline_of(model)
    try:
        _without_adapters(pipeline).save_pretrained(folder / WHOLE, safe_serialization=True)
    except OSError:
        raise
    except Exception as error:  # whatever it is, hours of training must not be lost for it
        msg = f"{type(pipeline).__name__} cannot be saved ({type(error).__name__}: {error})"
        raise GeneratorError(msg) from error
    how = {
        "arguments": {
            "device": pipeline.device.type,
            dtype_argument(): str(pipeline.dtype).removeprefix("torch."),
        }
    }
    (folder / HOW).write_text(json.dumps(how), encoding="utf-8")
    _check_same(pipeline, kept_pipeline(folder))


def kept_pipeline(folder: Path) -> SavedPipeline:
    """Return the pipeline that :func:`write_pipeline` wrote.

    Raises
    ------
    GeneratorError
        If it is not there, or no longer what it was.
    """
    how = read_object(folder / HOW, GeneratorError)
    stated = how.get("fingerprint")
    arguments = dict(how["arguments"])
    if stated is None:
        arguments["base"] = folder / WHOLE
    import torch

    for name in set(DTYPES) & set(arguments):
        arguments[name] = getattr(torch, str(arguments[name]))
    saved = SavedPipeline(**(arguments | {"device": _there(arguments.get("device"))}))
    if stated is not None and saved.fingerprint != stated:
        msg = f"the files in {arguments['base']!r} are not those that fine_tune wrote"
        raise GeneratorError(msg)
    return saved


def _there(device: str | None) -> str | None:
    """Return a device if this machine has it."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        return None
    return device


def _pipeline_of(model: Any) -> Any:
    """Return the diffusers pipeline that a model is, or has, or ``None``."""
    model = untuned(model)
    return model if is_pipeline(model) else None


def _without_adapters(pipeline: Any) -> Any:
    """Return a pipeline whose adapters are in its weights; the one given is left as it was."""
    from privaudit.diffusion.adapters import adapters_of
    from privaudit.diffusion.fine_tuned import with_parts

    adapted = sorted({adapter["component"] for adapter in adapters_of(pipeline)})
    if not adapted:
        return pipeline
    parts = {name: copy.deepcopy(getattr(pipeline, name)) for name in adapted}
    fused = with_parts(pipeline, **parts)
    fused.fuse_lora(components=adapted, safe_fusing=True)
    fused.unload_lora_weights()
    return fused


def _check_same(pipeline: Any, saved: SavedPipeline) -> None:
    """Check that what was written draws what was given: a hook, say, is in no file."""
    from privaudit.targets.pictures import mean_difference
    from privaudit.targets.pipeline import PipelineTarget

    name = type(pipeline).__name__
    try:
        loaded = saved.pipeline
    except PrivauditError as error:
        msg = f"{name} cannot be loaded once it is saved ({error})"
        raise GeneratorError(msg) from error
    if type(loaded) is not type(pipeline):
        msg = f"{name} is loaded as {type(loaded).__name__} once it is saved"
        raise GeneratorError(msg)
    given, again = (
        PipelineTarget(one, num_inference_steps=PROBE_STEPS).probe_pictures
        for one in (pipeline, loaded)
    )
    for one, other in zip(given, again, strict=True):
        apart = mean_difference(one, other.resize(one.size))
        if apart > ALIKE:
            msg = f"{name} draws something else once it is saved and loaded: a part of it is in no "
            msg += f"file (pictures are {apart:.1f} levels of 255 apart)"
            raise GeneratorError(msg)
