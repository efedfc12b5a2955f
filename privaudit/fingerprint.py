"""Content hashes of models and settings: what makes two results comparable, or the same.

Three hash functions, one reason each. SHA-256 names pixels: sample ids derive from it, records
quote it as evidence, and every language has it. BLAKE2b names texts and settings, whose hash
must be short and is nobody's evidence. XXH3 reads gigabytes of weights, see
:func:`fingerprint_module`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping, Set
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import xxhash

from privaudit.errors import FingerprintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL import Image

__all__ = [
    "fingerprint_code",
    "fingerprint_files",
    "fingerprint_module",
    "fingerprint_pixels",
    "fingerprint_text",
    "fingerprint_values",
    "library_versions",
]

READ_AT_ONCE = 2**22
PLAIN = {type(None), bool, int, float, str}
"""What JSON holds as it is."""
MARK = "\0"
"""Begins the name of a type in the JSON that is hashed, and no key of a dictionary in it."""


def fingerprint_module(module: torch.nn.Module) -> str:
    """Hash the names, shapes, dtypes and values of all parameters and buffers of a module.

    Two modules with one fingerprint compute the same function, given the same class and
    library versions; where the weights came from does not matter.

    Gigabytes, before each test: XXH3 is thirty times as fast as a cryptographic hash, and nobody
    gains from weights that collide.

    Raises
    ------
    FingerprintError
        If a weight cannot be read, such as one that is offloaded.
    """
    import torch

    kind = type(module).__qualname__
    digest = xxhash.xxh3_128(kind.encode())
    for name, tensor in sorted(module.state_dict().items()):
        if type(tensor) is torch.Tensor and not tensor.is_quantized:
            digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
            digest.update(_raw(tensor, f"{kind}.{name}"))
        else:  # packed weights of a quantised layer, or a layer's own extra state
            state = _json(_plain(tensor, f"{kind}.{name}"))
            digest.update(f"{name}:{state};".encode())
    return digest.hexdigest()


def fingerprint_files(root: Path) -> str:
    """Hash a file, or all files of a folder with their names, whatever the folder is called.

    Links are followed, to folders too. Hidden files and ``*.md`` say nothing to a model.

    Raises
    ------
    OSError
        If anything there cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    files = [root]
    if root.is_dir():
        found = os.walk(root, followlinks=True, onerror=fail)
        files = sorted(Path(folder, name) for folder, _, names in found for name in names)
    digest = xxhash.xxh3_128()
    for file in files:
        inner = file.relative_to(root)
        if inner.suffix == ".md" or any(part.startswith(".") for part in inner.parts):
            continue
        header = f"{inner.as_posix()}:{file.stat().st_size};"
        digest.update(header.encode("utf-8", "surrogateescape"))
        with file.open("rb") as opened:
            while chunk := opened.read(READ_AT_ONCE):
                digest.update(chunk)
    return digest.hexdigest()


def fingerprint_values(**values: Any) -> str:
    """Hash named values by their whole content, whatever process or machine they are in.

    Parameters
    ----------
    **values
        ``None``, numbers, texts, bytes, paths (their text, not their file), enumerations, NumPy
        arrays and scalars, torch tensors, dtypes and devices, PIL images, dataclasses, and lists,
        tuples, sets and mappings of these; or any object with a text ``fingerprint``, which
        stands for it.

    Raises
    ------
    FingerprintError
        If anything in there is of another type. Its ``repr`` may be abbreviated, or name an
        address in memory: two that differ would share what is stored, or one would never find it.
    """
    try:
        return fingerprint_text(
            _json({name: _plain(value, name) for name, value in values.items()})
        )
    except RecursionError as error:
        msg = f"one of {', '.join(values)} contains itself: give a value that can be written down"
        raise FingerprintError(msg) from error


