"""Two audits, compared without pytest."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from privaudit.audit.comparison import Reference, Terms, judged
from privaudit.audit.facts import facts_of
from privaudit.errors import BaselineError
from privaudit.record import Baseline
from privaudit.settings import AuditSettings
from privaudit.statistics import ResultScores

if TYPE_CHECKING:
    from typing import Any

    from privaudit.record import AuditRecord, Comparison, Provenance

__all__ = ["compare", "record_facts", "record_reference"]

ANEW = "privaudit.run_audit(…) of the old model, with the settings of the new one"


def record_facts(record: AuditRecord, key: str) -> dict[str, Any]:
    """Collect what has to be the same in a later audit, see :func:`facts_of`.

    Raises
    ------
    BaselineError
        If the record does not say what ran, or the encoder cannot be known again.
    """
    ran = record.provenance
    if ran is None or "target_model" not in ran.models:
        msg = f"the record of {record.name} does not say what ran: nothing can be compared with it"
        raise BaselineError(msg)
    return facts_of(ran.models, ran.samples, record.settings, key)


def record_reference(old: AuditRecord) -> Reference:
    """Return a record as what an audit is compared with.

    Raises
    ------
    BaselineError
        If it has no result, or is of a sequential audit.
    """
    key = secrets.token_hex()  # both sides are hashed here and now, and nothing is written
    baseline = Baseline.from_record(old, record_facts(old, key), key)
    return Reference(baseline, key, f"{old.name} (a record)", ANEW)


def compare(
    old: AuditRecord,
    new: AuditRecord,
    *,
    max_rise: float | None = None,
    samples: str = "same",
    gate: str | None = None,
    confidence: float | None = None,
) -> AuditRecord:
    """Compare two audits: does the new model leak more than the old one did.

    Parameters
    ----------
    old, new
        Complete records, of audits that asked the same.
    max_rise
        The largest rise of an AUC accepted, by the rule of the gate; by default any rise is red
        that is shown.
    samples
        ``"same"`` to refuse other samples, or ``"other"`` to compare with them, which shows less.
    gate, confidence
        By default the new audit's.

    Returns
    -------
    AuditRecord
        The new one, each result with its ``comparison``, and with the verdict of both.

    Raises
    ------
    BaselineError
        If the two are not comparable; the message names the difference.
    SettingError
        If an argument is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import privaudit
    >>> from PIL import Image
    >>> class Pixels:
    ...     fingerprint = "pixels"
    ...     def encode(self, images):
    ...         return np.stack([np.float32(image).reshape(8, 24) / 255 for image in images])
    >>> random = np.random.default_rng(0)
    >>> pictures = random.integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    >>> captions = [f"picture {number:02}" for number in random.permutation(80)]
    >>> samples = [privaudit.Sample(Image.fromarray(p), c) for p, c in zip(pictures, captions)]
    >>> def audit(model):
    ...     return privaudit.run_audit(
    ...         model,
    ...         samples[:40],
    ...         samples[40:],
    ...         image_encoder=Pixels(),
    ...         scenarios="I",
    ...         attacks="threshold",
    ...         gate="evidence",
    ...         store="none",
    ...     )
    >>> safe = audit(privaudit.ObliviousTarget((8, 8)))
    >>> leaking = audit(privaudit.MemorizingTarget(samples[:40]))
    >>> privaudit.compare(leaking, safe).verdict
    'pass'
    >>> found = privaudit.compare(safe, leaking).results[0].comparison
    >>> found.verdict, found.paired, found.bounds.low > 0.2
    ('fail', True, True)
    """
    stated = {"gate": gate, "confidence": confidence}
    chosen: dict[str, Any] = {
        n: new.settings.get(n) if value is None else value for n, value in stated.items()
    }
    settings = AuditSettings(max_rise=max_rise, baseline_samples=samples, **chosen)
    terms, reference = Terms.of(settings), record_reference(old)
    facts = record_facts(new, reference.key)
    for result in new.results:
        why = reference.differences(
            facts, result.scenario, result.attack, other_samples=terms.other_samples
        )
        if why:
            raise BaselineError(why)
    return _compared(reference, new, terms)


def _compared(reference: Reference, new: AuditRecord, terms: Terms) -> AuditRecord:
    ran = cast("Provenance", new.provenance)  # its facts were read
    identity = ran.models["target_model"].get("identity")
    scenarios: dict[str, dict[str, ResultScores]] = {}
    for result in new.results:
        scores = ResultScores(result.member_scores, result.non_member_scores)
        scenarios.setdefault(result.scenario, {})[result.name] = scores
    changes: dict[str, Comparison] = {}
    for results in scenarios.values():
        changes |= reference.changes(results, identity, len(scenarios), terms)
    names = [result.name for result in new.results]
    return new.model_copy(
        update={
            "results": [judged(result, changes[result.name]) for result in new.results],
            "baseline": reference.used(identity, ran.versions, names),
        }
    )
