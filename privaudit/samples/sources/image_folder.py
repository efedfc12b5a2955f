"""Image folders with metadata, as the ``datasets`` library lays them out."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample

__all__ = ["load_samples"]


def load_samples(folder: str | Path) -> list[Sample]:
    """Read an image folder with captions, laid out as the ``datasets`` library has it.

    Parameters
    ----------
    folder
        A folder that holds ``metadata.jsonl``, each line an object with ``file_name`` (relative
        to the folder) and ``text`` (the caption). A sample's id is ``folder/file_name``.

    Returns
    -------
    list of Sample
        In the order of the lines.

    Raises
    ------
    SampleError
        If the folder or a file is missing, a line is not as described, or an image cannot be
        read; the message names the line or file.
    """
    folder = Path(folder)
    metadata = folder / "metadata.jsonl"
    if not metadata.is_file():
        msg = (
            f"{metadata} does not exist: write one JSON object a line, "
            '{"file_name": "0001.png", "text": "its caption"}'
        )
        raise SampleError(msg)
    samples = []
    for number, line in enumerate(metadata.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = row["file_name"], row["text"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            msg = f'{metadata}:{number} has no "file_name" and "text": {line[:80]!r}'
            raise SampleError(msg) from error
        samples.append(
            Sample(_open(folder / name, f"{metadata}:{number}"), text, id=f"{folder.name}/{name}")
        )
    return samples


def _open(path: Path, where: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        msg = f"{path} does not exist, named by {where}: add the file or remove the line"
        raise SampleError(msg) from error
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        msg = f"{path} cannot be read as an image ({error}), named by {where}"
        raise SampleError(msg) from error
