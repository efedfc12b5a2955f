"""The blocks in pytest's terminal summary: at most twelve lines an audit, and all of it with -v."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from privaudit.report.comparison import change_lines
from privaudit.report.summary import printable, summarise
from privaudit.report.tables import render_table
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
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.record import AttackResult, AuditRecord, Validity
    from privaudit.report.summary import Evidence, Summary

__all__ = ["LINES", "render", "render_block"]

LINES = 12
"""Lines of an audit's block at 80 columns, at most."""
NARROWEST = 40
COLOURS = {
    "pass": {"green": True, "bold": True},
    "fail": {"red": True, "bold": True},
}
DOUBT = {"yellow": True, "bold": True}
"""Of all that is neither a pass nor a fail."""
COLUMNS = (
    ("scenario", "left"),
    ("attack", "left"),
    ("AUC", "right"),
    ("bounds", "right"),
    ("success rate", "right"),
    ("TPR @ 1% FPR", "right"),
    ("n", "right"),
    ("verdict", "left"),
)
DISPENSABLE = ("success rate", "TPR @ 1% FPR", "n", "bounds")
"""Columns that a narrow terminal leaves out, in this order."""
NAMED = 5
"""Members that a table names; the record has all."""
GROUPS = 12
MECHANISMS = {"any": "any mechanism", "gaussian": "Gaussian noise"}


