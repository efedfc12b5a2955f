"""The tables in pytest's terminal summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.report.comparison import change_lines
from privaudit.report.wording import (
    FALSE_RED,
    access_lines,
    chance_words,
    headline,
    percent,
    protocol_clause,
    ruler_lines,
    verdict_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.record import AttackResult, AuditRecord, Validity

__all__ = ["render"]

HEADERS = ("scenario", "attack", "AUC", "bounds", "success rate", "TPR @ 1% FPR", "n", "verdict")
NAMED = 5
"""Members that a table names; the record has all."""
GROUPS = 12
MECHANISMS = {"any": "any mechanism", "gaussian": "Gaussian noise"}
ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left")


def _row(result: AttackResult) -> list[str]:
    at = result.at_fpr(0.01)
    n = f"{result.evaluation.members}+{result.evaluation.non_members}"
    if result.sequential is not None:
        n += f" of {result.sequential.max_pairs} pairs"
    return [
        result.scenario,
        result.attack,
        f"{result.auc:.3f}",
        f"{result.interval.low:.3f}-{result.interval.high:.3f}",
        f"{result.success_rate.value:.1%}",
        "n < 100" if at is None else f"{at.tpr.value:.1%} (FPR {at.fpr.value:.1%})",
        n,
        verdict_words(result),
    ]


def _legend(first: AttackResult) -> str:
    """Say what the bounds are and what they are corrected for."""
    when = ", whenever one stops" if first.sequential is not None else ""
    sure = f"with {percent(first.interval.confidence)} confidence"
    if first.n_results == 1:
        return f"gate {first.gate}; each bound holds {sure}{when}"
    lower = f"the {first.n_results} lower bounds"
    if first.gate == "certify" and first.sequential is None:
        return (
            f"gate certify; each upper bound holds {sure}, since all must be under the budget, and "
            f"{lower} together"
        )
    return f"gate {first.gate}; {lower} hold together {sure}, and so do the upper ones{when}"


def _validity(found: Validity) -> Iterator[str]:
    """Say what was found without the model."""
    parts = [
        f"{name} {blind.auc:.3f} ({blind.interval.low:.3f}-{blind.interval.high:.3f})"
        for name, blind in (("images", found.blind_image), ("captions", found.blind_caption))
        if blind is not None
    ]
    yield f"without the model: AUC from {', '.join(parts) if parts else 'too few samples'}"
    fact = found.blind_facts
    if fact is not None:
        yield (
            f"most telling of {fact.n_features} facts of captions and files: {fact.feature}, AUC "
            f"{fact.auc:.3f} (p = {fact.p_value:.2g})"
        )
    controls = [auc for auc in found.controls.values() if auc is not None]
    control = f"{min(controls):.3f}" if controls else "not known"
    yield (
        f"positive control: AUC {control}; near-duplicates across sets: "
        f"{found.n_near_duplicates} evaluated samples"
    )
    for role, conduct in found.conduct.items():
        if conduct.seeds_honoured is False:
            yield (
                f"seeds are not honoured by {role}: one query, asked twice, got two pictures. Each "
                "answer is a draw: the first is kept, and another session may find another AUC"
            )


def _sensitivity(found: Validity, budget: float) -> Iterator[str]:
    """Say how faint a copy would still be red."""
    for name, aucs in found.sensitivity.items():
        seen = [grade for grade, auc in aucs.items() if auc is not None and auc > budget]
        faintest = seen[-1] if seen else "none but an exact one"
        yield f"sensitivity: the faintest copy that {name} still sees: {faintest}"


def _near_copies(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say how many members were redrawn, by the scenario that shows most of them."""
    counted = [(r.near_copies, r) for r in results if r.near_copies is not None]
    if counted:
        copies, result = max(counted, key=lambda pair: pair[0].members / pair[1].evaluation.members)
        n = result.evaluation
        yield (
            f"{copies.members} of {n.members} members were redrawn nearly exactly "
            f"({copies.non_members} of {n.non_members} non-members), asked as in {result.scenario}"
        )


