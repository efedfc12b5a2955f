"""The checks that can make a result invalid: one ordered list, and the one place that runs them.

A check looks at a :class:`Case` and returns what it found, with the reasons why nothing may be
concluded, if there are any. To add one, write a function here and put it in :data:`CHECKS`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from privaudit.attacks.registry import registered, strongest
from privaudit.audit.checks.controls import judge_control, judge_is_base, judge_sensitivity
from privaudit.audit.checks.passes import (
    judge_base,
    judge_copies,
    judge_exchanged,
    judge_shared_prompts,
    judge_strongest,
    score_base,
    score_strongest,
)
from privaudit.audit.checks.samples import (
    find_doubles,
    judge_blind,
    judge_duplicates,
    judge_facts,
)
from privaudit.audit.checks.target import conduct_of, judge_answers, judge_conduct
from privaudit.record import Validity

if TYPE_CHECKING:
    from collections.abc import Callable

    from privaudit.audit.checks.controls import Controls
    from privaudit.audit.checks.samples import BlindBaselines
    from privaudit.audit.checks.target import Refusals
    from privaudit.audit.scoring import Scorer, Scores
    from privaudit.audit.sets import LabelledSet, Sets
    from privaudit.record import AttackResult
    from privaudit.settings import AuditSettings
    from privaudit.targets import Target

__all__ = ["CHECKS", "Case", "Stage", "run_checks"]


class Stage(enum.Enum):
    """When a check is run; a reason ends the audit of this result before the next stage."""

    SAMPLES = "before anything is generated"
    TARGET = "when the target has answered a few queries"
    REFUSALS = "when all queries were asked"
    ANSWERS = "when the answers are scored"
    PASSES = "when a result is decided"
    SECOND_LOOK = "when nothing else speaks against a pass"


@dataclass(frozen=True)
class Case:
    """One attack of an audit, as far as it has come.

    Attributes
    ----------
    sets, attack
        The sets of the threat model, and the attack.
    scorer
        Asks, measures and scores under this threat model.
    confidence
        Of one bound, so that those of all results hold together.
    base
        The base model that is asked what the target is asked, if it is known.
    blind, controls
        What is known without the target.
    refusals
        What the models will not draw; ``None`` where none may refuse.
    evaluation, scores
        What was asked of the evaluation set, and its scores; ``None`` before.
    result
        The result; ``None`` before it is decided.
    """

    sets: Sets
    attack: str
    scorer: Scorer
    confidence: float
    base: Target | None
    blind: BlindBaselines
    controls: Controls
    refusals: Refusals | None = None
    evaluation: LabelledSet | None = None
    scores: Scores | None = None
    result: AttackResult | None = None

    @property
    def name(self) -> str:
        """What a record calls the result, such as ``"attack-I-threshold"``."""
        return f"{self.sets.threat_model.name}-{self.attack}"

    @property
    def settings(self) -> AuditSettings:
        """The audit's settings."""
        return self.scorer.settings


# ---------------------------------------------------------------------------- the samples


def check_is_base(case: Case) -> Validity:
    """Check that the target draws something else than its base model does."""
    return Validity(reasons=judge_is_base(case.controls.is_base))


def check_images(case: Case) -> Validity:
    """Check that the images alone do not distinguish members from non-members."""
    blind = case.blind.images
    return Validity(
        blind_image=blind, reasons=judge_blind("images", blind, case.settings.blind_limit)
    )


def check_captions(case: Case) -> Validity:
    """Check that the captions alone do not distinguish members from non-members."""
    blind = case.blind.captions
    return Validity(
        blind_caption=blind, reasons=judge_blind("captions", blind, case.settings.blind_limit)
    )


def check_facts(case: Case) -> Validity:
    """Check that no fact of captions and files distinguishes members from non-members."""
    fact = case.blind.facts
    return Validity(blind_facts=fact, reasons=judge_facts(fact, case.settings.blind_limit))


def check_near_duplicates(case: Case) -> Validity:
    """Check that the same picture is not on both sides of a divide."""
    pairs, evaluation = case.blind.near_duplicates(case.sets), case.sets.evaluation.samples
    n = len(find_doubles(pairs, evaluation))
    return Validity(
        near_duplicates=pairs[:10],
        n_near_duplicates=n,
        reasons=judge_duplicates(pairs, n, len(evaluation)),
    )


# ---------------------------------------------------------------------------- the attack


def check_positive_control(case: Case) -> Validity:
    """Check that the attack sees exact copies."""
    auc = case.controls.positive_control(case.sets, case.attack)
    # JSON has no word for NaN.
    controls = {case.name: auc if math.isfinite(auc) else None}
    return Validity(controls=controls, reasons=judge_control(case.name, auc))


def check_sensitivity(case: Case) -> Validity:
    """Check that the most telling attack sees the copies that the model's own autoencoder makes."""
    grades = case.controls.sensitivity
    return Validity(
        sensitivity={
            name: {grade: auc if math.isfinite(auc) else None for grade, auc in aucs.items()}
            for name, aucs in grades.items()
        },
        reasons=judge_sensitivity(grades, case.settings.budget),
    )


