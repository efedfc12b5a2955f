"""``load_samples``: recognises what a path or a data set is, and reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import SampleError, SettingError
from privaudit.files import is_regular
from privaudit.samples.sources.caption_files import Listing, first_line_of, read_caption_files
from privaudit.samples.sources.columns import Columns, Keep
from privaudit.samples.sources.data_set import read_data_set
from privaudit.samples.sources.files import Folder
from privaudit.samples.sources.kohya import read_kohya, read_kohya_metadata
from privaudit.samples.sources.metadata import METADATA, read_metadata
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

        - a folder with ``metadata.jsonl`` or ``metadata.csv``, as the ``datasets`` library reads
          it, or such a table; the table of a split may be in the folder above;
        - a folder of pictures with a ``.txt`` or ``.caption`` file beside each, as trainers of
          LoRA read it, folders below (kohya's ``10_name``) included;
        - kohya's ``.toml`` of a data set, or a ``.json`` from file names to captions beside the
          pictures, such as kohya's metadata;
        - what ``datasets.load_dataset`` or ``datasets.load_from_disk`` returns, which read
          WebDataset's shards, Parquet and many more; or any sequence of mappings.
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
        message names the row or file, and quotes no caption. An image that cannot be decoded is
        found when its digest is first asked for: in an audit, before anything is generated.
    SettingError
        If an argument is not of its type, or ``limit`` is below 1.

    Warns
    -----
    UserWarning
        If pictures are links that lead out of their folder, or caption files have several lines.

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
    texts = {"caption": caption, "image": image, "id": id, "split": split}
    _check_arguments(texts, limit, seed)

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
    except (OSError, UnicodeError) as error:
        msg = f"{path} cannot be read ({error}): check the path and its permissions"
        raise SampleError(msg) from error


def _check_arguments(texts: dict[str, Any], limit: Any, seed: Any) -> None:
    """Raise SettingError if an argument is not of its type."""
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            msg = f"{name}={value!r} is a {type(value).__name__}, not a name: write it in quotes"
            raise SettingError(msg)
    for name, value in (("limit", limit), ("seed", seed)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (name == "limit" and value is None):
            msg = f"{name}={value!r} is no whole number: write one, such as {name}=1000"
            raise SettingError(msg)
    if limit is not None and limit < 1:
        msg = f"limit={limit} is below 1: leave it out to read all"
        raise SettingError(msg)
    if seed < 0:
        msg = f"seed={seed} is below 0: write 0 or more"
        raise SettingError(msg)


def _read(path: Path, columns: Columns, keep: Keep) -> list[Sample]:
    if path.is_dir():
        return _read_folder(path, columns, keep)
    readers: dict[str, Callable[[Path, Columns, Keep], list[Sample]]] = {
        ".jsonl": _read_table,
        ".csv": _read_table,
        ".toml": read_kohya,
        ".json": read_kohya_metadata,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise SampleError(why_not_recognised(path))
    return reader(path, columns, keep)


def _read_table(table: Path, columns: Columns, keep: Keep) -> list[Sample]:
    folder = Folder(table.parent)
    rows = read_metadata(table, columns, keep, folder=folder)
    folder.warn()
    return [sample for _, sample in rows]


def _read_folder(path: Path, columns: Columns, keep: Keep) -> list[Sample]:
    folder = Folder(path)
    for name in METADATA:
        if os.path.lexists(path / name):
            rows = read_metadata(folder.check_table(name), columns, keep, folder=folder)
            _check_caption_files(folder, name, rows)
            folder.warn()
            return [sample for _, sample in rows]
    with os.scandir(path) as entries:
        below = [path / entry.name for entry in entries if entry.is_dir()]
    # Splits have tables below, whose pictures may have caption files too.
    splits = any((one / name).is_file() for one in below for name in METADATA)
    if not splits and (listing := Listing.of(path)).has_captions:
        samples = read_caption_files(folder, keep, listing)
        folder.warn()
        return samples
    # The table of a data set with splits may be in the folder above.
    above = Path(os.path.abspath(path)).parent
    for name in METADATA:
        if is_regular(above / name) and _names_pictures_in(path):
            folder = Folder(above)
            table = folder.check_table(name)
            rows = read_metadata(table, columns, keep, folder=folder, below=path.name)
            folder.warn()
            return [sample for _, sample in rows]
    raise SampleError(why_not_recognised(path))


def _names_pictures_in(path: Path) -> bool:
    """Tell whether a folder, or one below it, has pictures that a table above may name."""
    return bool(Listing.of(path).pairs)


def _check_caption_files(folder: Folder, table: str, rows: list[tuple[str, Sample]]) -> None:
    """Check that a table says what the caption files beside its pictures say.

    Raises
    ------
    SampleError
        If they differ: nothing says which of both was trained with.
    """
    files = {name: file for name, file in Listing.of(Path(folder.root)).pairs if file}
    differing = []
    for name, sample in rows:
        file = files.get(os.path.normpath(name).replace(os.sep, "/"))
        if file is None:
            continue
        text = folder.text_of(file)
        if sample.caption.strip() not in (text, first_line_of(text)):
            differing.append(file)
    if differing:
        msg = (
            f"{table} and {len(differing)} caption files in {folder.root} differ, such as "
            f"{differing[0]}, and nothing says which was trained with: load_samples"
            f"({folder.root + '/' + table!r}) takes the table, or move {table} away"
        )
        raise SampleError(msg)