def _power(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say what so many samples could have found."""
    powers: dict[tuple[int, int, float], list[tuple[float, float]]] = {}
    for r in results:
        if r.sequential is None:
            size = (r.evaluation.members, r.evaluation.non_members, r.budget)
            found = r.detectable.from_half or 1.0, r.detectable.from_budget or 1.0
            powers.setdefault(size, []).append(found)
    for (m, n, budget), each in sorted(powers.items()):
        # Scenarios of one size may pay differently for being many: the largest holds for all.
        most = (max(column) for column in zip(*each, strict=True))
        chance, limit = ("no AUC" if a >= 1 else f"{a:.3f} or more" for a in most)
        yield (
            f"{m}+{n} samples tell {chance} from chance, and {limit} from the budget of "
            f"{budget:g}, four times in five"
        )


def _false_red(audit: AuditRecord) -> Iterator[str]:
    """Say how often the gate is red by chance, where that is more often than it should be."""
    chance = audit.chance
    if chance is not None and audit.results[0].gate == "point" and chance.false_red > FALSE_RED:
        yield chance_words(chance, "point")


def _epsilon(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say what is proved of the privacy of the fine-tuning."""
    bounds = [(r.epsilon, r) for r in results if r.epsilon is not None]
    if bounds:
        bound, result = max(bounds, key=lambda pair: pair[0].epsilon)
        claimed = "" if result.claim is None else f", claimed {result.claim.epsilon:g}"
        yield (
            f"epsilon >= {bound.epsilon:.2f} at delta {bound.delta:g}{claimed} "
            f"(one-run bound for {MECHANISMS[bound.mechanism]}, {result.name}; so many samples "
            f"can prove {bound.provable:.2f} at most)"
        )
        if result.claim is not None and bound.provable <= result.claim.epsilon:
            coins = "no number of coins is known that"
            if bound.coins_needed is not None:
                coins = f"{bound.coins_needed:,} coins, all guessed right,"
            yield (
                f"nothing here could have refuted the claim of {result.claim.epsilon:g}, whatever "
                f"the model: {coins} could"
            )


def _exposed(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say who stands out, and how groups fare, by the result that finds most."""
    most = max(results, key=lambda result: len(result.exposed))
    if most.exposed:
        names = ", ".join(one.id for one in most.exposed[:NAMED])
        more = ", …" if len(most.exposed) > NAMED else ""
        yield (
            f"{len(most.exposed)} of {most.evaluation.members} members stand out one by one, "
            f"{percent(1 - most.interval.confidence)} of them by chance at most, on average "
            f"({most.name}): {names}{more}"
        )
    highest = max(results, key=lambda result: result.auc)
    if highest.groups:
        parts = [
            f"{one.group} too few samples"
            if one.auc is None or one.interval is None
            else f"{one.group} {one.auc:.3f} ({one.interval.low:.3f}-{one.interval.high:.3f})"
            for one in highest.groups[:GROUPS]
        ]
        yield f"AUC by group ({highest.name}): {', '.join(parts)}"


def _not_completed(audit: AuditRecord) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for item in audit.not_completed:
        reasons.setdefault((item.outcome, item.reason), []).append(item.name)
    for (outcome, reason), names in reasons.items():
        yield f"{outcome}: {', '.join(names)}: {reason}"


def _not_asked(audit: AuditRecord) -> Iterator[str]:
    """Say of which results nothing is known, because a part of the audit was selected."""
    left = audit.not_asked
    if left:
        named = ", ".join([*left[:NAMED], *(["…"] if len(left) > NAMED else [])])
        yield f"not asked for: {named}: nothing is known of them"


def render(audits: Sequence[AuditRecord], notes: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the summary: a block for each audit, then why the session is red.

    ``n`` is members+non-members evaluated; ``n < 100`` says that there are too few non-members
    to fix a threshold for, or to observe, a false positive rate of 1 %.

    Parameters
    ----------
    audits
        The records.
    notes
        Why the session is red beyond its results.
    """
    from tabulate import tabulate

    for audit in audits:
        yield headline(audit)
        if audit.results:
            rows = [_row(result) for result in audit.results]
            yield from tabulate(rows, HEADERS, disable_numparse=True, colalign=ALIGN).splitlines()
            yield _legend(audit.results[0]) + protocol_clause(audit)
            yield from change_lines(audit)
            if audit.validity is not None:
                yield from _validity(audit.validity)
                yield from _sensitivity(audit.validity, audit.results[0].budget)
            yield from _near_copies(audit.results)
            yield from _power(audit.results)
            yield from _false_red(audit)
            yield from _exposed(audit.results)
        yield from _epsilon(audit.all_results)
        yield from ruler_lines(audit)
        yield from access_lines(audit)
        yield from _not_completed(audit)
        yield from _not_asked(audit)
        yield from audit.notes
        yield ""
    if not any(audit.all_results for audit in audits):
        n = sum(len(audit.not_completed) for audit in audits)
        yield f"no audit was completed: {n} items, 0 results; nothing is known of any model"
    yield from notes
