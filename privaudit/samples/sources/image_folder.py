"""Image folders with metadata, as the ``datasets`` library lays them out."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

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
        In the order of the lines. No image is opened yet, and none is kept when it is.

    Raises
    ------
    SampleError
        If the folder or a file is missing, or a line is not as described; the message names the
        line or file. An image that cannot be read is found when its digest is first asked for:
        in an audit, before anything is generated.
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
        file = _File(folder / name, f"{metadata}:{number}")
        if not file.path.is_file():
            msg = f"{file.path} does not exist, named by {file.named_by}: add it or remove the line"
            raise SampleError(msg)
        samples.append(Sample(file, text, id=f"{folder.name}/{name}"))
    return samples


@dataclass(frozen=True)
class _File:
    """Opens a file. Pickled, it becomes the file's bytes: a Ray worker may see no file of ours."""

    path: Path
    named_by: str

    @property
    def where(self) -> str:
        return f"{self.path} (named by {self.named_by})"

    def __call__(self) -> Image.Image:
        with Image.open(self.path) as image:
            image.load()
            return image

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            msg = f"{self.where} cannot be read ({error}): replace it or remove the line"
            raise SampleError(msg) from error
        return _Content, (content, self.where)


@dataclass(frozen=True)
class _Content:
    """Opens the bytes of a file."""

    content: bytes
    where: str

    def __call__(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))
