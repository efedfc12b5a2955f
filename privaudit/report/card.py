"""Results in a model card's ``model-index``, as Hugging Face's hub reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from privaudit.errors import RecordError
from privaudit.report.html import model_name
from privaudit.report.summary import printable, summarise

if TYPE_CHECKING:
    from privaudit.record import AuditRecord, SessionRecord

__all__ = ["update_card"]

HEAD = re.compile(r"\A(---[ \t]*\r?\n)(.*?)(^---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^model-index:.*?(?=^[^\s#-]|\Z)", re.DOTALL | re.MULTILINE)
OURS = "membership inference AUC"
"""How the names of our metrics begin."""


def update_card(text: str, session: SessionRecord, record_hash: str, name: str) -> str:
    """Return a model card with the results of a record; the rest stays, byte for byte.

    Parameters
    ----------
    text
        The card, with or without a head of YAML.
    session
        The record. Results that an earlier record wrote are replaced.
    record_hash
        SHA-256 of the record's file, in hexadecimal digits.
    name
        Of the model, where the card's index has none.

    Raises
    ------
    RecordError
        If the record has no result, or the card's head is not YAML.
    """
    import yaml

    results = [each for audit in session.audits for each in _metrics(audit, record_hash)]
    if not results:
        msg = "the record has 0 results: there is nothing to write into a card"
        raise RecordError(msg)
    from huggingface_hub.repocard_data import eval_results_to_model_index

    ours = eval_results_to_model_index(name, results)[0]["results"]
    newline = "\r\n" if "\r\n" in text.partition("\n")[0] + "\n" else "\n"
    match = HEAD.match(text)
    head = match[2] if match else ""
    try:
        data = yaml.safe_load(head) if head.strip() else {}
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 2}" if place else ""
        msg = f"the head of the card is not YAML{line}: mend it, nothing was written"
        raise RecordError(msg) from None
    if not isinstance(data, dict):
        msg = "the head of the card is no YAML mapping: mend it, nothing was written"
        raise RecordError(msg)
    index = _merged(data.get("model-index"), ours, name)
    block = yaml.safe_dump(
        {"model-index": index}, sort_keys=False, allow_unicode=True, width=100
    ).replace("\n", newline)
    if match is None:
        return f"---{newline}{block}---{newline}{text}"
    new = BLOCK.sub(lambda _: block, head, count=1) if BLOCK.search(head) else head + block
    return match[1] + new + match[3] + text[match.end() :]


def _merged(index: Any, ours: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Put our results into an index in place of those that we wrote before."""
    if index is None:
        return [{"name": name, "results": ours}]
    entries = index if isinstance(index, list) else []
    if not entries or not all(
        isinstance(entry, dict) and isinstance(entry.get("results", []), list) for entry in entries
    ):
        msg = "the card's model-index is no list of models with results: mend it, nothing written"
        raise RecordError(msg)
    kept = [
        entry | {"results": [one for one in entry.get("results", []) if not _is_ours(one)]}
        for entry in entries
    ]
    kept[0]["results"] += ours
    return kept


def _is_ours(result: Any) -> bool:
    metrics = result.get("metrics", []) if isinstance(result, dict) else []
    return bool(metrics) and all(
        isinstance(one, dict) and str(one.get("name", "")).startswith(OURS) for one in metrics
    )


def _metrics(audit: AuditRecord, record_hash: str) -> list[Any]:
    """Return the strongest result of each access, as the hub's library has it."""
    from huggingface_hub import EvalResult

    sets = audit.provenance.samples if audit.provenance else {}
    counts = {role: sets[role].count for role in ("members", "non_members") if role in sets}
    digests = "-".join(sets[role].digest for role in counts)
    one = summarise(audit)
    metrics = []
    for each in one.evidence:
        result = each.result
        if result is None:
            continue
        n = result.evaluation
        metrics.append(
            EvalResult(
                task_type="text-to-image",
                dataset_type="private",
                dataset_name=f"{n.members} members, {n.non_members} non-members",
                dataset_revision=digests or None,
                metric_type="roc_auc",
                metric_name=f"{OURS}, strongest attack {each.label} ({result.name})",
                metric_value=round(result.auc, 4),
                metric_args={
                    "model": model_name(audit),
                    "audit": printable(audit.name, 300),
                    "lower": round(result.interval.low, 4),
                    "upper": round(result.interval.high, 4),
                    "confidence": result.interval.confidence,
                    "results": each.n_results,
                    "budget": result.budget,
                    "verdict": result.verdict if audit.verdict != "invalid" else "invalid",
                    "audit_verdict": one.heading.lower(),
                    "access": each.access,
                    "images": result.n_queries,
                    "record": f"sha256:{record_hash}",
                },
            )
        )
    return metrics
