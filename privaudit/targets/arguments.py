"""What a pipeline is loaded and called with, before it is loaded: nothing here imports PyTorch."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from privaudit.errors import GeneratorError

__all__ = [
    "DTYPES",
    "FROM_PRETRAINED",
    "LIBRARIES",
    "OWN",
    "Adapters",
    "check_keywords",
    "dtype_argument",
    "plain",
    "several",
    "weighted",
]

Adapters = str | Path | Sequence[str | Path] | Mapping[str | Path, float] | None
"""One adapter, several, or several with their scales."""

DTYPES = ("dtype", "torch_dtype")
"""What newer and older versions of diffusers call a dtype."""
OWN = (
    "config",
    "pipeline_class",
    "unet",
    "transformer",
    "lora",
    "textual_inversion",
    "biases",
    "device",
)
"""Arguments of :func:`privaudit.load_pipeline` beside those of ``from_pretrained``."""
FROM_PRETRAINED = frozenset(
    (
        *DTYPES,
        "cache_dir",
        "custom_pipeline",
        "custom_revision",
        "device_map",
        "disable_mmap",
        "enable_pag",
        "force_download",
        "load_connected_pipeline",
        "local_files_only",
        "low_cpu_mem_usage",
        "max_memory",
        "offload_folder",
        "offload_state_dict",
        "proxies",
        "quantization_config",
        "revision",
        "token",
        "trust_remote_code",
        "use_safetensors",
        "variant",
    )
)
"""Arguments of ``from_pretrained`` that every pipeline of diffusers takes beside its own parts."""
LIBRARIES = ("torch", "diffusers", "transformers")
"""Whose versions decide what a pipeline draws."""


def weighted(lora: Adapters) -> dict[str | Path, float]:
    """Return adapters with their scales, in their order; 1 for those that were given none."""
    return dict(lora) if isinstance(lora, Mapping) else dict.fromkeys(several(lora), 1.0)


def several(given: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    """Return what was given as a list: one, several or none."""
    if given is None:
        return []
    return [given] if isinstance(given, (str, Path)) else list(given)


def dtype_argument() -> str:
    """Name it as the installed diffusers does: 0.42 warns of the older name."""
    major, minor = importlib.metadata.version("diffusers").split(".")[:2]
    return "dtype" if (int(major), int(minor)) >= (0, 42) else "torch_dtype"


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what it cannot is named by its ``repr``."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    return repr(value)


def check_keywords(
    function: str,
    keywords: Collection[str],
    parts: Collection[str],
    kinds: Collection[Any] = (),
) -> None:
    """Check that somebody reads each keyword: diffusers passes over one that it does not know.

    Parameters
    ----------
    function
        Who was given them, for the message.
    keywords
        Their names.
    parts
        What the pipeline is made of.
    kinds
        Classes of pipelines, whose own arguments are known too.

    Raises
    ------
    GeneratorError
        If nobody does: what it was to put in would be missing, and the base be audited.
    """
    known = {*OWN, *FROM_PRETRAINED, *parts}
    for kind in kinds:
        if kind is not None:
            known |= set(inspect.signature(kind.__init__).parameters)
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known - {"self"}), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}=?" if near else f"its own are {', '.join(OWN)}"
            msg = (
                f"{function} knows no argument {name}=, so what it names would not be audited: "
                f"{hint}"
            )
            raise GeneratorError(msg)