def render(
    audits: Sequence[AuditRecord],
    notes: Sequence[str] = (),
    *,
    width: int = 80,
    verbose: bool = False,
    markup: Callable[..., str] | None = None,
    files: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines of the summary: a block for each audit, then why the session is red.

    Parameters
    ----------
    audits
        The records.
    notes
        Why the session is red beyond its results.
    width
        Columns of the terminal.
    verbose
        Whether each block is followed by all results and all that was checked.
    markup
        ``markup(text, **styles)``, as pytest's terminal writer has it; none where colour is off.
    files
        What the session wrote, such as ``"report: privaudit.html"``.
    """
    width = max(NARROWEST, width)
    for audit in audits:
        yield from render_block(audit, width, markup)
        if verbose:
            yield ""
            yield from _details(audit, width)
        yield ""
    if not any(audit.all_results for audit in audits):
        n = sum(len(audit.not_completed) for audit in audits)
        line = f"no audit was completed: {n} items, 0 results; nothing is known of any model"
        yield from _wrapped(line, width)
    more = ["every result and every check: pytest -v"] if audits and not verbose else []
    for line in (*notes, *files, *more):
        yield from _wrapped(printable(line), width)


# ---------------------------------------------------------------------------- the block


def render_block(
    audit: AuditRecord, width: int = 80, markup: Callable[..., str] | None = None
) -> Iterator[str]:
    r"""Yield one audit for a person: at most eleven lines at 80 columns.

    Parameters
    ----------
    audit
        The record.
    width
        Columns.
    markup
        As of :func:`render`.

    Examples
    --------
    >>> from privaudit.record import AuditRecord
    >>> print(*render_block(AuditRecord(name="faces")), sep="\n")
    faces: UNKNOWN
      No attack was completed, so nothing is known of the model.
      now: Supply what is missing, and run the audit again.
           docs/reference/messages.md
    """
    one = summarise(audit)
    yield from _title(one, width, markup)
    yield from _wrapped(f"  {one.sentence}", width, most=4)
    yield from _evidence(one, width)
    for doubt in one.doubts[:2]:
        yield from _wrapped(f"  but: {doubt}", width, most=1 if len(one.doubts) > 1 else 2)
    if one.advice:
        advice = " ".join(one.advice)
        lines = list(_wrapped(f"  now: {advice}", width, most=2))
        yield from lines
        last = f"       {one.guide}"
        yield last


def _title(one: Summary, width: int, markup: Callable[..., str] | None) -> Iterator[str]:
    """Yield the name and the verdict; where both do not fit, the name loses its beginning."""
    room = width - len(one.heading) - 2
    name = one.name if len(one.name) <= room else f"…{one.name[-max(1, room - 1) :]}"
    style = COLOURS.get(one.verdict, DOUBT)
    if one.heading.upper() != one.heading:  # a pass that is not shown, a failure that is expected
        style = DOUBT
    yield f"{name}: {markup(one.heading, **style) if markup else one.heading}"


def _evidence(one: Summary, width: int) -> Iterator[str]:
    """Yield the strongest result of each access, in columns."""
    shown = [each for each in one.evidence if each.result is not None]
    if not shown:
        return
    label = max(len(each.label) for each in shown)
    for each in shown:
        yield from _wrapped(f"  {each.label:{label}}  {_measured(each)}", width, most=1)
    missing = [each.label for each in one.evidence if each.result is None]
    if missing:
        yield from _wrapped(f"  not run: {', '.join(missing)}", width, most=1)


def _measured(each: Evidence) -> str:
    result = each.result
    if result is None:
        return "not run"
    bounds = f"({result.interval.low:.3f}-{result.interval.high:.3f})"
    most = "" if each.n_results == 1 else f" of {each.n_results}"
    return f"AUC {result.auc:.3f} {bounds} {each.words}: {result.name}{most}"


def _wrapped(text: str, width: int, most: int = 0) -> Iterator[str]:
    """Wrap a line to the terminal, the rest under its first word; keep ``most`` lines of it."""
    indent = len(text) - len(text.lstrip())
    lines = textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * (indent + (5 if text.lstrip().startswith(("but:", "now:")) else 0)),
        break_on_hyphens=False,
        max_lines=most or None,
        placeholder=" …",
    )
    yield from lines


# ---------------------------------------------------------------------------- all of it


def _details(audit: AuditRecord, width: int) -> Iterator[str]:
    """Yield every result and every check, wrapped."""
    yield from _wrapped(printable(headline(audit)), width)
    if audit.results:
        rows = [_cells(result) for result in audit.all_results]
        yield from render_table(rows, COLUMNS, DISPENSABLE, width)
        yield from _wrapped(_legend(audit.results[0]) + protocol_clause(audit), width)
        yield from change_lines(audit, width)
    for line in _detail_lines(audit):
        yield from _wrapped(printable(line), width)


def _detail_lines(audit: AuditRecord) -> Iterator[str]:
    if audit.results:
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


def _cells(result: AttackResult) -> dict[str, str]:
    at = result.at_fpr(0.01)
    n = f"{result.evaluation.members}+{result.evaluation.non_members}"
    if result.sequential is not None:
        n += f" of {result.sequential.max_pairs} pairs"
    return {
        "scenario": result.scenario,
        "attack": result.attack,
        "AUC": f"{result.auc:.3f}",
        "bounds": f"{result.interval.low:.3f}-{result.interval.high:.3f}",
        "success rate": f"{result.success_rate.value:.1%}",
        "TPR @ 1% FPR": "n < 100" if at is None else f"{at.tpr.value:.1%} (FPR {at.fpr.value:.1%})",
        "n": n,
        "verdict": verdict_words(result),
    }


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


def _validity(validity: Validity) -> Iterator[str]:
    """Say what was measured without the model."""
    parts = [
        f"{name} {blind.auc:.3f} ({blind.interval.low:.3f}-{blind.interval.high:.3f})"
        for name, blind in (("images", validity.blind_image), ("captions", validity.blind_caption))
        if blind is not None
    ]
    yield f"without the model: AUC from {', '.join(parts) if parts else 'too few samples'}"
    fact = validity.blind_facts
    if fact is not None:
        yield (
            f"most telling of {fact.n_features} facts of captions and files: {fact.feature}, AUC "
            f"{fact.auc:.3f} (p = {fact.p_value:.2g})"
        )
    controls = [auc for auc in validity.controls.values() if auc is not None]
    control = f"{min(controls):.3f}" if controls else "not known"
    yield (
        f"positive control: AUC {control}; near-duplicates across sets: "
        f"{validity.n_near_duplicates} evaluated samples"
    )
    for role, conduct in validity.conduct.items():
        if conduct.seeds_honoured is False:
            yield (
                f"{role} does not honour seeds: one query, asked twice, got two pictures. The "
                "first answer is kept, and another session may find another AUC"
            )


def _sensitivity(validity: Validity, budget: float) -> Iterator[str]:
    """Say how faint a copy would still be red."""
    for name, aucs in validity.sensitivity.items():
        seen = [grade for grade, auc in aucs.items() if auc is not None and auc > budget]
        faintest = seen[-1] if seen else "none but an exact one"
        yield f"sensitivity: the faintest copy that {name} still sees: {faintest}"


def _near_copies(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say how many members were redrawn, by the scenario that shows most of them."""
    counted = [(one.near_copies, one) for one in results if one.near_copies is not None]
    if counted:
        copies, result = max(counted, key=lambda pair: pair[0].members / pair[1].evaluation.members)
        n = result.evaluation
        yield (
            f"{copies.members} of {n.members} members were redrawn nearly exactly "
            f"({copies.non_members} of {n.non_members} non-members), with the queries of "
            f"{result.scenario}"
        )


def _power(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say what so many samples could have shown."""
    powers: dict[tuple[int, int, float], list[tuple[float, float]]] = {}
    for one in results:
        if one.sequential is None:
            size = (one.evaluation.members, one.evaluation.non_members, one.budget)
            detectable = one.detectable.from_half or 1.0, one.detectable.from_budget or 1.0
            powers.setdefault(size, []).append(detectable)
    for (m, n, budget), each in sorted(powers.items()):
        # Scenarios of one size may pay differently for being many: the largest holds for all.
        most = (max(column) for column in zip(*each, strict=True))
        chance, limit = ("no AUC" if a >= 1 else f"an AUC of {a:.3f} or more" for a in most)
        yield (
            f"with 80 % power, {m}+{n} samples distinguish {chance} from chance, and {limit} from "
            f"the budget of {budget:g}"
        )


def _false_red(audit: AuditRecord) -> Iterator[str]:
    """Say how often the gate is red by chance, where that is more often than it should be."""
    chance = audit.chance
    if chance is not None and audit.results[0].gate == "point" and chance.false_red > FALSE_RED:
        yield chance_words(chance, "point")


def _epsilon(results: Sequence[AttackResult]) -> Iterator[str]:
    """Say what is proved of the privacy of the fine-tuning."""
    bounds = [(one.epsilon, one) for one in results if one.epsilon is not None]
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
    """Say who stands out, and how groups fare, by the result that shows most."""
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
