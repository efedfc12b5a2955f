"""Files of weights: what is in them, and whether a model took all of it and nothing else.

diffusers and transformers load what they recognise of a file, leave out the rest, and fill what is
missing with random numbers or with whatever was in memory, all with a warning that nobody reads.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from privaudit.errors import GeneratorError
from privaudit.files import open_regular, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Accounts", "check_part", "compared", "read_pickle", "read_weights", "weight_files"]

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
    held = {
        f"{part}.{name}": value
        for part, model in models.items()
        for name, value in model.state_dict().items()
    }
    idle = [one for model in models.values() for one in _idle_of(model)]
    return _compare_rows(file, held, idle)


def _compare_rows(
    file: Mapping[str, torch.Tensor],
    held: Mapping[str, torch.Tensor],
    idle: Sequence[re.Pattern[str]],
) -> Accounts:
    """Compare tensors by their rows, whatever they are called, see :func:`compared`."""
    held = {name: value for name, value in held.items() if value.is_floating_point()}
    missing = [name for name, value in held.items() if value.is_meta]
    held = {name: value for name, value in held.items() if not value.is_meta}
    left = {
        name: value
        for name, value in file.items()
        if value.is_floating_point() and not any(one.search(name) for one in idle)
    }
    for dtype in sorted({value.dtype for value in held.values()}, key=str):
        of_dtype = {name: value for name, value in held.items() if value.dtype == dtype}
        stock = _Stock([_rows(value, dtype) for value in of_dtype.values()])
        rows = {
            name: _ways(value, dtype) for name, value in file.items() if value.is_floating_point()
        }
        missing += _strangers(of_dtype, [way for ways in rows.values() for way in ways], dtype)
        left = {n: v for n, v in left.items() if not any(stock.take(way) for way in rows[n])}
    return Accounts(list(left), missing)


def _idle_of(model: torch.nn.Module) -> list[re.Pattern[str]]:
    """Return what keys have no part in a picture of this model, its library's own list included."""
    ignored = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    own = IDLE_OF.get(type(model).__name__)
    return [IDLE, *([own] if own else []), *map(re.compile, ignored)]


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


STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
"""What diffusers and transformers call a file of weights."""
SUFFIXES = (".safetensors", ".bin")
WRAPPED = {
    r"(^|\.)module\.": "DataParallel",
    r"(^|\.)_orig_mod\.": "torch.compile",
    r"\.base_layer\.": "an adapter that was not fused",
    r"^base_model\.model\.": "peft",
}
"""What else than the model writes such keys."""
START = 64
"""Numbers of a tensor that are compared where its name and shape fit."""


def weight_files(
    folder: Path,
    variant: str | None = None,
    *,
    use_safetensors: bool | None = None,
    index_first: bool = True,
) -> list[Path]:
    """Return the files that a library reads the weights of a folder from.

    Parameters
    ----------
    folder
        Of one model.
    variant
        Whose files are taken where there are any, such as ``"fp16"``.
    use_safetensors
        ``False`` for pickles, ``True`` for safetensors alone; by default pickles are a fallback.
    index_first
        Whether several files with an index go before one, as diffusers has it. transformers has
        it the other way round.

    Returns
    -------
    list of Path
        One file, or all that an index names; none if there are none.
    """
    suffixes = [s for s in SUFFIXES if use_safetensors in (None, s == ".safetensors")]
    for suffix in suffixes:
        for middle in (f".{variant}", "") if variant else ("",):
            ways = [_whole, _in_shards]
            for way in reversed(ways) if index_first else ways:
                for stem in STEMS:
                    if found := way(folder, stem, suffix, middle):
                        return found
    return []


def _whole(folder: Path, stem: str, suffix: str, middle: str) -> list[Path]:
    file = folder / f"{stem}{middle}{suffix}"
    return [file] if file.is_file() else []


def _in_shards(folder: Path, stem: str, suffix: str, middle: str) -> list[Path]:
    names = (f"{stem}{suffix}.index{middle}.json", f"{stem}{middle}{suffix}.index.json")
    for name in names:
        if (folder / name).is_file():
            shards = read_object(folder / name, GeneratorError).get("weight_map")
            if not isinstance(shards, dict) or not all(map(_is_name, shards.values())):
                msg = f"{folder / name} names no files of weights: download the model again"
                raise GeneratorError(msg)
            return [folder / shard for shard in sorted(set(shards.values()))]
    return []


def _is_name(shard: Any) -> bool:
    """Tell whether a shard is a file of the folder, and leads nowhere else."""
    return isinstance(shard, str) and Path(shard).name == shard


