"""``load_samples``: recognises what a path or a data set is, and reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import SampleError, SettingError
from privaudit.samples.sources.caption_files import Listing, read_caption_files
from privaudit.samples.sources.captions_json import read_captions_json
from privaudit.samples.sources.columns import Columns, Keep
from privaudit.samples.sources.data_set import read_data_set
from privaudit.samples.sources.kohya import read_kohya
from privaudit.samples.sources.metadata import METADATA, read_metadata
from privaudit.samples.sources.shards import read_shards
from privaudit.samples.sources.unrecognised import why_not_recognised

if TYPE_CHECKING:
    from collections.abc import Callable

    from privaudit.samples.sample import Sample

__all__ = ["load_samples"]


def load_samples(
    source: Any,
    *,
    caption: str | None = None,
    image: str | None = None,
    id: str | None = None,  # noqa: A002
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Read images with captions from a folder, a file or a data set; which it is, is recognised.

    Parameters
    ----------
    source
        One of

        - a folder with ``metadata.jsonl``, ``metadata.csv`` or ``metadata.parquet``, as the
          ``datasets`` library reads it, or such a table;
        - a folder of pictures with a ``.txt`` or ``.caption`` file beside each, as trainers of
          LoRA read it, folders below (kohya's ``10_name``) included;
        - kohya's ``.toml`` of a data set, or its ``.json`` of metadata;
        - COCO's captions, or another ``.json`` from file names to captions, beside the pictures;
        - WebDataset shards: a ``.tar``, or a folder of them;
        - a ``datasets.Dataset``, or any sequence of mappings.
    caption
        Name of the column of captions; by default ``text``, ``caption`` or ``prompt``.
    image
        Name of the column of pictures, or of their file names.
    id
        Name of the column of ids. By default an id is made of the folder's name, the file's name
        and eight digits of a hash of the file, so that it stays as it is when the data set moves.
    split
        Name of a split: a folder below, or a key of a ``datasets.DatasetDict``.
    limit
        At most so many samples, drawn at random, in their order. Of a streaming set, the first
        ones.
    seed
        Seed of that draw.

    Returns
    -------
    list of Sample
        In the order of the rows, or sorted by name. No image is decoded yet, and none is kept
        when it is.

    Raises
    ------
    SampleError
        If the source is not recognised, a row is not as described, or a file is missing; the
        message names the row or file. An image that cannot be decoded is found when its digest is
        first asked for: in an audit, before anything is generated.
    SettingError
        If ``limit`` is below 1.
    MissingExtraError
        If a Parquet file is read without pyarrow.

    Examples
    --------
    >>> import json, tempfile
    >>> from PIL import Image
    >>> temporary = tempfile.TemporaryDirectory()
    >>> folder = Path(temporary.name) / "train"
    >>> folder.mkdir()
    >>> Image.new("RGB", (8, 8), "red").save(folder / "1.png")
    >>> line = json.dumps({"file_name": "1.png", "text": "a red square"})
    >>> _ = (folder / "metadata.jsonl").write_text(line)
    >>> [sample] = load_samples(folder)
    >>> sample.id.partition("#")[0], sample.caption, sample.image.size
    ('train/1.png', 'a red square', (8, 8))
    >>> temporary.cleanup()
    """
    if limit is not None and limit < 1:
        msg = f"limit={limit} is below 1: leave it out to read all"
        raise SettingError(msg)

    def keep(rows: list[Any]) -> list[Any]:
        if limit is None or len(rows) <= limit:
            return rows
        chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
        return [rows[i] for i in sorted(chosen)]

    columns = Columns(image, caption, id)
    if not isinstance(source, (str, os.PathLike)):
        return read_data_set(source, columns, keep, split=split, limit=limit)
    path = Path(source) if split is None else Path(source) / split
    try:
        return _read(path, columns, keep)
    except OSError as error:
        msg = f"{path} cannot be read ({error}): check the path and its permissions"
        raise SampleError(msg) from error


def _read(path: Path, columns: Columns, keep: Keep) -> list[Sample]:
    if path.is_dir():
        return _read_folder(path, columns, keep)
    readers: dict[str, Callable[[Path, Columns, Keep], list[Sample]]] = {
        ".jsonl": read_metadata,
        ".csv": read_metadata,
        ".parquet": read_metadata,
        ".toml": read_kohya,
        ".json": read_captions_json,
        ".tar": lambda file, *rest: read_shards([file], *rest),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise SampleError(why_not_recognised(path))
    return reader(path, columns, keep)


def _read_folder(folder: Path, columns: Columns, keep: Keep) -> list[Sample]:
    for name in METADATA:
        if (folder / name).is_file():
            return read_metadata(folder / name, columns, keep)
    with os.scandir(folder) as entries:
        inside = [(entry.name, entry.is_dir()) for entry in entries]
    shards = sorted(folder / name for name, _ in inside if name.endswith(".tar"))
    if shards:
        return read_shards(shards, columns, keep)
    # Splits have tables below, whose pictures may have caption files too.
    below = [folder / name for name, is_folder in inside if is_folder]
    splits = any((one / name).is_file() for one in below for name in METADATA)
    if not splits and (listing := Listing.of(folder)).has_captions:
        return read_caption_files(folder, keep, listing=listing)
    raise SampleError(why_not_recognised(folder))
