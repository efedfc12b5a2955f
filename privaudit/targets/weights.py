"""Files of weights: what is in one, and whether a model took all of it and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Accounts", "compared", "read_weights"]

IDLE = re.compile(
    r"(^|\.)(position_ids|logit_scale|attn_mask|num_batches_tracked)$"  # of no effect
    r"|^model_ema\."  # the average beside the weights, which no tool draws with
    r"|^(betas|(sqrt_|log_)?(one_minus_)?(recip(m1)?_)?alphas_cumprod(_prev)?"
    r"|posterior_\w+|denoiser\.sigmas|v_pred|ztsnr)$"  # the schedule, which the config has
    r"|^first_stage_model\.loss\."  # what the autoencoder was trained against
    # Stable Diffusion 2 stops a layer before the last, and reads no projection.
    r"|^cond_stage_model\.model\.(transformer\.resblocks\.23\.|text_projection$)"
    r"|^text_encoders\.clip_l\.(transformer\.)?text_projection"  # nor does Stable Diffusion 3
)
"""Keys of weights that have no part in a picture."""
IDLE_OF = {
    "SanaTransformer2DModel": re.compile(r"^(pos_embed|y_embedder\.y_embedding)$"),
    "ZImageTransformer2DModel": re.compile(r"^norm_final\.weight$"),
}
"""The same for some models: sines that are computed again, an empty caption's row that only
training reads, a norm that nothing comes after."""
QUANTISED = re.compile(
    r"(^|\.)(scaled_fp8|comfy_quant|(scale|weight|input)_(weight|scale|input)|SCB|absmax|quant_map"
    r"|nested_absmax|nested_quant_map|quant_state\.\w+|qweight|qzeros|scales)$"
)
"""Keys beside weights that are not numbers of the model itself, but must be scaled first."""
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers as wide as floating ones, in bytes."""
ODD = 0x9E3779B1


class Accounts(NamedTuple):
    """What became of the weights in a file.

    Attributes
    ----------
    unused
        Keys of the file that no model has taken.
    missing
        Weights of the models that are not the file's.
    """

    unused: list[str]
    missing: list[str]

    def sentence(self) -> str:
        """Say it with numbers and the first names; nothing where all was taken and nothing else."""
        said = []
        if self.unused:
            said.append(f"{len(self.unused)} of its weights were not used, {_first(self.unused)}")
        if self.missing:
            said.append(f"{len(self.missing)} weights are missing, {_first(self.missing)}")
        return "; ".join(said)


def _first(names: Sequence[str]) -> str:
    return "the first " + ", ".join(names[:3])


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a file of safetensors.

    Raises
    ------
    GeneratorError
        If it is none, or damaged, or holds a quantised model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix != ".safetensors":
        msg = (
            f"{str(file)!r} is no .safetensors file, and other files of weights can run code or "
            "hold a quantised model: save it as .safetensors, or as a folder with save_pretrained"
        )
        raise GeneratorError(msg)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        msg = f"{str(file)!r} cannot be read ({error}): was it copied whole?"
        raise GeneratorError(msg) from error
    beside = [name for name in weights if QUANTISED.search(name)]
    packed = [
        name
        for name, value in weights.items()
        if name.endswith(".weight") and not value.is_floating_point()
    ]
    if beside or packed:
        msg = (
            f"{str(file)!r} holds a quantised model ({len(beside or packed)} of its keys say how, "
            f"{_first(beside or packed)}), whose numbers are not the weights themselves: give the "
            "file in float32, bfloat16 or float16 that it was made from, or load it as you do and "
            "return the pipeline"
        )
        raise GeneratorError(msg)
    return weights


def compared(file: Mapping[str, torch.Tensor], models: Mapping[str, torch.nn.Module]) -> Accounts:
    """Find out which weights of a file are not in the models, and the other way round.

    Whoever turns an author's names into those of a library cuts tensors along their first axis
    and joins them again, and may lose some on the way without a word. Rows stay as they are, so
    each row of the file is looked for in the models, once for each time that it is there. Which
    row is where it belongs is not checked.

    Parameters
    ----------
    file
        Its tensors by their keys.
    models
        What was loaded from it, by name.

    Returns
    -------
    Accounts
    """
    names = [type(model).__name__ for model in models.values()]
    idle = [IDLE, *(IDLE_OF[name] for name in names if name in IDLE_OF)]
    held = {
        f"{part}.{name}": value
        for part, model in models.items()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    empty = [name for name, value in held.items() if value.is_meta]
    held = {name: value for name, value in held.items() if not value.is_meta}
    left = {
        name: value
        for name, value in file.items()
        if value.is_floating_point() and not any(one.search(name) for one in idle)
    }
    missing = list(empty)
    for dtype in sorted({value.dtype for value in held.values()}, key=str):
        of_dtype = {name: value for name, value in held.items() if value.dtype == dtype}
        stock = _Stock([_rows(value, dtype) for value in of_dtype.values()])
        rows = {
            name: _ways(value, dtype) for name, value in file.items() if value.is_floating_point()
        }
        missing += _strangers(of_dtype, [way for ways in rows.values() for way in ways], dtype)
        left = {n: v for n, v in left.items() if not any(stock.take(way) for way in rows[n])}
    return Accounts(list(left), missing)


class _Stock:
    """Rows of models, each of which can be taken once."""

    def __init__(self, rows: Sequence[NDArray[np.int64]]) -> None:
        self._kinds, self._left = np.unique(np.concatenate(rows), return_counts=True)

    def take(self, rows: NDArray[np.int64]) -> bool:
        """Take all of these, or none if one is not there."""
        kinds, wanted = np.unique(rows, return_counts=True)
        if not len(kinds):
            return True
        places = np.searchsorted(self._kinds, kinds).clip(max=len(self._kinds) - 1)
        if (self._kinds[places] != kinds).any() or (self._left[places] < wanted).any():
            return False
        self._left[places] -= wanted
        return True


def _strangers(
    held: Mapping[str, torch.Tensor], rows: Iterable[NDArray[np.int64]], dtype: torch.dtype
) -> list[str]:
    """Name the weights of models with a row that the file has not."""
    known = np.unique(np.concatenate([np.empty(0, np.int64), *rows]))
    found = []
    for name, value in held.items():
        # A projection that the family does not read is made as the identity.
        plain = name.endswith("text_projection.weight") and torch.equal(
            value, torch.eye(*value.shape, dtype=value.dtype, device=value.device)
        )
        if not plain and not np.isin(_rows(value, dtype), known).all():
            found.append(name)
    return found


def _ways(value: torch.Tensor, dtype: torch.dtype) -> list[NDArray[np.int64]]:
    """Return a tensor's rows, and those of a matrix on its side: open_clip keeps one so."""
    ways = [_rows(value, dtype)]
    return [*ways, _rows(value.T, dtype)] if value.ndim == 2 else ways


def _rows(value: torch.Tensor, dtype: torch.dtype) -> NDArray[np.int64]:
    """Return a number for each row: the sum of its bits as whole numbers, and its length."""
    if not value.numel():
        return np.empty(0, np.int64)
    flat = value.detach().to(dtype).reshape(len(value) if value.ndim else 1, -1).contiguous()
    sums: Any = flat.view(BITS[dtype.itemsize]).sum(dim=1, dtype=torch.int64)
    return np.asarray((sums * ODD + flat.shape[1]).cpu())
