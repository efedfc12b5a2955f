"""The list of what is to be drawn elsewhere: a picture's file, prompt and seed, one row a query."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from privaudit.errors import GeneratorError, PrivauditError, StoreError
from privaudit.files import parse_json, read_bytes
from privaudit.samples.sources.files import inside
from privaudit.targets.queries import portable_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from privaudit.targets.queries import Query

__all__ = ["LISTS", "ListedQuery", "listed", "read_list", "write_lists"]

MAX_LIST = 2**27
"""Bytes of a list that are read."""
LISTS = ("queries.jsonl", "queries.csv")
"""Files of the list, alike: the first is read again, the second is for whoever draws."""
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(?<!\.)")
"""Ids that are the name of a folder as they stand, on every system."""
DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
"""Names that Windows keeps for itself."""


@dataclass(frozen=True)
class ListedQuery:
    """One row of the list.

    Attributes
    ----------
    file
        Where the picture is to be, from the folder of the list: ``ID/0.png``, or of a captioner's
        words ``ID/captioner-0.png``. An id that is no safe name of a folder is changed to one.
    id
        Of the sample.
    repetition
        Which of the sample's m pictures it is, from 0.
    seed
        31 bits, see :func:`privaudit.targets.queries.portable_seed`.
    prompt
        From what text it is to be drawn.
    """

    file: str
    id: str
    repetition: int
    seed: int
    prompt: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What the query is known by: the sample, its words and the seed."""
        return self.id, self.prompt, self.seed


def listed(queries: Iterable[Query]) -> list[ListedQuery]:
    """Give every query a file, each of them once.

    Parameters
    ----------
    queries
        All that one model is asked, in the words of any scenario.
    """
    once = {(q.sample.id, q.prompt, q.seed): q for q in queries}
    names = _folders(dict.fromkeys(query.sample.id for query in once.values()))
    return [
        ListedQuery(
            file=f"{names[q.sample.id]}/{'' if _by_caption(q) else 'captioner-'}{q.repetition}.png",
            id=q.sample.id,
            repetition=q.repetition,
            seed=portable_seed(q.seed),
            prompt=q.prompt,
        )
        for q in once.values()
    ]


def _by_caption(query: Query) -> bool:
    return query.prompt == query.sample.caption


def _folders(ids: Iterable[str]) -> dict[str, str]:
    """Name a folder for each id: the id itself, if no file system reads it as another."""
    ids = list(ids)
    alike: dict[str, int] = {}
    for one in ids:
        alike[one.casefold()] = alike.get(one.casefold(), 0) + 1
    return {
        one: one
        if PLAIN.fullmatch(one) and not DEVICES.fullmatch(one) and alike[one.casefold()] == 1
        else _changed(one)
        for one in ids
    }


def _changed(name: str) -> str:
    """Return a safe name that no other id gets."""
    bare = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
    return f"{bare}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def write_lists(folder: Path, rows: Sequence[ListedQuery]) -> list[Path]:
    """Write the list into the folder of the pictures, as JSON Lines and as CSV.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [field.name for field in fields(ListedQuery)])
    table.writeheader()
    table.writerows(map(asdict, rows))
    lines = "".join(f"{json.dumps(asdict(row), ensure_ascii=False)}\n" for row in rows)
    written = [folder / name for name in LISTS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(written, (lines, text.getvalue()), strict=True):
            path.write_bytes(content.encode())
    except (OSError, UnicodeError) as error:
        msg = f"the list of queries cannot be written to {folder} ({error}): make it writable"
        raise StoreError(msg) from error
    return written


def read_list(folder: Path) -> list[ListedQuery]:
    """Read the list that :func:`write_lists` wrote.

    Raises
    ------
    GeneratorError
        If it is missing, or a line of it is no query.
    """
    path = folder / LISTS[0]
    try:
        lines = read_bytes(path, MAX_LIST)[1].decode().split("\n")
    except (OSError, UnicodeError) as error:
        msg = (
            f"{path}, the list of what was to be drawn, cannot be read "
            f"({getattr(error, 'strerror', error)}): "
            "`privaudit queries AUDIT_FILE` writes it"
        )
        raise GeneratorError(msg) from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"line {number}", GeneratorError)
            rows.append(_row(folder, row, f"line {number} of {path}"))
        except (ValueError, TypeError, PrivauditError) as error:
            msg = (
                f"line {number} of {path} is no query ({error}): `privaudit queries AUDIT_FILE` "
                "writes the list anew"
            )
            raise GeneratorError(msg) from error
    if not rows:
        msg = f"{path} is empty: `privaudit queries AUDIT_FILE` writes it"
        raise GeneratorError(msg)
    return rows


def _row(folder: Path, given: Any, where: str) -> ListedQuery:
    row = ListedQuery(**given)
    kinds = {"file": str, "id": str, "repetition": int, "seed": int, "prompt": str}
    wrong = [name for name, kind in kinds.items() if type(given[name]) is not kind]
    if wrong:
        msg = f"{wrong[0]} is a {type(given[wrong[0]]).__name__}"
        raise ValueError(msg)
    inside(folder, row.file, where)
    return row
