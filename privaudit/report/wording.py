"""A verdict in words: why one is red, and the sentence that heads an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.attacks.registry import IMG2IMG, REPORTED, WEIGHTS, strongest, with_strongest
from privaudit.report.comparison import change_headline, change_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.record import AttackResult, AuditRecord, Chance

__all__ = [
    "FALSE_RED",
    "access_lines",
    "chance_words",
    "explanation",
    "headline",
    "percent",
    "protocol_clause",
    "ruler_lines",
    "verdict_words",
]

FALSE_RED = 0.05
"""Share of audits of clean models that may be red by chance."""
ATTACKERS = {
    IMG2IMG: "an attacker who hands pictures in",
    WEIGHTS: "an attacker with the weights",
}
BY_TEXT_ALONE = (
    "only attackers who ask by text were audited: whoever may hand pictures in, or has the "
    "weights, can see more; release='img2img' or release='weights' audits for them"
)
KINDS = {IMG2IMG: "attack with pictures handed in", WEIGHTS: "white-box attack"}
RIGHT_WHERE = {
    IMG2IMG: "the service takes a picture beside the text",
    WEIGHTS: "others can download the model",
}


def explanation(result: AttackResult) -> str:
    """Say why a result is red, in one sentence with the numbers first.

    The terminal block and the report say all else: pytest prints this twice.

    Parameters
    ----------
    result
        A result that did not pass.
    """
    parts = (_of_claim(result), change_reason(result), _of_auc(result), _of_tpr(result))
    return "; ".join(filter(None, parts))


def _of_claim(result: AttackResult) -> str:
    if result.epsilon is None or result.claim is None:
        return ""
    if result.claim_irrefutable:
        coins, n = result.epsilon.coins_needed, result.evaluation
        enough = "" if coins is None else f": {coins:,} coins could"
        return (
            f"{n.members} members and {n.non_members} non-members can show an epsilon of "
            f"{result.epsilon.provable:.2f} at most, so nothing could refute the claim of "
            f"{result.claim.epsilon:g} by {result.name}{enough}\n"
            "add samples, name one attack in the claim, or claim what the samples can check"
        )
    if not result.claim_exceeded:
        return ""
    return (
        f"epsilon >= {result.epsilon.epsilon:.2f} > claimed {result.claim.epsilon:g} at delta "
        f"{result.epsilon.delta:g}: {result.scenario} distinguishes {_who(result)} by "
        f"{result.attack}"
    )


def _attacker(result: AttackResult) -> str:
    return ATTACKERS.get(result.scenario, result.scenario)


def _who(result: AttackResult) -> str:
    return f"{result.evaluation.members} members from {result.evaluation.non_members} non-members"


def _of_auc(result: AttackResult) -> str:
    """Say why the AUC is not within its budget, or nothing if it is."""
    where = f"budget {result.budget:g} ({result.budget_source})"
    n = result.evaluation
    low, high = result.interval.low, result.interval.high
    by = f"{_attacker(result)} by {result.attack}"
    if result.auc_verdict == "pass":
        return ""
    if result.gate == "evidence" and low <= result.budget:
        end = result.sequential
        samples = f"{end.max_pairs} pairs" if end else f"{n.members}+{n.non_members} samples"
        return (
            f"{samples} could not show that the AUC is over {where}, whatever the model: {by} "
            "would never fail"
        )
    undecided = result.auc_verdict == "inconclusive"
    if undecided and (result.gate == "certify" or result.sequential):
        return (
            f"AUC {result.auc:.3f} [{low:.3f}, {high:.3f}] straddles {where}: {by} is undecided "
            f"about {n.members} members and {n.non_members} non-members"
        )
    if result.gate == "evidence" or result.sequential is not None:
        return (
            f"AUC {result.auc:.3f}, at least {low:.3f} > {where}: {_attacker(result)} "
            f"distinguishes {_who(result)} by {result.attack}"
        )
    shown = f"FAIL, at least {low:.3f}"
    if undecided:
        shown = f"INCONCLUSIVE, not shown: {low:.3f} to {high:.3f}"
    return (
        f"AUC {result.auc:.3f} > {where}: {_attacker(result)} distinguishes {_who(result)} by "
        f"{result.attack} ({shown})"
    )


def _of_tpr(result: AttackResult) -> str:
    """Say why too many members are found, or that nobody can tell; nothing if they are not."""
    limit = result.tpr_budget
    if limit is None or limit.verdict == "pass":
        return ""
    where = f"max_tpr {limit.max_tpr:.1%} at an FPR of {limit.at_fpr:g} ({limit.source})"
    if limit.point is None:
        return (
            f"{where} cannot be checked: {result.calibration.non_members} calibration non-members, "
            f"and such a threshold needs {limit.needed}; add non-members, raise at_fpr, or leave "
            f"{_attacker(result)} out"
        )
    at, n = limit.point, result.evaluation
    low, high = at.tpr.interval.low, at.tpr.interval.high
    shown = (
        f"FAIL, at least {low:.1%}"
        if limit.verdict == "fail"
        else f"INCONCLUSIVE, not shown: {low:.1%} to {high:.1%}"
    )
    sign = ">" if at.tpr.value > limit.max_tpr else "is not over"
    return (
        f"TPR {at.tpr.value:.1%} {sign} {where}: {_attacker(result)} finds {at.true_positives} of "
        f"{n.members} members by {result.attack}, and accuses {at.false_positives} of "
        f"{n.non_members} non-members ({shown})"
    )


def percent(share: float) -> str:
    """Say a confidence, or an error: 0.95 is 95%, and 0.995 is not 100%.

    Examples
    --------
    >>> percent(0.95), percent(1 - 0.1 / 20), percent(1 - 0.95)
    ('95%', '99.5%', '5%')
    """
    return f"{100 * share:.4g}%"


def _share(rate: float) -> str:
    """Say a rate that is a bound: no more digits than it is worth."""
    return "fewer than 0.1%" if rate < 0.001 else f"up to {rate:.1%}"


def chance_words(chance: Chance, gate: str) -> str:
    """Say what a gate errs at this size, and the sizes at which it would not.

    Parameters
    ----------
    chance
        What is known before anything is generated.
    gate
        The audit's gate.
    """
    n = chance.evaluated
    parts = [f"{n.members}+{n.non_members} evaluated, {_results(chance.n_results)}"]
    if gate == "point":
        rate = _share(chance.false_red)
        parts.append(f"a model that leaks nothing is red by chance in {rate} of such audits")
        if chance.false_red > FALSE_RED and chance.least is not None:
            parts.append(f"in {FALSE_RED:.0%} with {chance.least:,} of each class")
    if chance.to_decide is not None:
        parts.append(
            f"{chance.to_decide:,} of each class decide both ways with 80 % power: certify "
            f"passes such a model, and an AUC of {chance.leak:g} is shown"
        )
    return f"gate {gate}: {'; '.join(parts)}"


def _results(n: int) -> str:
    return f"{n} result" if n == 1 else f"{n} results"


def protocol_clause(audit: AuditRecord) -> str:
    """Say on what the attacker who knows members calibrated; nothing if no result is his."""
    found = {result.scenario.removeprefix("attack-") for result in audit.results}
    knowing = [name for name in ("I", "II") if name in found]
    if not knowing:
        return ""
    subject = " and ".join(knowing)
    if audit.settings.get("protocol") == "paper":
        on = "as in the paper, on a shadow model fine-tuned on known members"
    else:
        on = "on known members of the target itself"
    return f"; {subject} {'calibrate' if len(knowing) > 1 else 'calibrates'} {on}"


def _with_access(audit: AuditRecord) -> list[str]:
    """Say how many attacks with an access are over the budget, and whether it decides anything."""
    parts = []
    for access, results in _by_access(audit).items():
        if not results:
            continue
        kind, first, n = KINDS[access], results[0], len(results)
        over = sum(result.auc > first.budget for result in results)
        several = kind if n == 1 else kind.replace("attack", "attacks", 1)
        only = ", only reported" if _only_reported(results) else ""
        parts.append(f"{over} of {n} {several} over it{only}")
    return parts


def _only_reported(results: list[AttackResult]) -> bool:
    return all(one.verdict == REPORTED or one.claim_exceeded for one in results)


def _by_access(audit: AuditRecord) -> dict[str, list[AttackResult]]:
    return {IMG2IMG: audit.img2img, WEIGHTS: audit.weights}


def ruler_lines(audit: AuditRecord) -> Iterator[str]:
    """Say of a green what the strongest attack sees in the pictures that it is of."""
    seen = audit.validity.stronger if audit.validity else {}
    if audit.verdict != "pass" or not seen:
        return
    attack = strongest()
    found = [f"{name.removesuffix(f'-{attack}')} {one.auc:.3f}" for name, one in seen.items()]
    yield (
        f"{attack}, which reads pixels and structure too, in these pictures: "
        f"AUC {', '.join(found)}, none shown to be over the budget; "
        f"{with_strongest(result.attack for result in audit.results)} lets it decide"
    )


def access_lines(audit: AuditRecord) -> Iterator[str]:
    """Say what attackers with more than text see, and how much of the most the others see."""
    if audit.verdict == "pass" and not (audit.img2img or audit.weights):
        yield BY_TEXT_ALONE
    for access, results in _by_access(audit).items():
        if not results:
            continue
        found = [
            f"{one.attack} {one.auc:.3f} ({one.interval.low:.3f}-{one.interval.high:.3f})"
            for one in results
        ]
        yield f"{ATTACKERS[access]}: AUC {', '.join(found)}"
        if _only_reported(results):
            yield (
                f"that decides nothing here: release='{access}' lets it, which is right where "
                f"{RIGHT_WHERE[access]}"
            )
    shares = []
    if audit.captured is not None:
        best = max(audit.results, key=lambda result: result.auc)
        shares.append(f"this audit's strongest attack, {best.name}, captured {audit.captured:.0%}")
    if audit.captured_img2img is not None:
        best = max(audit.img2img, key=lambda result: result.auc)
        share = f"{best.name} captured {audit.captured_img2img:.0%}"
        shares.append(f"with pictures handed in, {share}")
    if shares:
        yield f"of what that attacker sees, {'; '.join(shares)}"


def _over_claim(audit: AuditRecord) -> Iterator[str]:
    claims = sum(result.claim_exceeded for result in audit.all_results)
    if claims:
        yield f"{claims} over the claimed epsilon"


def verdict_words(result: AttackResult) -> str:
    """Say a verdict as the table does: in capitals when it is red, with a doubt if there is one."""
    if result.verdict != "pass":
        return result.verdict.upper()
    return "pass" if result.supported else "pass, n too small to tell"


def headline(audit: AuditRecord) -> str:
    """Say an audit in one sentence, after its name."""
    if not audit.results:
        known = _with_access(audit) or ["so nothing is known of the model"]
        return ", ".join([f"{audit.name}: 0 results", *known, *_over_claim(audit)])
    n = len(audit.results)
    first = audit.results[0]
    shown = sum(result.auc_verdict == "fail" for result in audit.results)
    undecided = sum(result.auc_verdict == "inconclusive" for result in audit.results)
    point = first.gate == "point" and first.sequential is None
    over = shown + (undecided if point else 0)
    parts = [f"{over} of {_results(n)} over the budget of {first.budget:g} ({first.budget_source})"]
    if point and over:
        parts.append("all shown" if shown == over else f"{shown} of them shown")
    if undecided and not point:
        parts.append(f"{undecided} inconclusive")
    limits = [result.tpr_budget for result in audit.results if result.tpr_budget is not None]
    if limits:
        red = sum(limit.verdict != "pass" for limit in limits)
        limit = limits[0]
        parts.append(f"{red} over max_tpr {limit.max_tpr:.1%} at an FPR of {limit.at_fpr:g}")
    parts += _over_claim(audit)
    parts += change_headline(audit)
    parts += _with_access(audit)
    if audit.not_completed:
        parts.append(f"{len(audit.not_completed)} not completed")
    if audit.not_asked:
        parts.append(f"{len(audit.not_asked)} not asked for")
    return f"{audit.name}: {audit.verdict.upper()}, {', '.join(parts)}"