def fingerprint_text(text: str) -> str:
    """Hash a text of any characters."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def fingerprint_pixels(image: Image.Image) -> str:
    """Hash an image's size and RGB pixels, so that the file format does not matter.

    The only hash of pixels in this package: of query images, of generated images, and of what
    the store reads back. Ids of samples derive from it, and seeds from ids, so a change of one
    bit here changes every number of every audit.

    Parameters
    ----------
    image
        An RGB image of any size.

    Returns
    -------
    str
        SHA-256 of ``"WIDTHxHEIGHT:"`` and the bytes of the pixels, row by row, in hexadecimal.

    Raises
    ------
    ValueError
        If the image is in another mode: how it becomes RGB is decided elsewhere.
    """
    if image.mode != "RGB":
        msg = f"image has mode {image.mode}, not RGB"
        raise ValueError(msg)
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def library_versions(*names: str) -> dict[str, str | None]:
    """Return the versions of libraries, ``None`` for one that is not installed."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def fingerprint_code() -> str:
    """Hash this package's own source and the versions of the libraries that fit its models.

    Numbers kept from an earlier run are only those of this run while neither has changed.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return fingerprint_values(
        source=digest.hexdigest(),
        libraries=library_versions("numpy", "scipy", "scikit-learn"),
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _marked(kind: str, *content: Any) -> dict[str, Any]:
    return {f"{MARK}{kind}": content}


def _plain(value: Any, where: str) -> Any:
    """Turn a value into JSON that no other value turns into.

    Lists and tuples are alike, and so are a number and a NumPy scalar of that number: whoever
    writes ``(1, 2)`` for ``[1, 2]`` means no other model.

    Parameters
    ----------
    value
        The value.
    where
        What the user calls it, for the error.
    """
    if type(value) in PLAIN:
        return value
    for kind in (_plain_scalar, _plain_container, _plain_array):
        found = kind(value, where)
        if found is not None:
            return found
    raise _refused(where, value)


def _plain_scalar(value: Any, where: str) -> Any:
    stated = None if isinstance(value, type) else getattr(value, "fingerprint", None)
    found: Any = None
    if isinstance(stated, str):
        found = _marked("stated", type(value).__qualname__, stated)
    elif isinstance(value, enum.Enum):
        content = _plain(value.value, f"{where}.value")
        found = _marked("enum", type(value).__qualname__, value.name, content)
    elif isinstance(value, (int, float, str)):  # such as numpy.float64, which is a float
        found = next(plain(value) for plain in (int, float, str) if isinstance(value, plain))
    elif isinstance(value, (bytes, bytearray)):
        found = _marked("bytes", hashlib.blake2b(value, digest_size=16).hexdigest())
    elif isinstance(value, complex):
        found = _marked("complex", value.real, value.imag)
    elif isinstance(value, PurePath):
        found = _marked("path", value.as_posix())
    return found


def _plain_container(value: Any, where: str) -> Any:
    found: Any = None
    if isinstance(value, Mapping):
        found = _plain_mapping(value, where)
    elif isinstance(value, Set):
        items = [_plain(inner, f"an item of {where}") for inner in value]
        found = _marked("set", *sorted(items, key=_json))
    elif isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        found = [_plain(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
    elif isinstance(value, tuple):
        found = _plain_fields(value, value._fields, where)  # type: ignore[attr-defined]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = _plain_fields(value, [field.name for field in dataclasses.fields(value)], where)
    return found


def _plain_fields(value: Any, names: Sequence[str], where: str) -> Any:
    content = {name: _plain(getattr(value, name), f"{where}.{name}") for name in names}
    return _marked("fields", type(value).__qualname__, content)


def _plain_mapping(value: Mapping[Any, Any], where: str) -> Any:
    if not all(type(key) is str and not key.startswith(MARK) for key in value):
        pairs = [
            [_plain(key, f"a key of {where}"), _plain(inner, f"{where}[{key!r}]")]
            for key, inner in value.items()
        ]
        return _marked("mapping", *sorted(pairs, key=_json))
    if {type(inner) for inner in value.values()} <= PLAIN:
        return dict(value)  # a vocabulary has 150,000
    return {key: _plain(inner, f"{where}[{key!r}]") for key, inner in value.items()}


def _plain_array(value: Any, where: str) -> Any:
    """Turn what torch, NumPy or Pillow made into JSON: whoever has one has imported the library."""
    torch, numpy, pillow = map(sys.modules.get, ("torch", "numpy", "PIL.Image"))
    found: Any = None
    if torch is not None and isinstance(value, torch.Tensor):
        found = _plain_tensor(value, where)
    elif torch is not None and isinstance(
        value, (torch.dtype, torch.device, torch.layout, torch.memory_format)
    ):
        found = _marked("torch", str(value))
    elif numpy is not None and isinstance(value, numpy.dtype):
        found = _marked("dtype", numpy.lib.format.dtype_to_descr(value))
    elif numpy is not None and isinstance(value, numpy.generic):
        plain = value.item() if value.dtype.kind in "biufc" else numpy.asarray(value)
        found = _plain(plain, where)
    elif numpy is not None and type(value) in (numpy.ndarray, numpy.memmap):
        if value.dtype.hasobject:
            content = _plain(value.tolist(), where)
        else:
            content = xxhash.xxh3_128_hexdigest(value.tobytes())
        head = [numpy.lib.format.dtype_to_descr(value.dtype), value.shape]
        found = _marked("array", *head, content)
    elif pillow is not None and isinstance(value, pillow.Image):
        colours = _plain([value.getpalette(), value.info.get("transparency")], where)
        pixels = xxhash.xxh3_128_hexdigest(value.tobytes())
        found = _marked("image", value.mode, value.size, pixels, colours)
    return found


def _plain_tensor(tensor: torch.Tensor, where: str) -> Any:
    import torch

    head = [str(tensor.dtype), list(tensor.shape)]
    if hasattr(tensor, "__tensor_flatten__"):  # a quantised weight, as torchao has it
        names, context = tensor.__tensor_flatten__()
        inner = {name: _plain(getattr(tensor, name), f"{where}.{name}") for name in names}
        kind = type(tensor).__qualname__
        return _marked("parts", kind, *head, inner, _plain(context, f"{where}'s context"))
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise _refused(where, tensor)
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            steps = [tensor.q_scale(), tensor.q_zero_point()]
        else:
            steps = [tensor.q_per_channel_axis()]
            for part in (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()):
                steps.append(_plain_tensor(part, where))
        values = _plain_tensor(tensor.int_repr(), where)
        return _marked("quantised", str(tensor.qscheme()), *head, steps, values)
    return _marked("tensor", *head, xxhash.xxh3_128_hexdigest(_raw(tensor, where)))


def _raw(tensor: torch.Tensor, where: str) -> Any:
    """Return the bytes of a tensor, in the order of its elements."""
    import torch

    if tensor.layout is not torch.strided:
        raise _refused(where, tensor, f"a tensor of layout {tensor.layout}")
    if tensor.is_meta:
        msg = (
            f"{where} has no values here: its model is offloaded, or was never loaded. Load it "
            "whole, without device_map or offloading"
        )
        raise FingerprintError(msg)
    whole = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return whole.flatten().view(torch.uint8).numpy()


def _refused(where: str, value: Any, kind: str | None = None) -> FingerprintError:
    kind = kind or f"a {type(value).__module__}.{type(value).__qualname__}"
    return FingerprintError(
        f"{where} is {kind.replace('builtins.', '')}, which cannot be hashed whole, and what is "
        "stored for one could be taken for another's: give numbers, texts, arrays, or an object "
        "with a text 'fingerprint' that changes whenever its effect does"
    )
