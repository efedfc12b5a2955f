"""What is there instead of something that ``load_samples`` reads, and the line that reads it.

The ``datasets`` library reads WebDataset's shards, Parquet, Arrow and its own folders; what it
loads, ``load_samples`` takes.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from privaudit.files import read_bytes
from privaudit.samples.sources.caption_files import Listing
from privaudit.samples.sources.columns import CAPTIONS, describe
from privaudit.samples.sources.files import is_picture
from privaudit.samples.sources.metadata import METADATA

__all__ = ["why_not_metadata", "why_not_recognised"]

EXAMPLE = json.dumps({"file_name": "0001.png", "text": "its caption"})
PEEKED = 2**20
"""Bytes of a shard that are looked at: the names of its first sample."""
PACKED = (".tar.gz", ".tgz", ".zip")
PATHS = ("image", "file_name", "image_path", "path", "file", "filename")
"""Names that rows of other tools have for the file of a picture."""


def why_not_recognised(path: Path) -> str:  # noqa: PLR0911  # one a cause
    """Say what is there, and what to do.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    if path.is_file():
        return _file(path)
    if os.path.lexists(path) and not path.is_dir():
        return f"{path} is no file and no folder, or a link to nothing: check what is there"
    if not path.exists():
        return f"{path} does not exist, seen from {Path.cwd()}: check the path"
    inside = sorted(path.iterdir())
    table = METADATA[0]
    if not inside:
        return f"{path} is empty: put the pictures there, and {table} with lines like {EXAMPLE}"
    line = _folder_of_datasets(path, inside)
    if line:
        return line
    splits = [one for one in inside if any((one / name).is_file() for name in METADATA)]
    if splits:
        names = ", ".join(one.name for one in splits)
        return (
            f"{path} has no {table}, but {names} below have one: load one split at a time, "
            f"privaudit.load_samples({str(path)!r}, split={splits[0].name!r})"
        )
    lists = [one.name for one in inside if one.suffix in (".json", ".toml", ".jsonl", ".csv")]
    if lists:
        return (
            f"{path} has no {table}, but {', '.join(lists[:3])}: if captions are there, name the "
            f"file, privaudit.load_samples({str(path / lists[0])!r})"
        )
    listing = Listing.of(path)
    n = sum(is_picture(one.name) for one in inside)
    lost = listing.why_lost()
    if lost:
        return f"{path} has {n} pictures and no captions of them: {lost}"
    if listing.unread and not n:
        first = next(iter(listing.unread.values()))
        return f"{path} has {first}, of a format that is not read: convert its pictures to PNG"
    return (
        f"{path} has {n} pictures and no captions: write {table} with a line for each, {EXAMPLE}, "
        "or a .txt file beside each"
    )


def _file(path: Path) -> str:
    """Say of a file which line reads it."""
    name, ending = str(path), "".join(path.suffixes[-2:]).lower()
    if path.suffix.lower() == ".tar":
        return _shards(path, name)
    if path.suffix.lower() == ".parquet":
        return _parquet(name, name)
    if path.suffix.lower() == ".arrow":
        return (
            f"{name} is an Arrow file of the datasets library: "
            f"load_samples(datasets.Dataset.from_file({name!r}))"
        )
    if ending.endswith((*PACKED, ".tar.xz", ".tar.bz2", ".tar.zst")):
        return f"{name} is compressed: unpack it, and load the folder"
    if is_picture(path.name):
        return (
            f"{name} is a picture, and load_samples reads sets of them: pass its folder, "
            f"{path.parent}"
        )
    return (
        f"{name} is a file, and of no kind that load_samples reads: pass its folder, {path.parent}"
    )


