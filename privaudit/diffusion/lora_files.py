"""Files of LoRA adapters: where they are, and what the layouts of their keys are called."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.weights import read_pickle
from privaudit.errors import GeneratorError, first_line
from privaudit.files import open_regular, parse_json, read_object
from privaudit.hub import describe_missing, is_hub_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ADAPTERS", "layout_of", "read_lora", "renamed", "without_wrappers"]

ADAPTERS = (
    "pytorch_lora_weights.safetensors",
    "adapter_model.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.bin",
)
"""What diffusers and peft call the file in a folder."""
CONFIG = "adapter_config.json"
HEADER = "lora_adapter_metadata"
"""Where diffusers keeps an adapter's configuration in a file of safetensors."""
LAYOUTS = (
    (r"base_model\.model\.", "peft's save_pretrained"),
    (r"_orig_mod\.", "a compiled model's"),
    (r"(^|\.)module\.", "a model's in DataParallel"),
    (r"hada_w|lokr_|oft_", "LyCORIS'"),
    (r"dora_scale", "a DoRA's that diffusers does not convert"),
    (r"^lora_(unet|te|transformer)", "kohya's"),
    (r"^diffusion_model\.", "ComfyUI's"),
    (r"\.lora_[AB]\.\w+\.weight$", "a peft model's state_dict()"),
    (r"^transformer\.", "diffusers', for a pipeline with a transformer"),
    (r"^(unet|text_encoder)", "diffusers', for a pipeline with a U-Net"),
    (r"\.lora[._]", "diffusers' without a component's name in front"),
)


def read_lora(source: str | Path) -> tuple[Path, dict[str, torch.Tensor], dict[str, Any] | None]:
    """Read the file of an adapter.

    Parameters
    ----------
    source
        Hub name, folder or file.

    Returns
    -------
    file, tensors, config
        ``config`` is peft's configuration, from beside the file or its header, if there is one.

    Raises
    ------
    OSError
        If there is no such file.
    GeneratorError
        If it is damaged, or a pickle of more than tensors.
    """
    path = Path(source)
    if not path.exists():
        if not is_hub_name(source):
            msg = f"LoRA {str(source)!r} {describe_missing(source)}"
            raise GeneratorError(msg)
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.bin", CONFIG]
        path = Path(snapshot_download(str(source), allow_patterns=patterns))
    if path.is_dir():
        named = [path / name for name in ADAPTERS if (path / name).exists()]
        found = named[:1] or sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            msg = f"{len(found)} files of safetensors in {str(path)!r}: name the one that is meant"
            raise OSError(msg)
        path = found[0]
    config = None
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        os.close(open_regular(path))
        try:
            with safe_open(path, "pt") as opened:
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
                header = (opened.metadata() or {}).get(HEADER)
        except (SafetensorError, ValueError) as error:
            msg = f"LoRA {str(path)!r} cannot be read ({first_line(error)}): was it copied whole?"
            raise GeneratorError(msg) from error
        if header:
            config = parse_json(header, f"the configuration in LoRA {str(path)!r}", GeneratorError)
    else:
        tensors = read_pickle(path)
        others = [key for key, value in tensors.items() if not torch.is_tensor(value)]
        if others:
            msg = (
                f"LoRA {str(path)!r} is a pickle whose key {others[0]!r} holds no tensor: "
                "convert it to .safetensors"
            )
            raise GeneratorError(msg)
    if (path.parent / CONFIG).exists():
        config = read_object(path.parent / CONFIG, GeneratorError)
    return path, tensors, config


def layout_of(keys: Iterable[str]) -> str:
    """Say whose layout the keys of an adapter look like."""
    keys = list(keys)
    for pattern, whose in LAYOUTS:
        if any(re.search(pattern, key) for key in keys):
            return whose
    return "nobody's that we know"


def without_wrappers(key: str) -> str:
    """Take out of a key what a wrapper put in: peft, ``torch.compile``, ``DataParallel``."""
    key = key.removeprefix("base_model.model.").replace("_orig_mod.", "")
    key = re.sub(r"^(\w+\.)?module\.", r"\1", key)
    return re.sub(r"(\.lora_(?:[AB]|embedding_[AB]|magnitude_vector))\.default\b", r"\1", key)


def renamed(
    tensors: Mapping[str, torch.Tensor],
    config: dict[str, Any] | None,
    modules: Mapping[str, torch.nn.Module],
    file: str,
) -> dict[str, torch.Tensor]:
    """Give an adapter's tensors the keys of diffusers, where these are certain.

    Parameters
    ----------
    tensors
        By key, as in the file.
    config
        Peft's configuration. Its α is in no key, so where keys change, it goes into the values.
    modules
        The pipeline's, by name.
    file
        For messages.

    Raises
    ------
    GeneratorError
        If keys are peft's and the α is not known.
    """
    bare = {without_wrappers(key): value for key, value in tensors.items()}
    if len(bare) < len(tensors):
        return dict(tensors)
    owned = any(key.startswith(tuple(f"{name}." for name in modules)) for key in bare)
    if not owned:
        paths = {re.split(r"\.lora_", key)[0] for key in bare}
        owners = [
            name
            for name, module in modules.items()
            if paths <= {path for path, _ in module.named_modules()}
        ]
        if len(owners) == 1:
            bare = {f"{owners[0]}.{key}": value for key, value in bare.items()}
    if bare.keys() == tensors.keys():
        return dict(tensors)
    if config is None:
        if any(key.startswith("base_model.model.") for key in tensors):
            msg = (
                f"LoRA {file!r} has peft's keys, and beside it is no {CONFIG}, which says how "
                "strong it is (lora_alpha): give the folder that save_pretrained wrote"
            )
            raise GeneratorError(msg)
        return bare
    return {
        key: value * _scale(config, value.shape[1], file) if ".lora_B." in key else value
        for key, value in bare.items()
    }


def _scale(config: dict[str, Any], rank: int, file: str) -> float:
    """Return α over the rank, or over its root: what the layer's output is multiplied with.

    Hu et al. (2022), section 4.1; Kalajdzievski (2023) for the root.
    """
    plain = {re.sub(r"^(unet|transformer|text_encoder\w*)\.", "", k): v for k, v in config.items()}
    if plain.get("alpha_pattern") or plain.get("rank_pattern"):
        msg = (
            f"LoRA {file!r} has another alpha or rank in each layer, and keys that diffusers does "
            "not read: write it with pipeline.save_lora_weights"
        )
        raise GeneratorError(msg)
    alpha = float(plain.get("lora_alpha", rank))
    return alpha / (math.sqrt(rank) if plain.get("use_rslora") else rank)
