"""Image folders with metadata, as the ``datasets`` library lays them out."""

from __future__ import annotations

import codecs
import io
import json
import os.path
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_files
from privaudit.samples.sample import Sample
from privaudit.samples.sources.no_metadata import METADATA, why_no_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_samples"]

SHOWN = 80
"""Characters of a wrong line that a message quotes."""


def load_samples(folder: str | Path) -> list[Sample]:
    """Read an image folder with captions, laid out as the ``datasets`` library has it.

    Parameters
    ----------
    folder
        A folder that holds ``metadata.jsonl``, UTF-8, each line an object with ``file_name``
        (relative to the folder, and inside it) and ``text`` (the caption).

    Returns
    -------
    list of Sample
        In the order of the lines. No image is decoded yet, and none is kept when it is.

        An id is ``FOLDER/FILE_NAME#HASH``: the folder's own name, the file's as the line has it,
        and eight digits of a hash of the file. So ``train/images/1.png`` and
        ``holdout/images/1.png`` have two ids, and an id stays as it is when the data set moves,
        or gains and loses other samples. Another folder name or another content of the file
        makes another id, and with it other seeds.

    Raises
    ------
    SampleError
        If the folder or a file is missing, or a line is not as described; the message names the
        line or file. An image that cannot be decoded is found when its digest is first asked
        for: in an audit, before anything is generated.

    Examples
    --------
    >>> import tempfile
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
    folder = Path(folder)
    metadata = folder / METADATA
    samples = []
    for where, line in _lines(metadata):
        name, text = _fields(where, line)
        file = _File(folder / name, where)
        samples.append(Sample(file, text, id=f"{folder.absolute().name}/{name}#{file.hash()}"))
    if not samples:
        msg = f"{metadata} has no lines: write one for each picture, or load another folder"
        raise SampleError(msg)
    return samples


def _lines(metadata: Path) -> Iterator[tuple[str, str]]:
    """Yield where each line is that is not blank, and the line."""
    try:
        if not metadata.is_file():
            raise SampleError(why_no_metadata(metadata.parent))
        content = metadata.read_bytes()
    except OSError as error:
        msg = f"{metadata} cannot be read ({error}): check the path and its permissions"
        raise SampleError(msg) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        msg = f"{metadata} is UTF-16 or no text, not UTF-8: save it as UTF-8"
        raise SampleError(msg)
    # JSON may hold U+2028, U+0085 and other ends of lines of str.splitlines as they are.
    for number, raw in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        where = f"{metadata}:{number}"
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            msg = (
                f"{where} is not UTF-8 at byte {error.start + 1}, {raw[:SHOWN]!r}: save the file "
                "as UTF-8 (it may be Latin-1)"
            )
            raise SampleError(msg) from error
        if line.strip():
            yield where, line


def _fields(where: str, line: str) -> tuple[str, str]:
    """Return the file name and the caption of a line."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"{where} is not JSON ({error}): {line[:SHOWN]!r}; write one object a line"
        raise SampleError(msg) from error
    if not isinstance(row, dict):
        msg = f'{where} is not an object with "file_name" and "text": {line[:SHOWN]!r}'
        raise SampleError(msg)
    for key in ("file_name", "text"):
        if key not in row:
            keys = ", ".join(map(repr, row)) or "{}"
            msg = f'{where} has no "{key}", only {keys}: rename or add it'
            raise SampleError(msg)
        if not isinstance(row[key], str):
            msg = (
                f'{where} has {json.dumps(row[key])[:SHOWN]} for "{key}", not a text: write it in '
                "quotes, or remove the line"
            )
            raise SampleError(msg)
    name: str = row["file_name"]
    inner = Path(os.path.normpath(name))
    if inner.is_absolute() or inner.parts[:1] == ("..",):
        msg = (
            f"{where} names {name!r}, which is outside of its folder: put the picture into the "
            "folder, and name it from there"
        )
        raise SampleError(msg)
    return name, row["text"]


@dataclass(frozen=True)
class _File:
    """Opens a file. Pickled, it becomes the file's bytes: a Ray worker may see no file of ours."""

    path: Path
    named_by: str

    @property
    def where(self) -> str:
        return f"{self.path} (named by {self.named_by})"

    def hash(self) -> str:
        """Return eight digits of a hash of the content, enough to tell files of one name apart."""
        try:
            if not self.path.is_file():
                msg = f"{self.where} does not exist: add the file or remove the line"
                raise SampleError(msg)
            return fingerprint_files(self.path)[:8]
        except OSError as error:
            raise self._unreadable(error) from error

    def __call__(self) -> Image.Image:
        with Image.open(self.path) as image:
            image.load()
            return image

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            return _Content, (self.path.read_bytes(), self.where)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> SampleError:
        return SampleError(f"{self.where} cannot be read ({error}): replace it or remove the line")


@dataclass(frozen=True)
class _Content:
    """Opens the bytes of a file."""

    content: bytes
    where: str

    def __call__(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))
