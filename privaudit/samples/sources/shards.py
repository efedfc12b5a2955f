"""WebDataset shards: tar files whose members of one name make a sample."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample
from privaudit.samples.sources.columns import Columns, Keep, text_of
from privaudit.samples.sources.files import Content, is_picture

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_shards"]

Places = dict[str, tuple[int, int]]
"""Offset and length of the members of one sample, by their suffix."""


def read_shards(files: list[Path], columns: Columns, keep: Keep) -> list[Sample]:
    """Read the samples of tar files, in their order; nothing is unpacked to a disk.

    A sample has a picture, and its caption in ``.txt``, ``.caption``, or in ``.json`` under a
    caption column.

    Parameters
    ----------
    files
        The shards, not compressed.
    columns, keep
        As for the other sources.

    Raises
    ------
    SampleError
        If a shard cannot be read, or a sample has no picture or no caption.
    """
    found: list[tuple[Path, str, Places]] = []
    for file in files:
        found += [(file, key, places) for key, places in _samples(file).items()]
    return [_sample(file, key, places, columns) for file, key, places in keep(found)]


def _samples(file: Path) -> dict[str, Places]:
    samples: dict[str, Places] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for member in shard:
                folder, _, name = member.name.rpartition("/")
                key, _, suffix = name.partition(".")
                if member.isfile() and key:
                    whole = f"{folder}/{key}" if folder else key
                    place = (member.offset_data, member.size)
                    samples.setdefault(whole, {})[f".{suffix.lower()}"] = place
    except (OSError, tarfile.TarError) as error:
        msg = f"{file} cannot be read as a tar file ({error}): unpack compressed shards first"
        raise SampleError(msg) from error
    if not samples:
        msg = f"{file} has no samples: check the file"
        raise SampleError(msg)
    return samples


def _sample(file: Path, key: str, places: Places, columns: Columns) -> Sample:
    where = f"{file}, {key}"
    pictures = [suffix for suffix in places if is_picture(suffix.lstrip(".").join(("x.", "")))]
    if not pictures:
        msg = f"{where} has no picture, only {', '.join(places)}: take it out"
        raise SampleError(msg)
    row: dict[str, Any] = {}
    if ".json" in places:
        row = json.loads(_read(file, places[".json"]))
    for suffix in (".caption", ".txt"):
        if suffix in places:
            row["text"] = _read(file, places[suffix]).decode().strip()
    caption = text_of(where, row, columns.caption_of(where, row))
    own = columns.id_of(where, row)
    opener = Member(file, *places[pictures[0]], where)
    return Sample(opener, caption, id=f"{file.stem}/{key}" if own is None else own)


def _read(file: Path, place: tuple[int, int]) -> bytes:
    offset, length = place
    with file.open("rb") as shard:
        shard.seek(offset)
        return shard.read(length)


@dataclass(frozen=True)
class Member:
    """Opens a picture inside a tar file. Pickled, it becomes the picture's bytes.

    Parameters
    ----------
    file
        The tar file.
    offset, length
        Where in it the picture is, in bytes.
    where
        The sample, for messages.
    """

    file: Path
    offset: int
    length: int
    where: str

    def __call__(self) -> Image.Image:
        """Open it."""
        return Image.open(io.BytesIO(_read(self.file, (self.offset, self.length))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Content, (_read(self.file, (self.offset, self.length)), self.where)
