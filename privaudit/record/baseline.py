"""A baseline: an audit as a file that a team reviews, keeps in its repository and compares with.

It holds scores without images, captions or sample ids: ids are hashed with a key, because whoever
has a picture could otherwise look up in a public repository whether it was trained on.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from privaudit.errors import BaselineError
from privaudit.files import MAX_TEXT, parse_json, read_bytes
from privaudit.record.values import Counts, NearCopies, OperatingPoint, Share, ShareInterval, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from privaudit.record.audit import AuditRecord

__all__ = ["BASELINE_VERSION", "Baseline", "BaselineResult", "keyed", "read_baseline"]

BASELINE_VERSION = 2
"""Version of the file; raised when a reader could misunderstand it."""
SHORTEST_KEY = 16
KEPT = 20
"""Hexadecimal digits of a hash that are kept: two of a million ids collide once in 10¹²."""


class BaselineResult(Value):
    """One result of a baseline; its scores are in the columns of the samples.

    Attributes
    ----------
    name
        Scenario and inference model, such as ``"attack-I-threshold"``.
    auc, interval, verdict, evaluation, near_copies
        As of the result.
    tpr
        The rates at a false positive rate of 1 %; ``None`` with too few samples.
    """

    name: str
    auc: Share
    interval: ShareInterval
    verdict: Annotated[str, Field(pattern="^(pass|fail|inconclusive|reported)$")]
    evaluation: Counts
    tpr: OperatingPoint | None = None
    near_copies: NearCopies | None = None


class Baseline(Value):
    """An audit to compare later ones with.

    Attributes
    ----------
    schema_version
        Of this file; its schema is ``privaudit/record/baseline.json``.
    privaudit_version, versions
        What wrote it, and the libraries that decide an image or a score.
    audit
        Its name.
    verdict
        Of that audit.
    written
        When the audit was completed.
    commit
        Of the repository that the audit file is in.
    target
        Identity of the target model.
    facts
        What has to be the same in an audit that is compared with it.
    key
        Tells whether another key is the same; it does not tell the key.
    results
        In the order of scenarios and inference models.
    members, non_members
        Scores of each evaluated sample, by the hash of its id, in the order of the results;
        ``None`` where a result did not evaluate it.
    """

    schema_version: Literal[2] = 2
    privaudit_version: str
    audit: str
    verdict: str
    written: datetime
    commit: str | None = None
    target: str | None = None
    versions: dict[str, str | None] = {}
    facts: dict[str, Any]
    key: str
    results: list[BaselineResult]
    members: dict[str, list[float | None]]
    non_members: dict[str, list[float | None]]

    @classmethod
    def from_record(
        cls,
        record: AuditRecord,
        facts: Mapping[str, Any],
        key: str,
    ) -> Baseline:
        """Make a baseline of an audit.

        Parameters
        ----------
        record
            A complete audit.
        facts
            What has to be the same in a later one.
        key
            With which sample ids are hashed, at least 16 characters.

        Raises
        ------
        BaselineError
            If the audit has no result, stopped early, or the key is too short.
        """
        ran = record.provenance
        if ran is None or not record.results:
            msg = f"{record.name} has 0 results: there is nothing to write down as a baseline"
            raise BaselineError(msg)
        if any(result.sequential is not None for result in record.results):
            msg = (
                f"{record.name} is sequential: it stopped when its AUC told it to, so its scores "
                "cannot be compared; run it without --privaudit-sequential"
            )
            raise BaselineError(msg)
        return cls(
            privaudit_version=ran.versions.get("privaudit") or "unknown",
            audit=record.name,
            verdict=record.verdict,
            written=ran.ended,
            commit=ran.commit,
            target=ran.models.get("target_model", {}).get("identity"),
            versions=ran.versions,
            facts=dict(facts),
            key=keyed(key, "key", "privaudit"),
            results=[
                BaselineResult(
                    name=result.name,
                    auc=result.auc,
                    interval=result.interval,
                    verdict=result.verdict,
                    evaluation=result.evaluation,
                    tpr=result.at_fpr(0.01),
                    near_copies=result.near_copies,
                )
                for result in record.results
            ],
            members=_columns([result.member_scores for result in record.results], key),
            non_members=_columns([result.non_member_scores for result in record.results], key),
        )

    def scores(self, name: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return the scores of one result's members and non-members, by the hashes of their ids.

        Raises
        ------
        KeyError
            If there is no such result.
        """
        places = {result.name: place for place, result in enumerate(self.results)}
        place = places[name]
        members, non_members = (
            {who: float(row[place]) for who, row in side.items() if row[place] is not None}  # type: ignore[arg-type]
            for side in (self.members, self.non_members)
        )
        return members, non_members

    def to_json(self) -> str:
        """Return it as JSON, a line for each sample, so that a diff shows who changed."""
        return _lines(self.to_dict())