def read_pickle(file: Path) -> dict[str, Any]:
    """Read a pickle of tensors, and nothing that could run code.

    Raises
    ------
    GeneratorError
        If it holds anything but tensors, numbers, texts and lists of them, or is damaged.
    """
    try:
        with os.fdopen(open_regular(file), "rb") as opened:
            content = torch.load(opened, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # Torch's own words tell how to load it all the same, which would run its code.
        msg = (
            f"{str(file)!r} is a pickle that holds more than tensors, or is damaged, and loading "
            f"it could run code: convert it to .safetensors where you trust it"
        )
        raise GeneratorError(msg) from error
    if not isinstance(content, dict):
        msg = f"{str(file)!r} is a pickle of a {type(content).__name__}, and of no weights by name"
        raise GeneratorError(msg)
    return content


def check_part(name: str, folder: Path, files: Sequence[Path], model: torch.nn.Module) -> None:
    """Check that every tensor of a model's files is in the model, and the other way round.

    Names, shapes and the first numbers of each tensor are compared. What a library renames is
    looked for by its numbers.

    Parameters
    ----------
    name
        Of the part, for the message.
    folder
        Where it was loaded from, likewise.
    files
        As of :func:`weight_files`.
    model
        What was loaded from them.

    Raises
    ------
    GeneratorError
        If anything is left over, or there are no files.
    """
    if not files:
        there = sorted(one.name for one in folder.glob("*") if one.suffix in SUFFIXES)
        named = f"only {', '.join(there[:4])}" if there else "none of any kind"
        msg = (
            f"{name} in {str(folder)!r} has no file of weights that is known to be read "
            f"({named}): give its variant=…, or load the model as you do and return the pipeline"
        )
        raise GeneratorError(msg)
    accounts = compare_files(files, model)
    if not accounts.unused and not accounts.missing:
        return
    shown = files[0].name if len(files) == 1 else f"{len(files)} files such as {files[0].name}"
    hints = [
        whose
        for pattern, whose in WRAPPED.items()
        for key in accounts.unused[:1]
        if re.search(pattern, key)
    ]
    hint = f" Such names come from {hints[0]}: save the model inside it." if hints else ""
    msg = (
        f"{name} in {str(folder)!r} is not what {shown} holds ({accounts.sentence():.400}), so "
        f"something else than its model would be audited.{hint} Save it again with "
        "save_pretrained, with the class that its config.json names"
    )
    raise GeneratorError(msg)


class _Head(NamedTuple):
    """What is read of a tensor at first."""

    shape: tuple[int, ...]
    start: torch.Tensor


def compare_files(files: Sequence[Path], model: torch.nn.Module) -> Accounts:
    """Find out which tensors of files are not in a model, and the other way round."""
    state = {n: v for n, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    heads = dict(_heads(files))
    idle = _idle_of(model)
    hooked = any(hasattr(part, "_hf_hook") for part in model.modules())
    fits = {n for n, v in state.items() if n in heads and _fits(heads[n], v, offloaded=hooked)}
    left = {n: head for n, head in heads.items() if n not in fits}
    left = {n: head for n, head in left.items() if not any(one.search(n) for one in idle)}
    tied = _tied(model)
    held = {
        n: v
        for n, v in state.items()
        if n not in fits
        and not (tied.get(n, set()) & fits)
        and not IDLE.search(n)
        and not QUANTISED.search(n)
    }
    _pair(left, held)
    for name in [n for n in held if tied.get(n, set()) - held.keys()]:
        del held[name]
    if left and held:  # cut in pieces or joined, if it is there
        whole = {n: value for n, value in _tensors(files) if n in left}
        return _compare_rows(whole, held, idle)
    return Accounts(list(left), list(held))


def _tied(model: torch.nn.Module) -> dict[str, set[str]]:
    """Return the other names of each parameter that has several: a file has one of them."""
    names: dict[int, set[str]] = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), set()).add(name)
    return {name: group for group in names.values() if len(group) > 1 for name in group}


def _tensors(files: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """Yield all tensors of files."""
    from safetensors import safe_open

    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    yield name, opened.get_tensor(name)
        else:
            yield from ((n, v) for n, v in read_pickle(file).items() if torch.is_tensor(v))


def _heads(files: Sequence[Path]) -> Iterator[tuple[str, _Head]]:
    """Yield the shape and the first numbers of each tensor, which takes no time."""
    from safetensors import SafetensorError, safe_open

    for file in files:
        if file.suffix != ".safetensors":
            for name, value in _tensors([file]):
                yield name, _Head(tuple(value.shape), _start(value))
            continue
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    part = opened.get_slice(name)
                    shape = tuple(part.get_shape())
                    few = START if len(shape) == 1 else 1
                    start = part[:few] if shape else opened.get_tensor(name)
                    yield name, _Head(shape, start.flatten()[:START])
        except (SafetensorError, OSError) as error:
            msg = f"{str(file)!r} cannot be read ({error}): was it copied whole?"
            raise GeneratorError(msg) from error


def _start(value: torch.Tensor) -> torch.Tensor:
    first = value[: START if value.ndim == 1 else 1] if value.ndim else value
    return first.detach().flatten()[:START]


def _fits(head: _Head, value: torch.Tensor, *, offloaded: bool) -> bool:
    """Tell whether a model's tensor is that of its name in the file."""
    quantised = type(value.data) is not torch.Tensor or (
        head.start.is_floating_point() and not value.is_floating_point()
    )
    if quantised or (value.is_meta and offloaded):
        return True  # as it was loaded, or kept elsewhere: only its name can be compared
    return tuple(value.shape) == head.shape and _digest(head, value.dtype) == _digest(
        _Head(tuple(value.shape), _start(value)), value.dtype
    )


def _digest(head: _Head, dtype: torch.dtype) -> Any:
    """Return what two tensors have in common if they hold the same numbers, of whatever shape."""
    if head.start.is_meta:
        return None
    n = 1
    for size in head.shape:
        n *= size
    start: Any = head.start.to(dtype).cpu().contiguous().view(torch.uint8)
    return n, start.numpy().tobytes()


def _pair(left: dict[str, _Head], held: dict[str, torch.Tensor]) -> None:
    """Take out of both what was only renamed: equal in size and first numbers."""
    for dtype in {value.dtype for value in held.values()}:
        keys: dict[Any, list[str]] = {}
        for key, head in left.items():
            keys.setdefault(_digest(head, dtype), []).append(key)
        for name in [n for n, v in held.items() if v.dtype == dtype and not v.is_meta]:
            alike = keys.get(_digest(_Head(tuple(held[name].shape), _start(held[name])), dtype))
            if alike:
                del held[name], left[alike.pop()]
