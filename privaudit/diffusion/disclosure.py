"""What a file of weights says of its training data, in words: trainers write it into the header.

No weight is read, so it takes milliseconds and no GPU.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import DisclosureError
from privaudit.files import open_regular, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Finding", "inspect_header", "write_clean_copy"]

SHOWN = 5
"""Values of a finding that a message shows."""
HARMLESS = ("format", "modelspec.sai_model_spec", "modelspec.architecture", "modelspec.resolution")
"""Keys that say how to load the weights, and stay in a clean copy."""
CAPTIONS = re.compile(r"tag_frequency|caption|trigger|prompt|class_tokens|usage_hint", re.I)
COUNTS = re.compile(r"(num|n)_.*(images|examples|repeats|items)|img_count|n_repeats", re.I)
FOLDERS = re.compile(r"(dataset|image|data|concept).*(dir|folder|path|name)|tag_frequency", re.I)
NAMES = re.compile(r"author|title|description|comment|output_name|license|(^|\.)name$|email", re.I)
TIMES = re.compile(r"(_at|date|time|timestamp)$", re.I)
ROOTED = re.compile(r"(?:[A-Za-z]:\\|\\\\|~?/)[^\s\"'\\/]*[\\/]")
"""Begins a path from the root of a disk or a home, or of a folder there."""
FOLDER = re.compile(r"[^\s\"'][\\/]")
SUFFIX = re.compile(r"\.\w{2,5}$")
LONGEST = 1_000
"""Characters of a key that are looked at: no trainer writes longer ones."""
USER = re.compile(r"(?:[\\/](?:home|Users)[\\/])([^\\/\"']+)")
PICTURE = re.compile(r"^data:image/")
NUMBERED = re.compile(r"^\d+_.+")
"""Folders of kohya's trainer: repeats, then the concept."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that an outsider learns from a file.

    Attributes
    ----------
    what
        ``"captions"``, ``"folders"``, ``"paths"``, ``"users"``, ``"counts"``, ``"names"``,
        ``"times"`` or ``"pictures"``.
    values
        All of them, as texts; of captions the most frequent ones first.
    keys
        Keys of the header that they are from.
    """

    what: str
    values: tuple[str, ...]
    keys: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(repr(value) for value in self.values[:SHOWN])
        more = f" and {len(self.values) - SHOWN:,} more" if len(self.values) > SHOWN else ""
        return f"{self.what}: {shown}{more} ({', '.join(self.keys)})"


def inspect_header(file: str | Path) -> list[Finding]:
    """Say what the header of a ``.safetensors`` file tells an outsider.

    The header that kohya's, OneTrainer's, ai-toolkit's and others' trainers write may hold words of
    captions with their counts, folder names, paths of the machine that trained, numbers of images,
    trigger words, or the whole configuration.

    Parameters
    ----------
    file
        The file. Only its header is read.

    Returns
    -------
    list of Finding
        None if the header tells nothing of the data.

    Raises
    ------
    DisclosureError
        If it is no such file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from safetensors.numpy import save_file
    >>> temporary = tempfile.TemporaryDirectory()
    >>> file = Path(temporary.name) / "lora.safetensors"
    >>> about = {"ss_tag_frequency": '{"10_ann": {"ann": 12, "smiling": 3}}'}
    >>> save_file({"a": np.zeros(1)}, file, metadata=about)
    >>> for finding in inspect_header(file):
    ...     print(finding)
    captions: 'ann (12)', 'smiling (3)' (ss_tag_frequency)
    folders: '10_ann' (ss_tag_frequency)
    >>> temporary.cleanup()
    """
    found: dict[str, Counter[str]] = {}
    keys: dict[str, dict[str, None]] = {}
    for key, text in _metadata(Path(file)).items():
        if key not in HARMLESS:
            for path, value in _leaves(_parsed(text), (key,)):
                for what, told, weight in _told(path, value):
                    found.setdefault(what, Counter())[told] += weight
                    keys.setdefault(what, {})[key] = None
    return [
        Finding(
            what,
            tuple(f"{v} ({n})" if n > 1 and what == "captions" else v for v, n in _ordered(values)),
            tuple(keys[what]),
        )
        for what, values in sorted(found.items())
    ]


def _told(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, str, int]]:
    """Yield what one value tells: the kind, the text, and how often it was counted."""
    name, where = path[-1][:LONGEST], ".".join(path)[:LONGEST]
    if isinstance(value, int) and "tag_frequency" in path[0]:
        yield "captions", name, value
        yield "folders", path[-2], 1
        return
    yield from (("folders", part, 1) for part in path[1:] if NUMBERED.match(part))
    if COUNTS.search(name) and str(value).isdigit():
        yield "counts", f"{name} = {value}", 1
    if isinstance(value, str) and value.strip():
        yield from (("users", user, 1) for user in USER.findall(value))
        if PICTURE.match(value):
            yield "pictures", f"{value[:30]}…", 1
            return
        kinds = (
            ("captions", CAPTIONS, where),
            ("folders", FOLDERS, where),
            ("names", NAMES, name),
            ("times", TIMES, name),
        )
        what = next((kind for kind, pattern, text in kinds if pattern.search(text)), None)
        what = "paths" if _has_path(value) else what
        if what is not None:
            yield what, value, 1


def _has_path(value: str) -> bool:
    """Tell whether a text holds a path: one from a root, or of a file in a folder at its end.

    In steps, each of which reads the text once: an expression for it all tries each beginning
    with each end.
    """
    if ROOTED.search(value):
        return True
    suffix = SUFFIX.search(value, max(0, len(value) - 8))
    if suffix is None:
        return False
    begin = 1 + max(value.rfind(mark, 0, suffix.start()) for mark in "\"'\n")
    return FOLDER.search(value, begin, suffix.start()) is not None


def write_clean_copy(file: str | Path, copy: str | Path) -> None:
    """Write a copy of a ``.safetensors`` file whose header says nothing but how to load it.

    The weights are the same, byte for byte. The new file must not exist.

    Parameters
    ----------
    file, copy
        The file, and where its copy goes.

    Raises
    ------
    DisclosureError
        If it is no such file, or the copy exists or cannot be written.
    """
    file, copy = Path(file), Path(copy)
    kept = {name: value for name, value in _metadata(file).items() if name in HARMLESS}
    try:
        with file.open("rb") as source, copy.open("xb") as target:
            length = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(length))
            header.pop("__metadata__", None)
            text = json.dumps({"__metadata__": kept, **header} if kept else header).encode()
            text += b" " * (-len(text) % 8)  # the weights stay aligned
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target)
    except FileExistsError as error:
        msg = f"{copy} exists: name a new file"
        raise DisclosureError(msg) from error
    except OSError as error:
        msg = f"{copy} cannot be written ({error}): name another file"
        raise DisclosureError(msg) from error


def _metadata(file: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        os.close(open_regular(file))
        with safe_open(file, framework="numpy") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        msg = f"{file} cannot be read as .safetensors ({error}): name a file of weights"
        raise DisclosureError(msg) from error


def _parsed(text: str) -> Any:
    """Return what a value of the header holds: trainers put JSON into it."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return parse_json(text, "a value of the header", DisclosureError)
    except DisclosureError:  # no JSON, or nested so deeply that nobody wrote it to be read
        return text


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _ordered(values: Counter[str]) -> list[tuple[str, int]]:
    return sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
