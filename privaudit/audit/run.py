"""Audits without pytest, for notebooks, scripts, studies and benchmarks."""

from __future__ import annotations

import contextlib
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from privaudit.audit.audit import Audit
from privaudit.audit.baseline import (
    Against,
    Reference,
    Terms,
    baseline_key,
    facts_of,
    judged,
    load_reference,
)
from privaudit.audit.inputs import AuditInputs, check_claim
from privaudit.audit.threat_models import SCENARIOS, get_threat_model
from privaudit.engines import make_engine
from privaudit.errors import BaselineError, InvalidAuditError, SampleError, SettingError
from privaudit.record import AuditRecord, Baseline, NotCompleted
from privaudit.settings import AuditSettings, split_settings
from privaudit.statistics import ResultScores
from privaudit.store import make_store
from privaudit.store.seals import get_id_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from privaudit.record import Claim, Comparison, Provenance
    from privaudit.samples import CoinSplit, Sample
    from privaudit.settings import SessionSettings

__all__ = ["compare", "record_facts", "record_reference", "run_audit"]


def run_audit(
    target: Any,
    members: Sequence[Sample],
    non_members: Sequence[Sample],
    *,
    captioner: Any = None,
    image_encoder: Any = None,
    base: Any = None,
    shadow: tuple[Any, Sequence[Sample], Sequence[Sample]] | None = None,
    auxiliary_samples: Sequence[Sample] | None = None,
    fine_tune: Callable[[Sequence[Sample]], Any] | None = None,
    coin_split: CoinSplit | None = None,
    sample_groups: Mapping[str, object] | None = None,
    claim: Claim | None = None,
    baseline: AuditRecord | Path | str | None = None,
    name: str = "audit",
    progress: Callable[[int], None] | bool = False,
    **settings: Any,
) -> AuditRecord:
    """Audit a fine-tuned model.

    Parameters
    ----------
    target
        A diffusers pipeline, a :class:`privaudit.SavedPipeline`, a target, or a callable
        ``generate(prompts, seeds) -> list of PIL images``.
    members, non_members
        Samples it was, and was not, fine-tuned on.
    captioner
        For scenarios II and IV.
    image_encoder
        In place of the one that the setting ``encoder`` names.
    base
        The model that the target was fine-tuned from: a target that draws what it draws is no
        fine-tune, and its audit invalid.
    shadow
        For III and IV: the attacker's own fine-tune, its members and its non-members.
    auxiliary_samples, fine_tune
        In place of ``shadow``: ``fine_tune(samples) -> model`` is called once. With
        ``protocol="paper"`` I and II need ``fine_tune``, too, which is then called once more.
    coin_split
        What :func:`privaudit.split_by_coin` returned, if it made members and non-members.
    sample_groups
        A group of each sample, by id: the record has an AUC for each.
    claim
        A claimed ε, to be disproved.
    baseline
        An earlier audit to compare with: its record, or the file or folder that
        ``--privaudit-update-baseline`` wrote.
    name
        What the record calls the audit.
    progress
        ``True`` shows a bar of tqdm's; or a function that is called after each batch with the
        number of images generated.
    **settings
        Any setting of ``docs/reference/settings.md``, such as ``max_auc=0.6`` or ``store="none"``.

    Returns
    -------
    AuditRecord
        All results, with their verdicts. A scenario that lacks an input is ``skipped``, an audit
        from which nothing can be concluded ``invalid``: look at ``not_completed`` too before
        you call a model safe.

    Raises
    ------
    PrivauditError
        If an input or a setting is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import privaudit
    >>> from PIL import Image
    >>> class Pixels:
    ...     def encode(self, images):
    ...         return np.stack([np.float32(image).reshape(8, 24) / 255 for image in images])
    >>> random = np.random.default_rng(0)
    >>> pictures = random.integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    >>> captions = [f"picture {number:02}" for number in random.permutation(80)]
    >>> samples = [privaudit.Sample(Image.fromarray(p), c) for p, c in zip(pictures, captions)]
    >>> record = privaudit.run_audit(
    ...     privaudit.testing.MemorizingTarget(samples[:40]),
    ...     samples[:40],
    ...     samples[40:],
    ...     image_encoder=Pixels(),
    ...     scenarios="I",
    ...     attacks="threshold",
    ...     store="none",
    ... )
    >>> [(result.name, result.auc, result.verdict) for result in record.results]
    [('attack-I-threshold', 1.0, 'fail')]
    """
    chosen, session = split_settings(settings)
    if session.plan:
        msg = "plan=True is for pytest: here, Audit(…).estimate(scenario=…) says what is asked"
        raise SettingError(msg)
    if session.report is not None:
        msg = "report=… is for pytest: here, write json=…, then `privaudit report FILE --html …`"
        raise SettingError(msg)
    if session.update_baseline:
        msg = "update_baseline=True is for pytest: here, keep the AuditRecord that you got"
        raise SettingError(msg)
    against = None
    if isinstance(baseline, AuditRecord):
        reference = record_reference(baseline)
        against = Against(reference.key, reference)
    elif baseline is not None:
        chosen = chosen.replace(baseline=baseline)
        key = baseline_key(session.baseline_key)
        against = load_reference(Path(str(chosen.baseline)), name, key)
    drawn, bar = _bar(name, progress)
    shadow_model, shadow_members, shadow_non_members = shadow or (None, None, None)
    audit = Audit(
        AuditInputs(
            target_model=target,
            members=members,
            non_members=non_members,
            image_encoder=image_encoder,
            base_model=base,
            captioner=captioner,
            shadow_model=shadow_model,
            shadow_members=shadow_members,
            shadow_non_members=shadow_non_members,
            auxiliary_samples=auxiliary_samples,
            fine_tune=fine_tune,
            coin_split=coin_split,
            sample_groups=sample_groups,
            claim=claim,
        ),
        chosen,
        make_store(session),
        make_engine(session),
        name=name,
        progress=drawn,
        against=against,
    )
    with bar:
        missing = _run_all(audit, strict=session.strict)
    record = audit.record().model_copy(update={"not_completed": missing})
    _keep(session, record)
    return record