# ---------------------------------------------------------------------------- the target


def check_conduct(case: Case) -> Validity:
    """Check that the prompt decides what each model draws."""
    findings = Validity()
    for labelled in case.sets.labelled:
        conduct = conduct_of(case.scorer, labelled)
        reasons = judge_conduct(labelled.role, conduct)
        findings = findings.merged(Validity(conduct={labelled.role: conduct}, reasons=reasons))
        if reasons:  # the next model need not be asked
            break
    return findings


def check_refusals(case: Case) -> Validity:
    """Check that the models draw nearly all that they are asked for."""
    if case.refusals is None:
        return Validity()
    return Validity(answers=case.refusals.answers, reasons=case.refusals.reasons)


def check_answers(case: Case) -> Validity:
    """Check that nearly all answers are pictures, and each is another."""
    assert case.scores is not None
    findings = Validity()
    for which, labelled, answers in zip(
        ("calibration", "evaluation"), case.sets.labelled, case.scores.answers, strict=True
    ):
        name = f"{labelled.role} by {case.sets.threat_model.words}, {which}"
        reasons = judge_answers(labelled.role, answers)
        findings = findings.merged(Validity(answers={name: answers}, reasons=reasons))
    return findings


# ---------------------------------------------------------------------------- a pass


def check_base(case: Case) -> Validity:
    """Check that the base model, which was fine-tuned on nobody, does not distinguish the sets."""
    threat_model = case.sets.threat_model
    reads = not threat_model.by_text or registered(case.attack).reads_base
    if case.base is None or not reads:
        return Validity()
    assert case.evaluation is not None
    attack = threat_model.inference_model(case.attack)
    scorer = replace(case.scorer, base=case.base)
    base = score_base(scorer, case.sets, attack, case.evaluation, case.confidence)
    return Validity(base={case.name: base}, reasons=judge_base(case.name, base))


def check_exchanged(case: Case) -> Validity:
    """Check that members are not known worse than non-members, as in exchanged sets."""
    assert case.result is not None
    if not case.sets.threat_model.decides(case.settings):
        return Validity()
    return Validity(reasons=judge_exchanged(case.result))


def check_shared_prompts(case: Case) -> Validity:
    """Check that where samples share their prompts, the attack compares with the answers to all."""
    assert case.result is not None
    prompts = [case.sets.prompts[sample.id] for sample in case.sets.evaluation.samples]
    attacks = case.settings.attacks
    return Validity(reasons=judge_shared_prompts(case.result, prompts, attacks))


def check_copies(case: Case) -> Validity:
    """Check that the attack sees at least what near-copies alone show."""
    assert case.result is not None
    attacks = case.settings.attacks
    return Validity(reasons=judge_copies(case.result, case.confidence, attacks))


def check_strongest(case: Case) -> Validity:
    """Check that a stronger attack does not show a leak in the pictures that this one passed on."""
    result, attacks = case.result, case.settings.attacks
    assert result is not None
    assert case.evaluation is not None
    if result.verdict != "pass" or strongest() in attacks:
        return Validity()
    strong = score_strongest(case.scorer, case.sets, case.evaluation)
    if strong is None:
        return Validity()
    name = f"{case.sets.threat_model.name}-{strongest()}"
    return Validity(stronger={name: strong}, reasons=judge_strongest(result, strong, attacks))


# ---------------------------------------------------------------------------- the list


@dataclass(frozen=True)
class Check:
    """One check: when it is run, and of whom.

    Attributes
    ----------
    stage
        When.
    run
        From a case to what was found.
    text_only
        Whether it concerns attackers who send text alone.
    """

    stage: Stage
    run: Callable[[Case], Validity]
    text_only: bool = False


CHECKS = (
    Check(Stage.SAMPLES, check_is_base),
    Check(Stage.SAMPLES, check_images),
    Check(Stage.SAMPLES, check_captions),
    Check(Stage.SAMPLES, check_facts),
    Check(Stage.SAMPLES, check_near_duplicates),
    Check(Stage.SAMPLES, check_positive_control, text_only=True),
    Check(Stage.SAMPLES, check_sensitivity, text_only=True),
    Check(Stage.TARGET, check_conduct, text_only=True),
    Check(Stage.REFUSALS, check_refusals, text_only=True),
    Check(Stage.ANSWERS, check_answers, text_only=True),
    Check(Stage.ANSWERS, check_base),
    Check(Stage.PASSES, check_exchanged),
    Check(Stage.PASSES, check_shared_prompts, text_only=True),
    Check(Stage.PASSES, check_copies, text_only=True),
    Check(Stage.SECOND_LOOK, check_strongest, text_only=True),
)
"""Every check, in the order in which they are run."""


def run_checks(stage: Stage, case: Case) -> Validity:
    """Run the checks of one stage, and return all that they found."""
    findings = Validity()
    for check in CHECKS:
        if check.stage is stage and (case.sets.threat_model.by_text or not check.text_only):
            findings = findings.merged(check.run(case))
    return findings