def _columns(scores: Iterable[Mapping[str, float]], key: str) -> dict[str, list[float | None]]:
    """Put the scores of all results side by side, in the order of the hashes: no other is told."""
    columns = list(scores)
    ids = {who for column in columns for who in column}
    rows = {keyed(key, "sample", who): [column.get(who) for column in columns] for who in ids}
    return dict(sorted(rows.items()))


def _lines(value: Any, indent: int = 0) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    pad = "  " * (indent + 1)
    inner = [f"{pad}{json.dumps(k)}: {_lines(v, indent + 1)}" for k, v in value.items()]
    return "{\n" + ",\n".join(inner) + "\n" + "  " * indent + "}"


def keyed(key: str, purpose: str, text: str) -> str:
    """Hash a text with a key (HMAC-SHA256), one way for each purpose.

    Raises
    ------
    BaselineError
        If the key has fewer than 16 characters: whoever guesses it can look up who was trained on.
    """
    if len(key) < SHORTEST_KEY:
        what = f"has {len(key)} characters" if key else "is not set"
        msg = (
            f"the key of the baseline, PRIVAUDIT_BASELINE_KEY, {what}: whoever guesses it can look "
            f"up who was trained on, so take {SHORTEST_KEY} or more, such as those of\n"
            '  export PRIVAUDIT_BASELINE_KEY=$(python -c "import secrets; '
            'print(secrets.token_hex())")'
        )
        raise BaselineError(msg)
    text = f"{purpose}\0{text}"
    digest = hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.hexdigest()[:KEPT]


def read_baseline(path: Path, key: str, audit: str) -> Baseline:
    """Read a baseline, and check that it is whole, of this key and of this audit.

    Parameters
    ----------
    path
        The file, which must exist.
    key
        With which it was written.
    audit
        The name of the audit that is to be compared with it.

    Raises
    ------
    BaselineError
        If it is anything else; the message says what, and what to do.
    """
    again = f"restore it (git checkout {path}), or remove it and write a new one"
    try:
        raw = read_bytes(path, MAX_TEXT)[1]
    except OSError as error:
        msg = f"baseline {path} cannot be read ({error}): {again}"
        raise BaselineError(msg) from error
    content = parse_json(raw, f"baseline {path}", BaselineError, way_out=again)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != BASELINE_VERSION:
        msg = (
            f"baseline {path} has schema version {version!r}, and this privaudit knows "
            f"{BASELINE_VERSION}: remove it and write a new one, from an audit of the old model"
        )
        raise BaselineError(msg)
    try:
        found = Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"baseline {path} is damaged at {where!r} ({first['msg']}): {again}"
        raise BaselineError(msg) from error
    if found.key != keyed(key, "key", "privaudit"):
        msg = (
            f"baseline {path} was written with another key: set PRIVAUDIT_BASELINE_KEY to that of "
            "its project, or remove it and write a new one"
        )
        raise BaselineError(msg)
    if found.audit != audit:
        msg = (
            f"baseline {path} is of {found.audit}, not of {audit}: name a folder, which holds one "
            "file for each audit"
        )
        raise BaselineError(msg)
    return found
