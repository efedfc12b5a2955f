"""How trainers lay out what they save along the way, recognised by names and headers alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from privaudit.errors import CheckpointError
from privaudit.files import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "Found",
    "Unit",
    "find_checkpoints",
    "parts_of",
    "parts_of_file",
    "recorded_base",
]

Unit = Literal["step", "epoch"]
NUMBERED_FOLDER = re.compile(r"^(?:checkpoint|step|epoch)[-_]?(\d+)$")
"""``checkpoint-500`` of diffusers' scripts, SimpleTuner and transformers' Trainer."""
NUMBERED_FILES: tuple[tuple[re.Pattern[str], Unit], ...] = (
    (re.compile(r"^(.+)-step(\d+)$"), "step"),  # kohya, --save_every_n_steps
    (re.compile(r"^(.+)_(\d{9})$"), "step"),  # ai-toolkit
    (re.compile(r"^(.+)-(\d{6})$"), "epoch"),  # kohya, --save_every_n_epochs
)
LORA_FILES = ("pytorch_lora_weights", "adapter_model")
"""What diffusers and peft call an adapter's file."""
ENDS = (".safetensors", ".bin")
ADAPTERS = ("lora", "lokr", "hada", "dora", "oft_")
"""In the names of an adapter's weights, and in no denoiser's."""
UNETS = ("down_blocks.", "input_blocks.")
"""In the names of a U-Net's weights, diffusers' and its authors', and in no transformer's."""
DENOISERS = ("unet", "transformer")
WHOLE = re.compile(r"^(model\.diffusion_model|first_stage_model|conditioner)\.")
"""Keys of a whole model in one file."""
FINAL = "final"


class Found(NamedTuple):
    """One checkpoint of a run.

    Attributes
    ----------
    name
        Its folder's or file's, without a suffix; ``"final"`` for what lies in the run's own
        folder.
    step
        Steps, or epochs, trained; ``None`` where nothing tells, which is the end of the run.
    unit
        ``"step"`` or ``"epoch"``.
    parts
        Arguments of ``load_pipeline`` that load it.
    problem
        Why it cannot be loaded, as far as names and headers tell; empty if nothing speaks
        against it.
    """

    name: str
    step: int | None
    unit: Unit
    parts: Mapping[str, Path]
    problem: str = ""


def find_checkpoints(run: Path, name: str | None = None) -> list[Found]:
    """List a run's checkpoints in the order of training, the final weights last.

    Parameters
    ----------
    run
        The folder that a trainer wrote.
    name
        Of kohya's and ai-toolkit's files, those with this name before the number.

    Raises
    ------
    CheckpointError
        If it is no folder, has no checkpoint, or has those of several runs.
    """
    if not run.is_dir():
        msg = f"{run} is no folder: name the one that the trainer wrote its checkpoints to"
        raise CheckpointError(msg)
    found = _folders(run) + _files(run, name)
    if not found:
        there = ", ".join(sorted(path.name for path in run.iterdir())[:5]) or "nothing"
        msg = (
            f"{run} has no checkpoint of a layout that we know (it has {there}): there must be "
            "checkpoint-N folders, or NAME-000010.safetensors, NAME-step00000500.safetensors or "
            "NAME_000000500.safetensors files"
        )
        raise CheckpointError(msg)
    units = {one.unit for one in found if one.step is not None}
    if len(units) > 1:
        counts = ", ".join(
            f"{sum(one.unit == unit and one.step is not None for one in found)} count {unit}s"
            for unit in sorted(units)
        )
        msg = (
            f"{run} mixes checkpoints that cannot be ordered ({counts}): keep one kind in the "
            "folder"
        )
        raise CheckpointError(msg)
    return sorted(found, key=lambda one: (one.step is None, one.step or 0))


def _folders(run: Path) -> list[Found]:
    found = []
    for folder in run.iterdir():
        match = NUMBERED_FOLDER.match(folder.name)
        if match and folder.is_dir():
            unit: Unit = "epoch" if folder.name.startswith("epoch") else "step"
            found.append(Found(folder.name, int(match[1]), unit, *parts_of(folder)))
    parts, problem = parts_of(run)
    if parts and (found or (run / "model_index.json").exists() or _lora_in(run)):
        found.append(Found(FINAL, None, "step", parts, problem))
    return found


