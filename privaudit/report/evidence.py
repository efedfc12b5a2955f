"""Which requirements of public guidance an audit is evidence for: covered, partly, or not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.attacks.registry import IMG2IMG, WEIGHTS

if TYPE_CHECKING:
    from privaudit.record import AuditRecord

__all__ = ["MAPPING", "Requirement", "map_requirements"]

MAPPING = "version 1, paragraph numbers read on 1 December 2026"
"""Of the table: guidance changes, and so does its numbering."""
EDPB = "EDPB Opinion 28/2024"
NIST = "NIST AI 600-1 (July 2024)"
COVERED, PARTLY, NOT_RUN = "covered", "partly", "not run"


@dataclass(frozen=True)
class Requirement:
    """One row of the table.

    Attributes
    ----------
    source, where
        The document, and its paragraph.
    asks
        What it asks for, in our words.
    status
        ``"covered"``, ``"partly"`` or ``"not run"``: what was tested, never how it ended.
    here
        Where this audit has it.
    """

    source: str
    where: str
    asks: str
    status: str
    here: str


def map_requirements(audit: AuditRecord) -> list[Requirement]:
    """Say which requirements an audit is evidence for.

    Tests are evidence for the resistance to the attacks that ran, and to no others.

    Parameters
    ----------
    audit
        One record. Without a result, nothing is covered.

    Examples
    --------
    >>> from privaudit.record import AuditRecord
    >>> {row.status for row in map_requirements(AuditRecord(name="faces"))}
    {'not run'}
    """
    ran = {
        "text": bool(audit.results),
        IMG2IMG: bool(audit.img2img),
        WEIGHTS: bool(audit.weights),
    }
    n = len(audit.all_results)
    attacks = "1 result" if n == 1 else f"{n} results"
    copies = any(one.near_copies is not None for one in audit.results)
    some = any(ran.values())
    named = [what for what, done in ran.items() if done]
    release = str(audit.settings.get("release", ""))
    checked = audit.validity is not None
    budget = audit.all_results[0].budget if audit.all_results else None

    def row(source: str, where: str, asks: str, status: str, here: str) -> Requirement:
        return Requirement(source, where, asks, status if some else NOT_RUN, here if some else "")

    inference = f"{attacks}, by {', '.join(named)}"
    return [
        row(
            EDPB,
            "paragraph 43",
            "likelihood of extracting training data directly, and of obtaining it by queries",
            COVERED if ran["text"] and ran[WEIGHTS] else PARTLY,
            f"membership inference by {', '.join(named)}",
        ),
        row(
            EDPB,
            "paragraph 46",
            "tests that fit the context of the release",
            COVERED if release else PARTLY,
            f"release = {release}" if release else "the record does not name the release",
        ),
        row(
            EDPB,
            "paragraph 55",
            "scope, frequency, quantity and quality of the tests",
            COVERED if checked else PARTLY,
            "samples, queries, bounds and checks are in this report",
        ),
        row(EDPB, "paragraph 55 (i)", "membership inference", COVERED, inference),
        row(EDPB, "paragraph 55 (i)", "attribute inference", NOT_RUN, ""),
        row(EDPB, "paragraph 55 (ii)", "exfiltration", NOT_RUN, ""),
        row(
            EDPB,
            "paragraph 55 (iii)",
            "regurgitation of training data",
            PARTLY if copies else NOT_RUN,
            "near-exact copies of members among the answers" if copies else "",
        ),
        row(EDPB, "paragraph 55 (iv)", "model inversion", NOT_RUN, ""),
        row(EDPB, "paragraph 55 (v)", "reconstruction", NOT_RUN, ""),
        row(
            EDPB,
            "paragraph 58 c to e",
            "documentation: threat models, measures, and tests of the resistance to attacks",
            PARTLY,
            "threat models and tests; measures taken in training are the owner's to document",
        ),
        row(
            NIST,
            "MS-2.10-001",
            "red-teaming for output of training samples, model extraction, membership inference",
            PARTLY,
            inference,
        ),
        row(
            NIST,
            "MS-2.7-007",
            "red-teaming for resilience against attacks, among them membership inference",
            PARTLY,
            inference,
        ),
        row(
            "NIST AI RMF 1.0",
            "MEASURE 2.10",
            "examine and document the privacy risk of the system",
            PARTLY,
            "the risk of membership inference",
        ),
        row(
            "ISO/IEC 42001:2023",
            "A.6.2.4",
            "verification and validation measures, and criteria for their use",
            COVERED,
            "" if budget is None else f"AUC at most {budget:g}, decided by the gate of the audit",
        ),
        row(
            "OWASP AISVS 1.0",
            "11.2.5",
            "simulated membership inference does no better than guessing",
            COVERED,
            inference,
        ),
        row(
            "CNIL, 22 July 2025",
            "status of a model",
            "attacks by means reasonably likely to be used, and what they cost",
            PARTLY,
            "queries and time of each attack, under what was run",
        ),
    ]
