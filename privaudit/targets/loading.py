"""Diffusers pipelines from folders and the hub, with what was fine-tuned put in its place."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.device import chosen_device
from privaudit.diffusion.adapters import fuse_adapter
from privaudit.diffusion.inversions import add_inversion
from privaudit.diffusion.lora_files import ADAPTERS
from privaudit.diffusion.weights import check_part, read_pickle, weight_files
from privaudit.errors import GeneratorError, PrivauditError, first_line
from privaudit.files import read_object
from privaudit.hub import describe_missing, is_hub_name, one_try
from privaudit.targets.arguments import (
    DTYPES,
    FROM_PRETRAINED,
    check_keywords,
    dtype_argument,
    several,
    weighted,
)
from privaudit.targets.calls import check_starts_from_noise
from privaudit.targets.single_file import ON_HUB, load_part, load_single_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.targets.arguments import Adapters

__all__ = ["check_used", "known_base", "load_pipeline"]

HOW = ("low_cpu_mem_usage", "use_safetensors", "force_download", "disable_mmap")
"""Arguments of ``from_pretrained`` that a part alone takes as a pipeline does."""


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
        ``{"faces.safetensors": 0.8, "style.safetensors": 0.5}``. Of a folder that holds an adapter
        beside the pipeline, ``{}`` loads the pipeline without it.
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
    sources = [base, config, unet, transformer, *weighted(lora), *several(textual_inversion)]
    with contextlib.ExitStack() as stack:
        problem = stack.enter_context(one_try()) if any(map(is_hub_name, sources)) else ""
        try:
            pipeline = _load(
                base, config, pipeline_class, unet, transformer, lora, textual_inversion, biases,
                from_pretrained,
            )  # fmt: skip
        except PrivauditError:
            raise
        except Exception as error:
            # Libraries raise a dozen types for one mistake: files that are not what they should be.
            parts = {"U-Net": unet, "transformer": transformer, "LoRA": lora}
            parts |= {"textual inversion": textual_inversion, "biases": biases}
            extra = "".join(
                f" with {name} {str(part)!r}"
                for name, part in parts.items()
                if isinstance(part, (str, Path))
            )
            reason = first_line(error)
            if "weights_only" in str(
                error
            ):  # torch's way round the check, which nobody should take
                reason = "a file of weights is a pickle that holds more than tensors"
            step = "check the folder or hub name"
            if problem:
                names = ", ".join(repr(one) for one in sources if is_hub_name(one))
                reason = f"{names} is no path here, was not downloaded before, and {problem}"
                step = "check the path, or download the model where there is a network"
            msg = f"pipeline {str(base)!r}{extra} cannot be loaded ({reason}): {step}"
            raise GeneratorError(msg) from error
    pipeline.set_progress_bar_config(disable=True)
    put_in = [unet, transformer, biases, *weighted(lora), *several(textual_inversion)]
    pipeline.privaudit_fine_tuned = [part for part in put_in if part is not None] or [base]
    return pipeline.to(device)


def _load(
    base: str | Path,
    config: str | Path | None,
    pipeline_class: type | str | None,
    unet: Any,
    transformer: Any,
    lora: Adapters,
    textual_inversion: str | Path | Sequence[str | Path] | None,
    biases: str | Path | None,
    from_pretrained: dict[str, Any],
) -> Any:
    """Load a pipeline and what is put into it, where it is loaded: on no device yet."""
    paths = {"base": base, "config": config, "biases": biases}
    paths |= {"unet": unet, "transformer": transformer}
    for role, source in (
        *paths.items(),
        *(("lora", source) for source in weighted(lora)),
        *(("textual_inversion", source) for source in several(textual_inversion)),
    ):
        there = not isinstance(source, (str, Path)) or Path(source).exists()
        if not there and not is_hub_name(source):
            msg = f"{role} {str(source)!r} {describe_missing(source)}"
            raise GeneratorError(msg)
    dtypes = {n: _as_dtype(v) for n, v in from_pretrained.items() if n in DTYPES and v is not None}
    if not dtypes:
        # diffusers would load its own parts in float32 and those of transformers as they were
        # saved: a half and a whole that do not fit together.
        dtypes[dtype_argument()] = torch.float32
    from_pretrained = {n: v for n, v in from_pretrained.items() if n not in DTYPES} | dtypes
    own = None if pipeline_class is None else _class_of(pipeline_class)
    adapters = weighted(lora)
    given = None if lora is not None and not adapters else [Path(a).resolve() for a in adapters]
    _check_arguments(base, config, own, from_pretrained, given)
    # A learned word alone is no other model: what has no such word is drawn as by the base.
    origin = {"base": base, "config": config, "pipeline_class": pipeline_class, **from_pretrained}
    origin["lora"] = {}
    tuned = adapters or any(part is not None for part in (unet, transformer, biases))
    for name, part in (("unet", unet), ("transformer", transformer)):
        if isinstance(part, (str, Path)) and Path(part).is_file():
            where = {n: from_pretrained[n] for n in ON_HUB if n in from_pretrained}
            into = base if config is None else config
            from_pretrained[name] = load_part(
                Path(part), name, into, next(iter(dtypes.values())), where
            )
        elif isinstance(part, (str, Path)):
            from_pretrained[name] = _load_denoiser(part, name, from_pretrained)
        elif part is not None:
            from_pretrained[name] = part
    pipeline = _loaded(base, config, own, from_pretrained)
    check_used(pipeline, from_pretrained)
    if not Path(base).is_file():
        _check_parts(pipeline, base, from_pretrained)
    check_starts_from_noise(pipeline)
    fused: list[dict[str, Any]] = []
    for source, scale in weighted(lora).items():
        fused += fuse_adapter(pipeline, source, scale)
    for source in several(textual_inversion):
        words = add_inversion(pipeline, source)
        fused.append({"name": str(source), "component": "tokenizer", "tokens": words})
    if biases is not None:
        _put_biases(pipeline, Path(biases))
    # What the pipeline cannot tell by itself, for the record and for a comparison with the base.
    pipeline.privaudit_fused, pipeline.privaudit_base = fused, origin if tuned else None
    return pipeline


def known_base(pipeline: Any) -> Any:
    """Load the model that :func:`load_pipeline` put a pipeline's fine-tuned part into.

    Returns
    -------
    diffusers.DiffusionPipeline or None
        ``None`` if it was put into none, or not by us.
    """
    known = getattr(pipeline, "privaudit_base", None)
    return None if known is None else load_pipeline(**known, device=pipeline.device)


def _check_arguments(
    base: str | Path,
    config: str | Path | None,
    own: Any,
    from_pretrained: dict[str, Any],
    given: Collection[Path] | None,
) -> None:
    """Check all that can be checked of a folder before gigabytes of it are read."""
    import diffusers

    index: dict[str, Any] = {}
    folder = Path(base if config is None else config)
    if (folder / "model_index.json").is_file():
        index = read_object(folder / "model_index.json", GeneratorError)
    elif is_hub_name(str(folder)):
        about = {name: from_pretrained[name] for name in ON_HUB if name in from_pretrained}
        index = dict(diffusers.DiffusionPipeline.load_config(folder.as_posix(), **about))
    named = getattr(diffusers, str(index.get("_class_name")), None)
    if index or own:
        check_keywords("load_pipeline", from_pretrained, index, (own, named))
    for name, part in from_pretrained.items():
        if isinstance(part, (str, Path)) and name in index and name not in FROM_PRETRAINED:
            msg = (
                f"{name}={str(part)!r} is a text, and only unet= and transformer= take a path: "
                f"load it with {(index[name] or ['', 'its class'])[-1]}.from_pretrained, and give "
                "what that returns"
            )
            raise GeneratorError(msg)
    if given is not None and not Path(base).is_file():
        _check_adapters(Path(base), index, given)
    for name in index:
        if (folder / name).is_dir() and from_pretrained.get(name, ...) is ...:
            for file in _files_of(folder / name, from_pretrained):
                if file.suffix == ".bin":
                    read_pickle(file)


def _check_adapters(folder: Path, index: Mapping[str, Any], given: Collection[Any]) -> None:
    """Check that no adapter lies in a folder that is loaded without it."""
    for place in (folder, *(folder / name for name in index)):
        for name in ADAPTERS:
            file = place / name
            if file.is_file() and not {file.resolve(), place.resolve()} & set(given):
                msg = (
                    f"{str(file)!r} is an adapter, which a pipeline does not read, so its base "
                    f"would be audited: give it too, lora={str(file)!r}, or say lora={{}}"
                )
                raise GeneratorError(msg)


def _files_of(
    folder: Path, from_pretrained: Mapping[str, Any], *, index_first: bool = True
) -> list[Path]:
    return weight_files(
        folder,
        from_pretrained.get("variant"),
        use_safetensors=from_pretrained.get("use_safetensors"),
        index_first=index_first,
    )


def _loaded(
    base: str | Path, config: str | Path | None, own: Any, from_pretrained: dict[str, Any]
) -> Any:
    """Load a pipeline as text-to-image; one that diffusers lists for no task, by its own class."""
    import diffusers

    if own is not None:
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


def _load_denoiser(source: str | Path, part: str, from_pretrained: Mapping[str, Any]) -> Any:
    """Load a U-Net or transformer from its folder or hub name, all of it."""
    import diffusers

    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        inner = folder / part
        hint = f": name {str(inner)!r}" if (inner / "config.json").is_file() else ""
        msg = f"{part} {str(source)!r} is no folder of a model: it has no config.json{hint}"
        raise GeneratorError(msg)
    how = {n: from_pretrained[n] for n in (*ON_HUB, *HOW) if n in from_pretrained}
    on_hub = {n: value for n, value in how.items() if n in ON_HUB}
    config: Any = diffusers.UNet2DConditionModel.load_config(source, **on_hub)
    named = config.get("_class_name", "UNet2DConditionModel")
    kind: Any = getattr(diffusers, str(named), None)
    if kind is None:
        msg = (
            f"{part} {str(source)!r} is a {named}, which diffusers {diffusers.__version__} does "
            "not have: load it yourself, and give the model"
        )
        raise GeneratorError(msg)
    files = _files_of(folder, from_pretrained)
    if folder.is_dir() and not files:
        there = ", ".join(sorted(file.name for file in folder.iterdir()))
        msg = (
            f"{part} {str(source)!r} has no file of weights of the name that diffusers reads, "
            f"only {there:.300}: of diffusion_pytorch_model.fp16.safetensors the variant is "
            'given as variant="fp16"'
        )
        raise GeneratorError(msg)
    for file in files:
        if file.suffix == ".bin":
            read_pickle(file)
    variant = from_pretrained.get("variant")
    if variant and (not folder.is_dir() or any(f".{variant}" in file.name for file in files)):
        how["variant"] = variant
    dtype: Any = next(from_pretrained[n] for n in DTYPES if from_pretrained.get(n) is not None)
    if isinstance(dtype, Mapping):
        dtype = dtype.get(part, dtype.get("default", torch.float32))
    model = kind.from_pretrained(source, **how, **{dtype_argument(): dtype})
    _check_part(part, model, folder, from_pretrained)
    return model


def check_used(pipeline: Any, parts: dict[str, Any]) -> None:
    """Check that a pipeline took what it was given: diffusers passes over the rest."""
    for name, part in parts.items():
        module = isinstance(part, torch.nn.Module) or name in pipeline.components
        if module and getattr(pipeline, name, None) is not part:
            there = [n for n, p in pipeline.components.items() if isinstance(p, torch.nn.Module)]
            msg = (
                f"{type(pipeline).__name__} has no {name}, so the one given would not be audited: "
                f"its models are {', '.join(there)}"
            )
            raise GeneratorError(msg)
    check_keywords("load_pipeline", parts, pipeline.components, [type(pipeline)])


def _check_parts(pipeline: Any, base: str | Path, given: Mapping[str, Any]) -> None:
    """Check that each model of a pipeline is what the files hold that it was loaded from.

    Parameters
    ----------
    pipeline
        Loaded from a folder or hub name, on no device yet.
    base
        That folder.
    given
        Arguments of ``from_pretrained``: a model among them is its owner's affair.

    Raises
    ------
    GeneratorError
        If a tensor of a file is not in its model, or the other way round.
    """
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and given.get(name) is not part:
            _check_part(name, part, Path(base) / name, given)


def _check_part(name: str, model: Any, folder: Path, given: Mapping[str, Any]) -> None:
    """Check one, in the folder that its library says it was loaded from."""
    from diffusers import ModelMixin

    source = getattr(getattr(model, "config", None), "_name_or_path", None)
    folder = Path(source) if source and Path(source).is_dir() else folder
    files = _files_of(folder, given, index_first=isinstance(model, ModelMixin))
    check_part(name, folder, files, model)


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
