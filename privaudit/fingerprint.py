"""Content hashes of models and settings: what makes two results comparable, or the same.

Three hash functions, one reason each. SHA-256 names pixels: sample ids derive from it, records
quote it as evidence, and every language has it. BLAKE2b names texts and settings, whose hash
must be short and is nobody's evidence. XXH3 reads gigabytes of weights, see
:func:`fingerprint_module`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
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


def fingerprint_module(module: torch.nn.Module) -> str:
    """Hash the names, shapes, dtypes and values of all parameters and buffers of a module.

    Two modules with one fingerprint compute the same function, given the same class and
    library versions; where the weights came from does not matter.
    """
    import torch

    # Gigabytes, before each test: thirty times as fast as a cryptographic hash, and nobody
    # gains from weights that collide.
    digest = xxhash.xxh3_128(type(module).__qualname__.encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy())
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
    """Hash named plain values; anything JSON cannot hold enters by its ``repr``."""
    return fingerprint_text(json.dumps(values, sort_keys=True, default=repr))


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
