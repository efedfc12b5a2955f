"""Diffusers pipelines from folders and the hub, with what was fine-tuned put in its place."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.device import chosen_device
from privaudit.diffusion.adapters import fuse_adapter
from privaudit.diffusion.inversions import add_inversion
from privaudit.errors import GeneratorError, first_line
from privaudit.targets.arguments import DTYPES, dtype_argument, several, weighted
from privaudit.targets.single_file import ON_HUB, load_part, load_single_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.targets.arguments import Adapters

__all__ = ["check_used", "known_base", "load_pipeline"]


def load_pipeline(
    base: str | Path,
    *,
    config: str | Path | None = None,
    pipeline_class: type | str | None = None,
    unet: Any = None,
    transformer: Any = None,
    lora: Adapters = None,
    textual_inversion: str | Path | Sequence[str | Path] | None = None,
    biases: str | Path | None = None,
    device: str | torch.device | None = None,
    **from_pretrained: Any,
) -> Any:
    """Load a diffusers text-to-image pipeline, with LoRA adapters fused into it.

    Parameters
    ----------
    base
        Hub name or local folder of a whole pipeline, or a single file with all its weights.
    config
        Of a single file: folder of a pipeline of the same architecture, such as the base's. Its
        weights are not read, but for text encoders where the file of a transformer has none.
    pipeline_class
        Class of a pipeline that is not diffusers' own, or its name as ``"package.module:Class"``,
        which is imported. Code that comes with a model from the hub is not run.
    unet, transformer
        Folder, or single ``.safetensors`` file, of a fine-tuned denoiser to put in place of the
        base's; or the denoiser itself. A file has the names of diffusers, or those of the family's
        authors where diffusers converts them.
    lora
        Hub name, folder or file of a LoRA, in the layout of diffusers, peft, kohya, or another
        that diffusers converts. Several in a list, or, each with its scale, in a mapping:
        ``{"faces.safetensors": 0.8, "style.safetensors": 0.5}``.
    textual_inversion
        File of a textual inversion, or several: its token must be in the captions to be drawn.
    biases
        Folder that ``save_biases`` of the result of :func:`privaudit.finetune` wrote.
    device
        Where to run; by default a GPU when there is one.
    **from_pretrained
        Passed on, such as ``dtype=torch.float16``, which may be named, ``"float16"``. All parts get
        float32 unless told.

    Returns
    -------
    diffusers.DiffusionPipeline
        Ready to generate, without its own progress bar.

    Raises
    ------
    GeneratorError
        If there is no such pipeline or adapter; if a single file is not all of a pipeline, or of a
        denoiser, as its config describes it; if ``pipeline_class`` is no class of pipelines; if
        the pipeline has no such part; if a key of an adapter is not used, or no weight changed by
        it; if a textual inversion adds no word.

    Examples
    --------
    In the folder of this repository:

    >>> pipeline = load_pipeline("audits/models/base", lora="audits/models/shadow", device="cpu")
    >>> type(pipeline).__name__
    'StableDiffusionPipeline'
    """
    device = chosen_device(device)
    dtypes = {n: _as_dtype(v) for n, v in from_pretrained.items() if n in DTYPES and v is not None}
    if not dtypes:
        # diffusers would load its own parts in float32 and those of transformers as they were
        # saved: a half and a whole that do not fit together.
        dtypes[dtype_argument()] = torch.float32
    from_pretrained = {n: v for n, v in from_pretrained.items() if n not in DTYPES} | dtypes
    # A learned word alone is no other model: what has no such word is drawn as by the base.
    parts = (unet, transformer, lora, biases)
    known = {"base": base, "config": config, "pipeline_class": pipeline_class, **from_pretrained}
    origin = known if any(p is not None for p in parts) else None
    fused: list[dict[str, Any]] = []
    try:
        for name, part in (("unet", unet), ("transformer", transformer)):
            if isinstance(part, (str, Path)) and Path(part).is_file():
                where = {n: from_pretrained[n] for n in ON_HUB if n in from_pretrained}
                into = base if config is None else config
                from_pretrained[name] = load_part(
                    Path(part), name, into, next(iter(dtypes.values())), where
                )
            elif isinstance(part, (str, Path)):
                from_pretrained[name] = _model_class(Path(part)).from_pretrained(part, **dtypes)
            elif part is not None:
                from_pretrained[name] = part
        pipeline = _loaded(base, config, pipeline_class, from_pretrained)
        check_used(pipeline, from_pretrained)
        for source, scale in weighted(lora).items():
            fused += fuse_adapter(pipeline, source, scale)
        for source in several(textual_inversion):
            words = add_inversion(pipeline, source)
            fused.append({"name": str(source), "component": "tokenizer", "tokens": words})
        if biases is not None:
            _put_biases(pipeline, Path(biases))
    except (OSError, ValueError) as error:
        extra = "".join(
            f" with {name} {str(given)!r}"
            for name, given in (
                ("U-Net", unet),
                ("transformer", transformer),
                ("LoRA", lora),
                ("textual inversion", textual_inversion),
                ("biases", biases),
            )
            if isinstance(given, (str, Path))
        )
        msg = (
            f"pipeline {str(base)!r}{extra} cannot be loaded ({first_line(error)}): "
            "check the folder or hub name"
        )
        raise GeneratorError(msg) from error
    pipeline.set_progress_bar_config(disable=True)
    # What the pipeline cannot tell by itself, for the record and for a comparison with the base.
    pipeline.privaudit_fused, pipeline.privaudit_base = fused, origin
    put_in = [unet, transformer, biases, *weighted(lora), *several(textual_inversion)]
    pipeline.privaudit_fine_tuned = [part for part in put_in if part is not None] or [base]
    return pipeline.to(device)


def known_base(pipeline: Any) -> Any:
    """Load the model that :func:`load_pipeline` put a pipeline's fine-tuned part into.

    Returns
    -------
    diffusers.DiffusionPipeline or None
        ``None`` if it was put into none, or not by us.
    """
    known = getattr(pipeline, "privaudit_base", None)
    return None if known is None else load_pipeline(**known, device=pipeline.device)


def _loaded(
    base: str | Path,
    config: str | Path | None,
    pipeline_class: type | str | None,
    from_pretrained: dict[str, Any],
) -> Any:
    """Load a pipeline as text-to-image; one that diffusers lists for no task, by its own class."""
    import diffusers

    if pipeline_class is not None:
        own = _class_of(pipeline_class)
        if config is not None or Path(base).is_file():
            msg = f"pipeline_class={own.__name__} takes a folder or hub name, and no single file"
            raise GeneratorError(msg)
        return own.from_pretrained(base, **from_pretrained)
    if Path(base).is_file():
        return load_single_file(Path(base), config, from_pretrained)
    try:
        return diffusers.AutoPipelineForText2Image.from_pretrained(base, **from_pretrained)
    except ValueError:
        about = {name: from_pretrained[name] for name in ON_HUB if name in from_pretrained}
        named = diffusers.DiffusionPipeline.load_config(base, **about).get("_class_name")
        kind = getattr(diffusers, str(named), None)
        if kind is None:
            msg = (
                f"pipeline {str(base)!r} is a {named}, which diffusers {diffusers.__version__} "
                "does not have: where its class is your own, name it with "
                'pipeline_class="package.module:Class"; otherwise update diffusers'
            )
            raise GeneratorError(msg) from None
        return kind.from_pretrained(base, **from_pretrained)


def _class_of(given: type | str) -> Any:
    """Import the class of a pipeline, if it is only named."""
    from diffusers import DiffusionPipeline

    found: Any = given
    if isinstance(given, str):
        module, _, name = given.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            msg = (
                f"pipeline_class={given!r} cannot be imported ({error}): write "
                '"package.module:Class" of a module that Python finds'
            )
            raise GeneratorError(msg) from error
    if not (isinstance(found, type) and issubclass(found, DiffusionPipeline)):
        msg = f"pipeline_class={given!r} is no subclass of diffusers.DiffusionPipeline"
        raise GeneratorError(msg)
    return found


def _model_class(folder: Path) -> Any:
    """Return the class of diffusers that a folder was saved by."""
    import diffusers

    config = folder / "config.json"
    named = json.loads(config.read_text()).get("_class_name", "") if config.exists() else ""
    return getattr(diffusers, named, diffusers.UNet2DConditionModel)


def check_used(pipeline: Any, parts: dict[str, Any]) -> None:
    """Check that a pipeline took the models it was given: diffusers passes over others."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module) and getattr(pipeline, name, None) is not part:
            there = [n for n, p in pipeline.components.items() if isinstance(p, torch.nn.Module)]
            msg = (
                f"{type(pipeline).__name__} has no {name}, so the one given would not be audited: "
                f"its models are {', '.join(there)}"
            )
            raise GeneratorError(msg)


def _put_biases(pipeline: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    from privaudit.diffusion.fine_tuned import BIASES_FILE

    part = "unet" if getattr(pipeline, "transformer", None) is None else "transformer"
    file, denoiser = folder / BIASES_FILE.format(part=part), getattr(pipeline, part)
    found = load_file(file)
    wanted = {name: p.shape for name, p in denoiser.named_parameters() if name.endswith("bias")}
    if {name: value.shape for name, value in found.items()} != wanted:
        msg = f"{file} holds {len(found)} biases that are not those of this {part}"
        raise ValueError(msg)
    denoiser.load_state_dict(found, strict=False)


def _as_dtype(given: Any) -> Any:
    """Return the dtype of a name: given a name, diffusers loads in float32 and goes on."""
    if isinstance(given, Mapping):
        return {part: _as_dtype(value) for part, value in given.items()}
    found = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype):
        msg = f"dtype={given!r} is no dtype of torch: use one such as 'float16' or torch.float16"
        raise GeneratorError(msg)
    return found
