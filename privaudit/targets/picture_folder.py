"""Pictures that were drawn elsewhere, for a model that cannot be called from here."""

from __future__ import annotations

import collections
import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from PIL import Image

from privaudit.errors import GeneratorError
from privaudit.fingerprint import fingerprint_values
from privaudit.samples import open_picture
from privaudit.samples.sources.files import is_picture
from privaudit.targets.base import checked
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.queries import Answer, portable_seed
from privaudit.targets.query_list import LISTS, read_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from privaudit.targets.queries import Query
    from privaudit.targets.query_list import ListedQuery

__all__ = ["PictureFolder"]


class PictureFolder:
    """A target whose answers are files: ``ID/0.png``, ``ID/1.png``, …, drawn by its owner.

    ``privaudit queries AUDIT_FILE`` writes the list of what is to be drawn into the folder, as
    ``queries.jsonl`` and ``queries.csv``, for the words of all scenarios of the audit. The folder
    is looked through as a whole, before anything is measured.

    Parameters
    ----------
    folder
        The folder of the list; it need not be there before the list is written.
    size
        Width and height that every picture must have, in pixels; by default those that most of
        them have.

    Raises
    ------
    GeneratorError
        When the pictures are first needed: if any is missing, of another size, no whole PNG or the
        copy of another, or a picture is there that is not on the list. Each kind is counted, and
        its first named.
    """

    persistent = True

    def __init__(self, folder: str | PathLike[str], *, size: tuple[int, int] | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._size = size

    @property
    def capabilities(self) -> Capabilities:
        """Say that it has answers for its list alone, which are files already, on this machine."""
        return Capabilities(
            worth_storing=False,
            stays_here=True,
            answers_any=False,
            unchecked=(
                "its pictures were drawn elsewhere: which model drew them, from which prompts and "
                "with which seeds, only their owner knows, and seeds and prompts were not tried "
                "here",
            ),
            knows=self.knows,
            plan_notes=self.plan_notes,
            seconds_per_image=self.seconds_per_image,
        )

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes a file."""
        return wanted

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the list and of all pictures, which are looked through now."""
        return fingerprint_values(
            pictures=[[row.key, digest] for row, (digest, _) in self._looked_at]
        )

    def knows(self, query: Query) -> bool:
        """Tell whether a query is on the list."""
        return (query.sample.id, query.prompt, portable_seed(query.seed)) in self._files

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Read the picture of each query, see :class:`privaudit.targets.Target`."""
        self.fingerprint  # noqa: B018  # no picture is read of a folder that is not whole
        unknown = [query for query in queries if not self.knows(query)]
        if unknown:
            msg = (
                f"{len(unknown)} of {len(queries)} queries are not on the list of {self.folder}, "
                f"the first of sample {unknown[0].sample.id!r}: samples, captions or settings "
                "changed since it was written. Write it anew with `privaudit queries AUDIT_FILE`, "
                "and draw what is new"
            )
            raise GeneratorError(msg)
        for query in queries:
            key = (query.sample.id, query.prompt, portable_seed(query.seed))
            path = self.folder / self._files[key]
            try:
                [picture] = checked(str(path), [open_picture(path)], [query.sample.id])
            except (OSError, SyntaxError, ValueError) as error:
                msg = f"{path} cannot be read ({error}): draw it again"
                raise GeneratorError(msg) from error
            yield Answer(query, picture)

    def describe(self) -> dict[str, Any]:
        """Say where the pictures are, how many, and of what size."""
        return {
            "class": type(self).__name__,
            "identity": self.fingerprint,
            "folder": str(self.folder),
            "pictures": len(self._looked_at),
            "size": list(self._looked_at[0][1][1]),
        }

    def plan_notes(self, n_new: int) -> Iterator[str]:
        """Say that none of so many images is generated here."""
        if n_new:
            yield f"the {n_new:,} images of {self.folder} are there, and are only read"

    def seconds_per_image(self) -> float:
        """Return 0: reading takes no time beside all else."""
        return 0.0

    # -- the folder

    @functools.cached_property
    def _files(self) -> dict[tuple[str, str, int], str]:
        return {row.key: row.file for row in self._rows}

    @functools.cached_property
    def _rows(self) -> list[ListedQuery]:
        return read_list(self.folder)

    @functools.cached_property
    def _looked_at(self) -> list[tuple[ListedQuery, tuple[str, tuple[int, int]]]]:
        """Return each query with hash and size of its picture."""
        found: dict[str, tuple[str, tuple[int, int]]] = {}
        faults: dict[str, list[str]] = collections.defaultdict(list)
        for row in self._rows:
            try:
                found[row.file] = _looked_at(self.folder / row.file)
            except FileNotFoundError:
                faults["are missing"].append(row.file)
            except Exception as error:  # Pillow has a dozen types for bytes that are no picture
                faults["are no whole PNG"].append(f"{row.file} ({error})")
        faults["are not on the list"] = self._extra()
        sizes = collections.Counter(size for _, size in found.values())
        size = self._size or (sizes.most_common(1)[0][0] if sizes else None)
        faults[f"are not {'×'.join(map(str, size or ()))} pixels"] = [
            file for file, (_, its) in found.items() if its != size
        ]
        faults["are the same file as that of another query"] = _copies(found)
        said = [
            f"{len(files):,} pictures {what}, the first {files[0]}"
            for what, files in faults.items()
            if files
        ]
        if said:
            msg = (
                f"{self.folder} does not hold one picture for each of the {len(self._rows):,} "
                f"queries on its list: {'; '.join(said)}. Draw each row of {LISTS[1]} once, with "
                "its prompt and a seed of its own, into its file"
            )
            raise GeneratorError(msg)
        return [(row, found[row.file]) for row in self._rows]

    def _extra(self) -> list[str]:
        """Name the pictures that nobody asked for."""
        files = {os.path.normpath(row.file) for row in self._rows}
        extra = []
        for inner, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = (
                os.path.relpath(os.path.join(inner, name), self.folder)  # noqa: PTH118
                for name in names
                if is_picture(name) and not name.startswith(".")
            )
            extra += [path for path in paths if path not in files]
        return sorted(extra)


def _looked_at(path: Path) -> tuple[str, tuple[int, int]]:
    """Return hash and size of a picture, if all of its file is there."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        size = image.size
        image.verify()
    return xxhash.xxh3_128_hexdigest(content), size


def _copies(found: dict[str, tuple[str, tuple[int, int]]]) -> list[str]:
    """Name the files that another has too: a model draws no picture twice to the last bit."""
    seen: dict[str, str] = {}
    return [
        f"{file} (as {seen[digest]})"
        for file, (digest, _) in found.items()
        if seen.setdefault(digest, file) != file
    ]
