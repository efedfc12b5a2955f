"""One audit for a person: the sentence, the evidence, the doubts, what to do now.

Every rendering reads this, so that no two of them can say different things.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.attacks.registry import ACCESSES, IMG2IMG, REPORTED, WEIGHTS
from privaudit.report.wording import FALSE_RED, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.record import AttackResult, AuditRecord, Counts

__all__ = [
    "ATTACKERS",
    "Evidence",
    "Summary",
    "first_sentence",
    "printable",
    "summarise",
]

TEXT = "text"
ATTACKERS = {
    TEXT: "whoever can ask for pictures by text",
    IMG2IMG: "whoever can hand pictures in",
    WEIGHTS: "whoever has the weights",
}
"""Who is meant, by access."""
LABELS = {TEXT: "by text", IMG2IMG: "with pictures", WEIGHTS: "with the weights"}
AFFORDABLE = 10
"""How many times their samples an owner may be advised to collect."""
GUIDES = {
    "fail": "docs/how-to/after-a-fail.md",
    "regression": "docs/how-to/baseline.md",
    "claim": "docs/how-to/dp-sgd.md",
    "inconclusive": "docs/explanation/reading.md",
    "invalid": "docs/reference/messages.md",
    "unknown": "docs/reference/messages.md",
    "pass": "docs/explanation/green.md",
}


@dataclass(frozen=True)
class Evidence:
    """The strongest result of one access.

    Attributes
    ----------
    access
        ``"text"``, or a key of :data:`privaudit.attacks.registry.ACCESSES`.
    label
        What a table calls it.
    result
        The result with the highest AUC; ``None`` where no such attack ran.
    n_over, n_results
        How many of its results are over the budget, and how many there are.
    """

    access: str
    label: str
    result: AttackResult | None
    n_over: int
    n_results: int

    @property
    def words(self) -> str:
        """The verdict on the strongest result, as a table has it."""
        if self.result is None:
            return "not run"
        if self.result.verdict == REPORTED:
            return "reported only"
        if self.result.verdict == "pass" and not self.result.supported:
            return "pass, not shown"
        return self.result.verdict if self.result.verdict == "pass" else self.result.verdict.upper()


@dataclass(frozen=True)
class Summary:
    """One audit, said once.

    Attributes
    ----------
    name
        The audit's name, on one line of printable characters.
    verdict
        As of the record: ``"pass"``, ``"fail"``, ``"inconclusive"``, ``"invalid"``, ``"unknown"``.
    heading
        The verdict as it is printed, such as ``"PASS, not shown"`` or ``"FAIL, expected"``.
    sentence
        What was found, with the number that decides and its budget.
    release
        Whether the model may be released, by this audit alone.
    evidence
        Text first, then each further access.
    doubts
        What speaks against believing the result, one sentence each.
    advice
        What to do now, one sentence each.
    guide
        A page of the documentation.
    """

    name: str
    verdict: str
    heading: str
    sentence: str
    release: str
    evidence: tuple[Evidence, ...]
    doubts: tuple[str, ...]
    advice: tuple[str, ...]
    guide: str


def printable(text: str, limit: int = 0) -> str:
    r"""Write a text on one line, without characters that steer a terminal or turn its direction.

    Parameters
    ----------
    text
        Anything, such as a sample's id.
    limit
        Characters to keep; 0 keeps all.

    Examples
    --------
    >>> print(printable("a\x1b[31mb\u202ec\n"), printable("a" * 50, 10))
    a\x1b[31mb\u202ec\x0a aaaaaaaaa…
    """
    shown = "".join(
        character
        if character == "\u200d" or unicodedata.category(character)[0] != "C"
        else _escape(character)
        for character in text
    )
    shown = shown.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return shown if not limit or len(shown) <= limit else f"{shown[: limit - 1]}…"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def first_sentence(text: str) -> str:
    r"""Return the first line of a message of several.

    Examples
    --------
    >>> first_sentence("AUC 0.9 > budget 0.6\nFAIL, it is shown")
    'AUC 0.9 > budget 0.6'
    """
    return text.strip().partition("\n")[0]


def summarise(audit: AuditRecord) -> Summary:
    """Say what an audit found.

    Parameters
    ----------
    audit
        One record.

    Examples
    --------
    >>> from privaudit.record import AuditRecord
    >>> one = summarise(AuditRecord(name="faces"))
    >>> one.heading, one.sentence
    ('UNKNOWN', 'No attack was completed, so nothing is known of the model.')
    """
    verdict = audit.verdict
    evidence = tuple(_evidence(audit))
    worst = _deciding(audit)
    expected = verdict != "pass" and audit.expected and not audit.unexpected
    heading, not_shown = verdict.upper(), _not_shown(audit)
    if not audit.complete:
        heading += ", incomplete"
    elif verdict == "pass" and not_shown:
        heading += ", not shown"
    if expected:
        heading += ", as its test expects"
    kind = _kind(verdict, worst)
    return Summary(
        name=printable(audit.name, 300),
        verdict=verdict,
        heading=heading,
        sentence=printable(_sentence(audit, verdict, worst, not_shown)),
        release=_release(audit, verdict, kind, not_shown),
        evidence=evidence,
        doubts=tuple(printable(doubt) for doubt in _doubts(audit, verdict)),
        advice=tuple(printable(line) for line in _advice(audit, verdict, worst, not_shown)),
        guide=GUIDES[kind],
    )


# ---------------------------------------------------------------------------- what decides


def _deciding(audit: AuditRecord) -> AttackResult | None:
    """Return the result that the verdict rests on: of those with the worst verdict, the highest."""
    order = ("fail", "inconclusive", "pass")
    those = [one for one in audit.all_results if one.verdict != REPORTED]
    return min(those, key=lambda one: (order.index(one.verdict), -one.auc), default=None)


def _not_shown(audit: AuditRecord) -> list[AttackResult]:
    """Return the passing results whose upper bound is over the budget."""
    return [one for one in audit.all_results if one.verdict == "pass" and not one.supported]


def _kind(verdict: str, worst: AttackResult | None) -> str:
    if verdict != "fail" or worst is None:
        return verdict
    if worst.claim_exceeded:
        return "claim"
    risen = worst.comparison is not None and worst.comparison.verdict == "fail"
    return "regression" if risen and worst.auc_verdict == "pass" else "fail"


def _access(result: AttackResult) -> str:
    return result.scenario if result.scenario in ACCESSES else TEXT


def _evidence(audit: AuditRecord) -> Iterator[Evidence]:
    for access in (TEXT, *ACCESSES):
        those = [one for one in audit.all_results if _access(one) == access]
        best = max(those, key=lambda one: one.auc, default=None)
        over = sum(not one.auc <= one.budget for one in those)
        yield Evidence(access, LABELS.get(access, access), best, over, len(those))


# ---------------------------------------------------------------------------- the sentence


def _sentence(
    audit: AuditRecord,
    verdict: str,
    worst: AttackResult | None,
    not_shown: Sequence[AttackResult],
) -> str:
    if verdict == "invalid":
        return f"Nothing may be concluded: {_first_reason(audit)}"
    if verdict == "unknown" or worst is None:
        return _of_unknown(audit)
    if verdict == "fail":
        return _of_fail(audit, worst)
    return _of_inconclusive(worst) if verdict == "inconclusive" else _of_pass(worst, not_shown)


def _of_unknown(audit: AuditRecord) -> str:
    if not audit.all_results:
        return "No attack was completed, so nothing is known of the model."
    missing = [item for item in audit.not_completed if item.outcome != "skipped"]
    if missing:
        first = missing[0]
        return (
            f"{_count(len(missing), 'result')} missing, the first {first.name} "
            f"({first.outcome}): {first_sentence(first.reason)}"
        )
    return "Only attacks that decide nothing ran, so there is no verdict."


def _first_reason(audit: AuditRecord) -> str:
    reasons = audit.validity.reasons if audit.validity else []
    reasons = reasons or [one.reason for one in audit.not_completed if one.outcome == "invalid"]
    return first_sentence(reasons[0]) if reasons else "a check failed"


def _of_fail(audit: AuditRecord, worst: AttackResult) -> str:
    who = ATTACKERS[_access(worst)]
    bound = worst.epsilon
    if worst.claim_exceeded and bound is not None and worst.claim is not None:
        return (
            f"The claim of epsilon {worst.claim.epsilon:g} is refuted: epsilon is at least "
            f"{bound.epsilon:.2f} at delta {bound.delta:g}."
        )
    change = worst.comparison
    if change is not None and change.verdict == "fail" and worst.auc_verdict == "pass":
        return (
            f"The model gives away more than the baseline: AUC {worst.auc:.3f}, and "
            f"{change.auc:.3f} before, a rise of at least {max(0.0, change.bounds.low):.3f}."
        )
    limit = worst.tpr_budget
    if worst.auc_verdict == "pass" and limit is not None and limit.point is not None:
        at = limit.point
        return (
            f"{who.capitalize()} finds {at.true_positives} of {worst.evaluation.members} members "
            f"and accuses {at.false_positives} of {worst.evaluation.non_members} non-members: "
            f"{at.tpr.value:.1%}, and the limit is {limit.max_tpr:.1%}."
        )
    copies = _copies(audit)
    return (
        f"{who.capitalize()} distinguishes members from non-members: AUC {worst.auc:.3f}, at least "
        f"{worst.interval.low:.3f}; the budget is {worst.budget:g}.{copies}"
    )


def _copies(audit: AuditRecord) -> str:
    """Say how many members were redrawn, by the result that shows most of them."""
    counted = [(one.near_copies, one) for one in audit.results if one.near_copies is not None]
    if not counted:
        return ""
    copies, result = max(counted, key=lambda pair: pair[0].members / pair[1].evaluation.members)
    if not copies.members:
        return ""
    n = result.evaluation
    return (
        f" {copies.members} of {n.members} members were redrawn nearly exactly, and "
        f"{copies.non_members} of {n.non_members} non-members."
    )


def _of_inconclusive(worst: AttackResult) -> str:
    low, high, n = worst.interval.low, worst.interval.high, worst.evaluation
    samples = f"{n.members}+{n.non_members} samples"
    if worst.sequential is not None:
        samples = f"{worst.sequential.n_pairs} pairs"
    limit = worst.tpr_budget
    if worst.auc_verdict == "pass" and limit is not None and limit.verdict == "inconclusive":
        if limit.point is None:
            return (
                f"max_tpr {limit.max_tpr:.1%} cannot be checked: it needs {limit.needed} "
                f"calibration non-members, and there are {worst.calibration.non_members}."
            )
        found = limit.point.tpr
        return (
            f"{samples} do not decide whether more than {limit.max_tpr:.1%} of the members are "
            f"found: {found.interval.low:.1%} to {found.interval.high:.1%}."
        )
    if worst.auc_verdict == "pass" and worst.comparison is not None:
        rise = worst.comparison.bounds
        return (
            f"{samples} do not decide whether the AUC rose over the baseline's: the change is "
            f"{rise.low:+.3f} to {rise.high:+.3f}."
        )
    return (
        f"{samples} do not decide: the highest AUC is {worst.auc:.3f}, and {low:.3f} to {high:.3f} "
        f"is possible; the budget is {worst.budget:g}."
    )


def _of_pass(worst: AttackResult, not_shown: Sequence[AttackResult]) -> str:
    if not_shown:
        highest = max(not_shown, key=lambda one: one.interval.high)
        n = highest.evaluation
        return (
            f"No attack exceeds the budget of {worst.budget:g}, but {n.members}+{n.non_members} "
            f"samples do not show it: the highest AUC is {worst.auc:.3f}, and up to "
            f"{highest.interval.high:.3f} is possible."
        )
    return (
        f"No attack that ran exceeds the budget of {worst.budget:g}: the highest AUC is "
        f"{worst.auc:.3f}, at most {worst.interval.high:.3f}."
    )


def _release(audit: AuditRecord, verdict: str, kind: str, not_shown: Sequence[AttackResult]) -> str:
    """Say whether the model may be released, by this audit alone."""
    if verdict == "fail":
        return {
            "claim": "should not be released with this claim",
            "regression": "should not replace the release before it",
        }.get(kind, "should not be released")
    if verdict != "pass":
        return "is not cleared for release: the audit gives no answer"
    if not audit.complete:
        return "is not cleared for release: the audit is incomplete"
    who = "by text alone" if _text_alone(audit) else "with the access that was audited"
    if not_shown:
        return f"may be released {who} only if a budget that is not exceeded is enough"
    return f"may be released {who}"


def _text_alone(audit: AuditRecord) -> bool:
    return all(_access(one) == TEXT or one.verdict == REPORTED for one in audit.all_results)


# ---------------------------------------------------------------------------- doubts


def _doubts(audit: AuditRecord, verdict: str) -> Iterator[str]:
    """Say what speaks against believing the result; nothing if nothing does."""
    if not audit.complete:
        yield "The session ended before the audit was complete."
    if verdict != "invalid" and audit.validity is not None:
        yield from (first_sentence(reason) for reason in audit.validity.reasons)
    missing = [one for one in audit.not_completed if one.outcome not in ("skipped", "not run")]
    for item in missing if verdict in ("fail", "inconclusive", "pass") else ():
        yield f"{item.name} is missing ({item.outcome}): {first_sentence(item.reason)}"
    skipped = [one.name for one in audit.not_completed if one.outcome == "skipped"]
    left = [*skipped, *audit.not_asked]
    if left and audit.all_results and verdict != "fail":
        n = len(left)
        several = left[0] if n == 1 else f"{n} results, the first {left[0]},"
        yield f"{several} did not run: nothing is known of {'it' if n == 1 else 'them'}."
    if verdict == "inconclusive" or (verdict == "fail" and not _is_shown(audit)):
        worst = _deciding(audit)
        rate = None if worst is None else worst.clean_rate
        if rate is not None and rate > FALSE_RED:
            yield f"A model that leaks nothing has a result as high in up to {rate:.1%} of audits."
    conducts = audit.validity.conduct if audit.validity else {}
    for role, conduct in conducts.items():
        if conduct.seeds_honoured is False:
            yield f"{role} does not honour seeds: another session may find another AUC."
    yield from _claim_doubt(audit)
    if verdict == "pass":
        yield from _of_pass_doubts(audit)


def _of_pass_doubts(audit: AuditRecord) -> Iterator[str]:
    """Say what speaks against a pass."""
    yield from _exact_only(audit)
    budget = max(one.budget for one in audit.all_results)
    for name, stronger in (audit.validity.stronger if audit.validity else {}).items():
        if not stronger.auc <= budget:
            yield f"{name}, a stronger attack that was not chosen, has AUC {stronger.auc:.3f}."
    reported = [one for one in audit.all_results if one.verdict == REPORTED]
    over = [one for one in reported if not one.auc <= one.budget]
    if over:
        best = max(over, key=lambda one: one.auc)
        yield (
            f"{ATTACKERS[_access(best)].capitalize()} sees more: AUC {best.auc:.3f}, over the "
            f"budget of {best.budget:g}; it decides nothing here."
        )


def _is_shown(audit: AuditRecord) -> bool:
    return any(one.auc_verdict == "fail" for one in audit.all_results)


def _exact_only(audit: AuditRecord) -> Iterator[str]:
    """Say which attacks the sensitivity control showed to see exact copies only."""
    grades = audit.validity.sensitivity if audit.validity else {}
    budget = audit.all_results[0].budget
    names = [
        name
        for name, aucs in grades.items()
        if aucs and not any(auc is not None and auc > budget for auc in aucs.values())
    ]
    if names:
        yield f"Sensitivity: {', '.join(names)} sees exact copies only, so a faint leak would pass."


def _claim_doubt(audit: AuditRecord) -> Iterator[str]:
    for one in audit.all_results:
        bound = one.epsilon
        if bound is None or one.claim is None or bound.provable > one.claim.epsilon:
            continue
        coins = ""
        if bound.coins_needed is not None:
            coins = f"; {bound.coins_needed:,} coins, all guessed right, could"
        yield (
            f"So few samples could not refute the claim of epsilon {one.claim.epsilon:g}, whatever "
            f"the model{coins}."
        )
        return


# ---------------------------------------------------------------------------- what to do now


def _advice(
    audit: AuditRecord,
    verdict: str,
    worst: AttackResult | None,
    not_shown: Sequence[AttackResult],
) -> Iterator[str]:
    if verdict != "pass" and audit.expected and not audit.unexpected:
        yield "Nothing: the test expects this (xfail)."
    elif verdict == "fail":
        kind = _kind(verdict, worst)
        if kind == "claim":
            yield "Withdraw the claim, or look for what the accountant does not see."
        elif kind == "regression":
            yield "Compare the data and the training of both releases; keep the earlier one."
        else:
            yield (
                "Do not release it. Train for fewer steps, remove duplicates from the training "
                "set, or train with differential privacy; then audit again."
            )
    elif verdict == "inconclusive" and worst is not None:
        yield "Do not release it yet."
        yield _more_samples(worst)
    elif verdict == "invalid":
        reason = audit.validity.reasons if audit.validity else []
        reason = reason or [one.reason for one in audit.not_completed if one.outcome == "invalid"]
        steps = reason[0].strip().partition("\n")[2] if reason else ""
        yield steps.replace("\n", "; ") or "Mend what the sentence names, and audit again."
    elif verdict == "unknown":
        yield "Supply what is missing, and run the audit again."
    elif not_shown:
        yield "Release it only if no proof is needed."
        yield _more_samples(max(not_shown, key=lambda one: one.interval.high))
    elif _text_alone(audit) and not audit.weights:
        yield (
            "It may be released by text alone. Where others get the weights or hand pictures in, "
            "audit with release='weights' or 'img2img'."
        )
    else:
        yield "It may be released with the access that was audited. Keep this record beside it."


def _more_samples(result: AttackResult) -> str:
    """Advise what an owner can do where samples are too few."""
    if result.auc_verdict == "pass" and result.verdict != "pass":
        if result.comparison is not None and result.comparison.verdict != "pass":
            return "Evaluate more samples, the same ones for both releases, or set max_rise."
        return "Add non-members, or raise at_fpr."
    needed, n = result.samples_needed, result.evaluation
    if needed is not None and _is_affordable(needed, n):
        what = "decide" if result.verdict != "pass" else "show it"
        return (
            f"Evaluate about {needed.members}+{needed.non_members} samples: they {what} if the AUC "
            "stays."
        )
    if result.interval.low <= 0.5:
        return (
            "It is chance-level: instead of more samples, compare with a baseline "
            "(--privaudit-baseline)."
        )
    return (
        "It is too close to the budget for any affordable number of samples: choose another "
        "budget, or compare with a baseline."
    )


def _is_affordable(needed: Counts, n: Counts) -> bool:
    return (
        needed.members <= AFFORDABLE * n.members
        and needed.non_members <= AFFORDABLE * n.non_members
    )


def _count(n: int, noun: str) -> str:
    return f"1 {noun} is" if n == 1 else f"{n} {noun}s are"


def sure_words(result: AttackResult) -> str:
    """Say how sure a result's bounds are.

    Parameters
    ----------
    result
        Any result of an audit.
    """
    sure = f"with {percent(result.interval.confidence)} confidence"
    return sure if result.n_results == 1 else f"{sure}, {result.n_results} results together"