def _files(run: Path, wanted: str | None) -> list[Found]:
    """List files of weights with a number in their name, and the one without it."""
    found: dict[str, list[Found]] = {}
    for file in sorted(run.glob("*.safetensors")):
        if file.stem in LORA_FILES:
            continue  # the final weights of a folder
        matches = ((pattern.match(file.stem), unit) for pattern, unit in NUMBERED_FILES)
        none: tuple[None, Unit] = (None, "step")
        match, unit = next(((m, u) for m, u in matches if m), none)
        header, parts, problem = _header(file)
        steps = header.get("ss_steps", "")
        step = int(match[2]) if match else None
        if steps.isdigit():  # kohya counts steps in the header, whatever the name counts
            step, unit = int(steps), "step"
        family = match[1] if match else file.stem
        found.setdefault(family, []).append(Found(file.stem, step, unit, parts, problem))
    if wanted is not None:
        found = {family: those for family, those in found.items() if family == wanted}
    if len(found) > 1:
        names = ", ".join(sorted(found))
        msg = f"{run} has the files of {len(found)} runs ({names}): say which with name=…"
        raise CheckpointError(msg)
    return [one for those in found.values() for one in those]


def parts_of(folder: Path) -> tuple[dict[str, Path], str]:
    """Say how a folder is loaded.

    Parameters
    ----------
    folder
        Of a checkpoint, or of any model.

    Returns
    -------
    parts, problem
        Arguments of ``load_pipeline``, and why they will not do; one of them is empty, unless a
        file is damaged.
    """
    if (folder / "model_index.json").is_file():
        return {"base": folder}, ""
    if _lora_in(folder):
        return {"lora": folder}, _damaged(folder)
    for part in DENOISERS:
        inner = folder / part
        if _lora_in(inner):
            return {"lora": inner}, _damaged(inner)
        if (inner / "config.json").is_file():
            return {part: inner}, _damaged(inner)
    if any((folder / f"{part}_biases.safetensors").is_file() for part in DENOISERS):
        return {"biases": folder}, _damaged(folder)
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
    return {}, (
        f"no adapter, unet, transformer or pipeline is in it (it has {there}): have the trainer "
        "save weights as diffusers does"
    )


def _lora_in(folder: Path) -> bool:
    return any((folder / f"{name}{end}").is_file() for name in LORA_FILES for end in ENDS)


def _damaged(folder: Path) -> str:
    """Say which file of a folder has a header that does not fit it; nothing if all do."""
    problems = (_header(file)[2] for file in sorted(folder.glob("*.safetensors")))
    return next(filter(None, problems), "")


def _header(file: Path) -> tuple[dict[str, str], dict[str, Path], str]:
    """Return the metadata of a file of safetensors, how it is loaded, and what is wrong with it."""
    from safetensors import SafetensorError, safe_open

    adapter = {"lora": file}
    try:
        with safe_open(file, framework="numpy") as opened:
            names, metadata = list(opened.keys()), opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        return {}, adapter, f"{file.name} cannot be read ({error}): was the training interrupted?"
    if any(map(WHOLE.match, names)):
        problem = (
            f"{file.name} is a whole model in one file: privaudit.load_pipeline(FILE, "
            "config=FOLDER) loads it, with the folder of a pipeline of the same architecture"
        )
        return {}, adapter, problem
    if any(word in name.lower() for name in names for word in ADAPTERS):
        return metadata, adapter, ""
    is_unet = any(word in name for name in names for word in UNETS)
    return metadata, {"unet" if is_unet else "transformer": file}, ""


def parts_of_file(file: Path) -> tuple[dict[str, Path], str]:
    """Say how one file of safetensors is loaded, by its header.

    Parameters
    ----------
    file
        Of an adapter, or of a denoiser.

    Returns
    -------
    parts, problem
        As of :func:`parts_of`.
    """
    _, parts, problem = _header(file)
    return parts, problem


def recorded_base(found: Found) -> str | None:
    """Return the base model that peft's configuration beside an adapter names, or ``None``."""
    config = found.parts.get("lora")
    file = None if config is None else config / "adapter_config.json"
    if file is None or not file.is_file():
        return None
    try:
        named = read_object(file, CheckpointError).get("base_model_name_or_path")
    except CheckpointError:
        return None
    return named or None
