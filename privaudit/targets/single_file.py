"""Models, or one part of a model, in one file, as trainers and merge tools write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from privaudit.diffusion.weights import compared, read_weights
from privaudit.errors import GeneratorError, first_line
from privaudit.files import read_object

__all__ = ["ON_HUB", "load_part", "load_single_file"]

ON_HUB = ("cache_dir", "revision", "token", "local_files_only")
"""Arguments that say where on a hub something is."""
UNET = "model.diffusion_model."
"""Before the names of a U-Net, or of a transformer, in a file of a whole model."""
BEFORE = re.compile(rf"^({re.escape(UNET)}|diffusion_model\.|transformer\.|unet\.)")
OTHERS = re.compile(
    r"^(first_stage_model|vae|cond_stage_model|conditioner|text_encoders?(_\d)?|te\d?)\."
)
"""Keys of what else than a denoiser is in a file of a whole model."""
ADAPTER = re.compile(r"(^|[._])(lora_|lokr_|hada_|dora_|oft_)")
ENCODERS = {
    ("CLIPTextModel", "text_encoder"): "text_encoders.clip_l.",
    ("CLIPTextModelWithProjection", "text_encoder"): "text_encoders.clip_l.",
    ("CLIPTextModelWithProjection", "text_encoder_2"): "text_encoders.clip_g.",
    ("T5EncoderModel", "text_encoder"): "text_encoders.t5xxl.",
    ("T5EncoderModel", "text_encoder_2"): "text_encoders.t5xxl.",
    ("T5EncoderModel", "text_encoder_3"): "text_encoders.t5xxl.",
}
"""Where a file of a transformer has a text encoder, if it has it; any other has another name."""
SCHEDULE = {
    "v_pred": ("prediction_type", "v_prediction"),
    "ztsnr": ("rescale_betas_zero_snr", True),
}
"""Keys without a value by which a file says what its scheduler must be."""


def load_single_file(file: Path, config: str | Path | None, given: dict[str, Any]) -> Any:
    """Load a whole pipeline from one file, all of it.

    Parameters
    ----------
    file
        Weights of all its parts, in the names that the family's authors gave them.
    config
        Folder of a pipeline of the same architecture, such as the base's: a file does not say
        which class it is for. Its weights are not read, but for text encoders where a file of a
        transformer has none, as those of Stable Diffusion 3.5 have not.
    given
        Further arguments of ``from_single_file``.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    GeneratorError
        If ``config`` is missing or none, the file is of another kind, a weight of it was not
        used, or one is missing.
    """
    import diffusers

    index = _index(file, config)
    dtype = given.get("dtype", given.get("torch_dtype"))
    if isinstance(dtype, Mapping):
        msg = f"dtype={dtype} of single file {str(file)!r} is several: all its parts get one"
        raise GeneratorError(msg)
    named = index["_class_name"]
    kind = getattr(diffusers, str(named), None)
    if not hasattr(kind, "from_single_file"):
        msg = (
            f"{named}, the class of config {str(config)!r}, is loaded from no single file by "
            f"diffusers {diffusers.__version__}: give the folder as the pipeline, and the "
            f"fine-tuned part's file by {_denoiser(index)}="
        )
        raise GeneratorError(msg)
    weights = read_weights(file)
    if any(map(ADAPTER.search, weights)):
        msg = f"single file {str(file)!r} holds an adapter: give it by lora=, and its base's folder"
        raise GeneratorError(msg)
    put_in = {name: part for name, part in given.items() if isinstance(part, torch.nn.Module)}
    given = given | _encoders_of_base(index, config, weights, given)
    try:
        pipeline = kind.from_single_file(  # type: ignore[union-attr]
            str(file), config=str(config), **{"local_files_only": True, **given}
        )
    except Exception as error:
        msg = (
            f"single file {str(file)!r} does not hold all of a {named} as config "
            f"{str(config)!r} describes it ({_reason(error)}): name a config of the same "
            f"architecture, or load the part that it is by {_denoiser(index)}= or lora="
        )
        raise GeneratorError(msg) from error
    # What the file has in place of a part that was given is passed over, and is meant to be.
    weights = {name: value for name, value in weights.items() if not _replaced(name, put_in)}
    of_file = _settled(pipeline, given)
    said = compared(weights, of_file).sentence() or _schedule(weights, pipeline.scheduler)
    if said:
        msg = (
            f"single file {str(file)!r} is not a {named} as config {str(config)!r} describes it "
            f"({said:.400}), so something else than its model would be audited: name a config "
            "of the same architecture"
        )
        raise GeneratorError(msg)
    return pipeline


def _settled(pipeline: Any, given: Mapping[str, Any]) -> dict[str, torch.nn.Module]:
    """Finish what was loaded from a file, and return it by name, without what was given."""
    of_file = {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module) and given.get(name) is not part
    }
    for part in of_file.values():
        part.eval()  # diffusers leaves T5 as it is trained, with its dropout
        tie: Any = getattr(part, "tie_weights", None)
        if tie is not None:  # of two weights that are the same, a file has one
            tie()
        _moved(part)
    return of_file


def _moved(model: torch.nn.Module) -> None:
    """Give weights memory of their own, where kernels that look at its alignment sum as elsewhere.

    A view of a file begins where the file has it.
    """
    for value in (*model.parameters(), *model.buffers()):
        if not value.is_meta:
            value.data = value.data.clone(memory_format=torch.contiguous_format)


def load_part(
    file: Path, part: str, config: str | Path, dtype: Any, on_hub: Mapping[str, Any]
) -> torch.nn.Module:
    """Load a U-Net or transformer from one file, all of it.

    Parameters
    ----------
    file
        Its weights, in the names of diffusers or in those that the family's authors gave them.
    part
        ``"unet"`` or ``"transformer"``.
    config
        Folder or hub name of the pipeline that it is put into. The part's weights there are not
        read.
    dtype
        Of torch; or one for each part, ``"default"`` for all others.
    on_hub
        Arguments that say where on a hub ``config`` is.

    Raises
    ------
    GeneratorError
        If ``config`` has no such part, the file is of another kind, a weight of it was not used,
        or one is missing, or diffusers does not know its names.
    """
    import diffusers

    index: Any = diffusers.DiffusionPipeline.load_config(config, **on_hub)
    _, named = index.get(part) or (None, None)
    kind: Any = getattr(diffusers, str(named), None)
    if kind is None:
        there = ", ".join(name for name, value in index.items() if isinstance(value, list))
        msg = f"{part} {str(file)!r} has no place in {str(config)!r}, whose parts are {there}"
        raise GeneratorError(msg)
    weights = read_weights(file)
    _check_kind(file, part, weights)
    weights = {BEFORE.sub("", name): value for name, value in weights.items()}
    if isinstance(dtype, Mapping):
        dtype = dtype.get(part, dtype.get("default", torch.float32))
    try:
        described = kind.load_config(config, subfolder=part, **on_hub)
        model = _built(
            kind, described, weights, {"config": str(config), "subfolder": part, **on_hub}
        )
        said = compared(weights, {part: model}).sentence()
        model = model.to(dtype).eval()
        _moved(model)
    except NotImplementedError as error:
        msg = (
            f"{part} {str(file)!r} has not the names that diffusers gives the weights of a {named} "
            f"({next(iter(weights))!r}), and diffusers {diffusers.__version__} converts no other: "
            "convert it with the script of its authors or of diffusers, and give the folder"
        )
        raise GeneratorError(msg) from error
    except Exception as error:
        said = _reason(error)
    if said:
        shard = " Of a model in several files, give the folder." if "-of-" in file.name else ""
        msg = (
            f"{part} {str(file)!r} is not the {named} of {str(config)!r} ({said:.400}), so "
            "something else than its model would be audited: name a pipeline of the same "
            f"architecture.{shard}"
        )
        raise GeneratorError(msg)
    return model


def _built(
    kind: Any, described: Any, weights: dict[str, torch.Tensor], where: dict[str, Any]
) -> torch.nn.Module:
    with torch.device("meta"):
        names = set(kind.from_config(described).state_dict())
    if names == set(weights) or not hasattr(kind, "from_single_file"):
        if not names & set(weights):
            raise NotImplementedError
        model: torch.nn.Module = kind.from_config(described)
        model.load_state_dict(weights, strict=True)
        return model
    if kind.__name__.startswith("UNet"):
        weights = {UNET + name: value for name, value in weights.items()}
    where["config_revision"] = where.pop("revision", None)
    loaded: torch.nn.Module = kind.from_single_file(dict(weights), **where)
    return loaded


def _check_kind(file: Path, part: str, weights: Mapping[str, Any]) -> None:
    """Check that a file holds a denoiser, and no more."""
    if any(map(ADAPTER.search, weights)):
        msg = f"{part} {str(file)!r} holds an adapter: give it by lora="
        raise GeneratorError(msg)
    others = [name for name in weights if OTHERS.match(name)]
    if others:
        msg = (
            f"{part} {str(file)!r} holds {len(others)} weights that are none of a {part}, the "
            f"first {others[0]}: a file of a whole model is given as the pipeline, with config="
        )
        raise GeneratorError(msg)


def _index(file: Path, config: str | Path | None) -> dict[str, Any]:
    path = None if config is None else Path(config) / "model_index.json"
    if path is None or not path.is_file():
        what = "" if config is None else f", and config {str(config)!r} is no folder of a pipeline"
        msg = (
            f"pipeline {str(file)!r} is a single file, which does not say what it is{what}: name "
            "a folder of the same architecture in diffusers' layout, such as that of the base, by "
            "config=…; or load it with from_single_file of its class in diffusers, and return "
            "that pipeline"
        )
        raise GeneratorError(msg)
    return read_object(path, GeneratorError)


def _denoiser(index: Mapping[str, Any]) -> str:
    return "transformer" if "transformer" in index else "unet"


def _encoders_of_base(
    index: Mapping[str, Any], config: Any, weights: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Load the text encoders that a file of a transformer has not, where the config has them."""
    import transformers

    found: dict[str, Any] = {}
    for name, value in index.items():
        if not name.startswith("text_encoder") or "transformer" not in index or name in given:
            continue
        library, kind = value
        prefix = ENCODERS.get((kind, name), "text_encoders.")
        folder = Path(config) / name
        there = any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
        if library != "transformers" or not there or any(k.startswith(prefix) for k in weights):
            continue
        model = getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
        found[name] = model.to(given.get("dtype", given.get("torch_dtype"))).eval()
    return found


def _replaced(name: str, put_in: Mapping[str, Any]) -> bool:
    """Tell whether a weight is of a part that something else was given for."""
    of_vae = name.startswith(("vae.", "first_stage_model."))
    if not OTHERS.match(name):
        return "unet" in put_in or "transformer" in put_in
    return "vae" in put_in if of_vae else any(n.startswith("text_encoder") for n in put_in)


def _schedule(weights: Mapping[str, Any], scheduler: Any) -> str:
    """Say what a file asks of its scheduler that the config's is not."""
    for name, (setting, value) in SCHEDULE.items():
        stated = scheduler.config.get(setting)
        if name in weights and stated != value:
            return f"its {name} asks for a scheduler of {setting}={value!r}, not {stated!r}"
    return ""


def _reason(error: Exception) -> str:
    """Return the first line of an error; of a missing key, which it is."""
    said = first_line(error)
    text = f"no weight {said}" if isinstance(error, KeyError) else said
    return f"{text:.300}"
