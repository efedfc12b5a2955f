"""JUnit: properties of one result on pytest's own report, and a whole record as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from privaudit.attacks.registry import REPORTED
from privaudit.report.summary import printable, summarise
from privaudit.report.wording import explanation

if TYPE_CHECKING:
    from privaudit.record import AttackResult, AuditRecord, SessionRecord

__all__ = ["properties", "render_junit"]


def properties(audit: str, result: AttackResult) -> list[tuple[str, object]]:
    """Return (name, value) pairs for ``user_properties``; what was not measured is left out.

    Parameters
    ----------
    audit
        The audit's name.
    result
        One of its results.
    """
    change = result.comparison
    at_1_percent = result.at_fpr(0.01)
    values: dict[str, object] = {
        "sentence": _sentence(result),
        "audit": audit,
        "scenario": result.scenario,
        "attack": result.attack,
        "auc": result.auc,
        "auc_low": result.interval.low,
        "auc_high": result.interval.high,
        "gate": result.gate,
        "budget": result.budget,
        "budget_source": result.budget_source,
        "verdict": result.verdict,
        "n_members": result.evaluation.members,
        "n_non_members": result.evaluation.non_members,
        "attack_success_rate": result.success_rate.value,
        "tpr_at_1_percent_fpr": at_1_percent and at_1_percent.tpr.value,
        "epsilon": result.epsilon and result.epsilon.epsilon,
    }
    if change is not None:
        copies = change.near_copies
        values |= {
            "baseline_auc": change.auc,
            "change": change.change,
            "change_low": change.bounds.low,
            "change_high": change.bounds.high,
            "change_p_value": change.p_value,
            "change_verdict": change.verdict,
            "baseline_tpr_at_1_percent_fpr": change.tpr and change.tpr.tpr.value,
            "baseline_near_copies": copies and copies.members,
        }
        values["near_copies"] = result.near_copies and result.near_copies.members
    return [(f"privaudit.{name}", value) for name, value in values.items() if value is not None]


def _sentence(result: AttackResult) -> str:
    """Say one result in a sentence, whatever its verdict."""
    if result.verdict not in ("pass", REPORTED):
        return explanation(result)
    low, high = result.interval.low, result.interval.high
    shown = "" if result.supported else ", which so few samples do not show"
    decides = "; it decides nothing here" if result.verdict == REPORTED else ""
    over = "over" if not result.auc <= result.budget else "within"
    return (
        f"AUC {result.auc:.3f} ({low:.3f} to {high:.3f}) is {over} the budget of "
        f"{result.budget:g}{shown}{decides}: {result.name}"
    )


def render_junit(session: SessionRecord) -> str:
    """Render a record as JUnit's XML: a suite for each audit, a case for each result.

    Parameters
    ----------
    session
        The record.

    Examples
    --------
    >>> from privaudit.record import AuditRecord, SessionRecord
    >>> record = SessionRecord(privaudit_version="1", audits=[AuditRecord(name="faces")])
    >>> 'name="faces"' in render_junit(record)
    True
    """
    root = ElementTree.Element("testsuites", {"name": "privaudit"})
    for audit in session.audits:
        root.append(_suite(audit))
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, printable(value))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _suite(audit: AuditRecord) -> ElementTree.Element:
    one = summarise(audit)
    suite = ElementTree.Element("testsuite", {"name": audit.name})
    facts = ElementTree.SubElement(suite, "properties")
    for name, value in (("privaudit.sentence", one.sentence), ("privaudit.verdict", one.verdict)):
        ElementTree.SubElement(facts, "property", {"name": name, "value": value})
    n_failed = n_skipped = n_errors = 0
    for result in audit.all_results:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": audit.name, "name": result.name}
        )
        listed = ElementTree.SubElement(case, "properties")
        for name, fact in properties(audit.name, result):
            ElementTree.SubElement(listed, "property", {"name": name, "value": str(fact)})
        if result.verdict in ("pass", REPORTED):
            continue
        if result.name in audit.expected:
            message = f"expected by its test (xfail): {explanation(result)}"
            ElementTree.SubElement(case, "skipped", {"message": message})
            n_skipped += 1
        else:
            ElementTree.SubElement(
                case, "failure", {"message": explanation(result), "type": result.verdict}
            )
            n_failed += 1
    for item in audit.not_completed:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": audit.name, "name": item.name}
        )
        skipped = item.outcome == "skipped" or item.name in audit.expected
        ElementTree.SubElement(
            case, "skipped" if skipped else "error", {"message": item.reason, "type": item.outcome}
        )
        n_skipped, n_errors = n_skipped + skipped, n_errors + (not skipped)
    counts = {
        "tests": len(audit.all_results) + len(audit.not_completed),
        "failures": n_failed,
        "errors": n_errors,
        "skipped": n_skipped,
    }
    suite.attrib |= {name: str(n) for name, n in counts.items()}
    return suite