def _folder_of_datasets(path: Path, inside: list[Path]) -> str:  # noqa: PLR0911  # one a kind
    """Say which line reads a folder that the datasets library reads, or nothing."""
    names = {one.name for one in inside}
    here = str(path)
    if "metadata.parquet" in names:
        return (
            f"{here} has metadata.parquet: load_samples(datasets.load_dataset("
            f'"imagefolder", data_dir={here!r}, split="train"))'
        )
    if "dataset_dict.json" in names:
        splits = [one.name for one in inside if (one / "dataset_info.json").is_file()]
        split = repr(splits[0]) if splits else "…"
        return (
            f"{here} was written by save_to_disk, with the splits {', '.join(splits)}: "
            f"load_samples(datasets.load_from_disk({here!r}), split={split})"
        )
    if "state.json" in names and "dataset_info.json" in names:
        return (
            f"{here} was written by save_to_disk: load_samples(datasets.load_from_disk({here!r}))"
        )
    shards = [one for one in inside if one.suffix == ".tar"]
    if shards:
        return _shards(shards[0], str(path / "*.tar"))
    # A snapshot of the hub has its tables in a folder below.
    for folder in (path, *(one for one in inside if one.is_dir())):
        tables = sorted(folder.glob("*.parquet"))
        if tables:
            return _parquet(str(tables[0]), str(folder / "*.parquet"))
    packed = [one.name for one in inside if one.name.lower().endswith(PACKED)]
    if packed:
        return f"{here} has {packed[0]}, which is compressed: unpack it, and load the folder"
    return ""


def _parquet(first: str, files: str) -> str:
    return (
        f"{first} is a Parquet table: load_samples(datasets.load_dataset("
        f'"parquet", data_files={files!r}, split="train"))'
    )


def _shards(first: Path, files: str) -> str:
    """Say which line reads WebDataset's shards, with the columns of the first sample."""
    load = f'datasets.load_dataset("webdataset", data_files={files!r}, split="train")'
    members = _members(first)
    pictures = [one for one in members if is_picture(f"x.{one}")]
    if not pictures:
        has = ", ".join(members) or "nothing that can be read"
        return f"{first} is a tar file, and its first sample has {has}: unpack it and check it"
    several, image = "", repr(pictures[0])
    if len(pictures) > 1:
        several = f", of which one is the picture that was trained on ({', '.join(pictures)})"
        plain = [one for one in pictures if "." not in one]  # not a mask.png or depth.png
        image = repr(plain[0]) if len(plain) == 1 else "…"
    if "txt" in members:
        caption = ', caption="txt"'
    elif "json" in members:
        load += '.map(lambda row: {"text": row["json"]["caption"]})'
        caption = ""
    else:
        caption = ", caption=…"
    return (
        f"{first} is a WebDataset shard, each sample of {', '.join(members)}{several}: "
        f"load_samples({load}, image={image}{caption})"
    )


def _members(shard: Path) -> list[str]:
    """Return the endings of the names of a shard's first sample, from its beginning alone."""
    endings: list[str] = []
    first = None
    try:
        content = read_bytes(shard, PEEKED)[1]
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                key, _, ending = name.partition(".")
                if not (key and ending and member.isfile()):
                    continue
                if first not in (None, (folder, key)):
                    break
                first = (folder, key)
                endings.append(ending)
    except Exception:  # noqa: S110  # of a cut file, tarfile raises half a dozen types
        pass  # the beginning may end within a member: what came before it is enough
    return endings[:12]


def why_not_metadata(file: Path, content: Any) -> str:
    """Say what a JSON file holds in place of captions by file name, and the lines that read it."""
    here, name = str(file.parent), str(file)
    if isinstance(content, dict) and {"images", "annotations"} <= set(content):
        path = f'os.path.join({here!r}, i["file_name"])'
        return (
            f"{name} is COCO's list of captions. Read it as rows:\n"
            f"coco = json.loads(Path({name!r}).read_bytes()); "
            f'files = {{i["id"]: {path} for i in coco["images"]}}; '
            'first = {a["image_id"]: a["caption"] for a in reversed(coco["annotations"])}\n'
            'load_samples([{"image": files[i], "text": text} for i, text in first.items()])'
        )
    if isinstance(content, list) and content and isinstance(content[0], dict):
        image = next((one for one in PATHS if one in content[0]), None)
        caption = next((one for one in CAPTIONS if one in content[0]), None)
        if image and caption:
            path = f"os.path.join({here!r}, row[{image!r}])"
            return (
                f"{name} is a list of rows:\n"
                f'load_samples([{{"image": {path}, "text": row[{caption!r}]}} '
                f"for row in json.loads(Path({name!r}).read_bytes())])"
            )
    what = describe(content) if content else "empty"
    return (
        f"{name} is {what}, and no object from file names to captions, as kohya's metadata is: "
        f"write one, or {METADATA[0]} with lines like {EXAMPLE}"
    )
