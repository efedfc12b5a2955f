"""The table in pytest's terminal summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.report.log import AuditLog

__all__ = ["render"]

HEADERS = ("scenario", "attack", "AUC", "bounds", "success rate", "TPR @ 1% FPR", "n", "verdict")


def _verdict(result: dict[str, Any]) -> str:
    verdict = str(result["verdict"])
    if verdict != "pass":
        verdict = verdict.upper()
    return verdict if result["supported"] else f"{verdict}, n too small to tell"


def _row(result: dict[str, Any]) -> list[str]:
    tpr = result["tpr_at_1_percent_fpr"]
    n = f"{result['n_members']}+{result['n_non_members']}"
    if result["sequential"] is not None:
        n += f" of {result['sequential']['max_pairs']} pairs"
    return [
        result["scenario"],
        result["attack"],
        f"{result['auc']:.3f}",
        f"{result['auc_low']:.3f}-{result['auc_high']:.3f}",
        f"{result['attack_success_rate']:.1%}",
        "n < 100" if tpr is None else f"{tpr:.1%} (FPR {result['achieved_fpr']:.1%})",
        n,
        _verdict(result),
    ]


def _legend(results: list[dict[str, Any]]) -> str:
    """Say what the bounds are and what they are corrected for."""
    first = results[0]
    when = ", whenever one stops" if first["sequential"] is not None else ""
    return (
        f"gate {first['gate']}; bounds hold for {first['n_results']} results together "
        f"with {first['confidence']:.0%} confidence (Bonferroni){when}"
    )


def _validity(results: list[dict[str, Any]]) -> Iterator[str]:
    """Say what was found without the model, and what so many samples could have found."""
    found = [result["validity"] for result in results]
    parts = []
    for name in ("image", "caption"):
        blind = found[0][f"blind_{name}"]
        if blind is not None:
            parts.append(f"{name}s {blind['auc']:.3f} ({blind['low']:.3f}-{blind['high']:.3f})")
    blind_text = ", ".join(parts) if parts else "too few samples"
    yield f"without the model: AUC from {blind_text}"
    yield (
        f"positive control: AUC {min(v['control_auc'] for v in found):.3f}; near-duplicates "
        f"across sets: {max(v['n_near_duplicates'] for v in found)} evaluated samples"
    )
    powers = {
        (
            r["n_members"],
            r["n_non_members"],
            r["budget"],
            r["detectable_from_half"],
            r["detectable_from_budget"],
        )
        for r in results
        if r["sequential"] is None
    }
    for m, n, budget, half, over in sorted(powers, key=lambda power: power[:3]):
        texts = [
            f"none from {what:g}" if value is None else f"{value:.3f} from {what:g}"
            for what, value in ((0.5, half), (budget, over))
        ]
        yield f"smallest AUC told 4 times in 5 by {m}+{n} samples: {', '.join(texts)}"


def _epsilon(results: list[dict[str, Any]]) -> Iterator[str]:
    """Say what is proved of the privacy of the fine-tuning."""
    bounded = [result for result in results if result["epsilon"] is not None]
    if bounded:
        best = max(bounded, key=lambda result: float(result["epsilon"]))
        claim = best["claimed_epsilon"]
        claimed = "" if claim is None else f", claimed {claim:g}"
        yield (
            f"epsilon >= {best['epsilon']:.2f} at delta {best['epsilon_delta']:g}{claimed} "
            f"(one-run bound, {best['scenario']}-{best['attack']}; so many samples can prove "
            f"{best['epsilon_provable']:.2f} at most)"
        )


def render(log: AuditLog) -> Iterator[str]:
    """Yield the lines of the summary: a table for each audit, then what was not completed.

    ``n`` is members+non-members evaluated; ``n < 100`` says that there are too few non-members
    to fix a threshold for, or to observe, a false positive rate of 1 %.
    """
    from tabulate import tabulate

    for audit in log.audits():
        yield f"{audit['name']}: budget {audit['budget']:g} ({audit['budget_source']})"
        if audit["results"]:
            rows = [_row(result) for result in audit["results"]]
            align = ("left", "left", "right", "right", "right", "right", "right", "left")
            table = tabulate(rows, HEADERS, disable_numparse=True, colalign=align)
            yield from table.splitlines()
            yield _legend(audit["results"])
            yield from _validity(audit["results"])
            yield from _epsilon(audit["results"])
        reasons: dict[tuple[str, str], list[str]] = {}
        for item in audit["not_completed"]:
            label = f"{item['scenario']}-{item['attack']}"
            reasons.setdefault((item["outcome"], item["reason"]), []).append(label)
        for (outcome, reason), labels in reasons.items():
            yield f"{outcome}: {', '.join(labels)}: {reason}"
        yield ""
    completed = log.counts()["completed"]
    if completed == 0:
        yield f"no audit was completed: {len(log)} items, 0 results; nothing is known of any model"
    yield from log.notes