def _bar(
    name: str, progress: Callable[[int], Any] | bool
) -> tuple[Callable[[int], Any], contextlib.AbstractContextManager[Any]]:
    """Return what is called with the number of new images, and the context that ends its bar."""
    if progress is True:
        from tqdm.auto import tqdm

        bar = tqdm(desc=name, unit="image")
        return bar.update, bar
    return progress or (lambda _: None), contextlib.nullcontext()


def _keep(session: SessionSettings, record: AuditRecord) -> None:
    """Write what the settings ask for: what the history cannot take is a warning, and no error."""
    from importlib.metadata import version

    from privaudit.record import SessionRecord, hash_ids, write_json

    whole = SessionRecord(privaudit_version=version("privaudit"), audits=[record])
    if session.record_ids == "hashed":
        whole = hash_ids(whole, get_id_names())
    if session.json is not None:
        write_json(session.json, whole)
    if session.history is not None or session.mlflow is not None:
        from privaudit.history import keep

        for line in keep(
            whole.audits, version("privaudit"), history=session.history, mlflow=session.mlflow
        ):
            warnings.warn(line, stacklevel=3)


def _run_all(audit: Audit, *, strict: bool) -> list[NotCompleted]:
    """Compute every result there can be, and return why there are not more."""
    missing, inputs = [], audit.models.inputs
    if inputs.claim is not None:
        check_claim(inputs.claim, inputs.coin_split, audit.settings)
    inputs.check_protocol(audit.settings, *(SCENARIOS[name] for name in audit.settings.scenarios))
    for scenario, attack in audit.settings.asked_results:
        threat_model = get_threat_model(scenario)
        lacking = inputs.lacking(threat_model, audit.settings.protocol)
        outcome, reason = "skipped", f"{threat_model.name} lacks {', '.join(lacking)}"
        if lacking and strict:
            msg = f"{reason}: pass them, or leave it out of scenarios"
            raise SampleError(msg)
        if not lacking:
            try:
                audit.result(scenario, attack)
                continue
            except InvalidAuditError as error:
                outcome, reason = "invalid", str(error)
        missing.append(
            NotCompleted(scenario=threat_model.name, attack=attack, outcome=outcome, reason=reason)
        )
    return missing if inputs.claim is None else _without_check(inputs.claim, audit, missing)


def _without_check(claim: Claim, audit: Audit, missing: list[NotCompleted]) -> list[NotCompleted]:
    """Turn skips into invalid results where they leave a claim that nothing checked."""
    if any(result.epsilon is not None for result in audit.record().all_results):
        return missing
    msg = f"so nothing checked the claim of epsilon {claim.epsilon:g}"
    return [
        item.model_copy(update={"outcome": "invalid", "reason": f"{item.reason}, {msg}"})
        if item.outcome == "skipped"
        else item
        for item in missing
    ]


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
    >>> safe = audit(privaudit.testing.ObliviousTarget((8, 8)))
    >>> leaking = audit(privaudit.testing.MemorizingTarget(samples[:40]))
    >>> privaudit.compare(leaking, safe).verdict
    'pass'
    >>> comparison = privaudit.compare(safe, leaking).results[0].comparison
    >>> comparison.verdict, comparison.paired, comparison.bounds.low > 0.2
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
