"""The TOML file by which kohya's trainer is told its data set."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.samples.sources.caption_files import SUFFIXES, read_caption_files
from privaudit.samples.sources.captions_json import read_captions_json

if TYPE_CHECKING:
    from privaudit.samples.sample import Sample
    from privaudit.samples.sources.columns import Columns, Keep

__all__ = ["read_kohya"]


def read_kohya(file: Path, columns: Columns, keep: Keep) -> list[Sample]:
    """Read the samples of all subsets of a data set's TOML file.

    Of each subset these are used: ``image_dir``, ``metadata_file``, ``caption_extension``,
    ``class_tokens`` (the caption of a picture that has no caption file), ``caption_prefix`` and
    ``caption_suffix``. What is set for a whole data set, or under ``general``, holds for its
    subsets. Folders are looked for beside the file, then where pytest runs. Repeats make no
    further samples, and pictures for regularisation (``is_reg``) are no members: they are left out.

    Parameters
    ----------
    file
        The TOML file.
    columns, keep
        As for the other sources.

    Raises
    ------
    SampleError
        If the file is not as described, or a picture or caption is missing.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read as TOML ({error}): check the file"
        raise SampleError(msg) from error
    samples: list[Sample] = []
    for data_set in content.get("datasets", []):
        for subset in data_set.get("subsets", []):
            settings = content.get("general", {}) | data_set | subset
            if not settings.get("is_reg"):
                samples += _subset(file, settings, columns)
    if not samples:
        msg = (
            f"{file} names no pictures to train on: load_samples reads [[datasets]] with "
            "[[datasets.subsets]] and image_dir, as kohya's trainer does"
        )
        raise SampleError(msg)
    chosen: list[Sample] = keep(samples)
    return chosen


def _subset(file: Path, settings: dict[str, Any], columns: Columns) -> list[Sample]:
    named = settings.get("image_dir")
    if not isinstance(named, str):
        msg = f"{file} has a subset without image_dir: add it"
        raise SampleError(msg)
    folder = _there(file, named)
    if "metadata_file" in settings:
        table = _there(file, settings["metadata_file"])
        samples = read_captions_json(table, columns, list, folder)
    else:
        extension = settings.get("caption_extension")
        suffixes = (f".{extension.lstrip('.')}",) if extension else SUFFIXES[::-1]
        samples = read_caption_files(
            folder, list, suffixes=suffixes, otherwise=settings.get("class_tokens")
        )
    ends = (settings.get("caption_prefix"), settings.get("caption_suffix"))
    if not any(ends):
        return samples
    return [
        s.recaptioned(" ".join(part for part in (ends[0], s.caption, ends[1]) if part))
        for s in samples
    ]


def _there(file: Path, named: str) -> Path:
    beside = file.parent / named
    return beside if beside.exists() else Path(named)
