"""Is a green the ruler's doing? A stronger attack reads the pictures that a result passed on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from privaudit.attacks.registry import strongest, with_strongest
from privaudit.audit.validity import told_apart
from privaudit.errors import ScoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.record import Validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scorer
    from privaudit.record import AttackResult
    from privaudit.samples import Sample

__all__ = ["seen_by_stronger"]

MOST_KNOWN, MOST_EVALUATED = 250, 1_000
"""Samples of each class that are fitted on, and looked at: a fit takes the cube of its samples."""


def seen_by_stronger(
    scorer: Scorer,
    experiment: Experiment,
    evaluation: LabelledSet,
    result: AttackResult,
) -> Validity:
    """Say why a pass is not to be believed: the registry's strongest attack shows a leak.

    It reads the answers that were given and measured anyway: each sample's own, and with them
    everybody's by the small picture that is kept of each, whichever tells more. So nothing is
    generated. Its lower bound must be over the budget, whatever the gate: one bound at the audit's
    confidence, a scenario at a time. A model that leaks nothing is hardly ever that far over a
    budget (0.70 with 40 + 40 evaluated and a budget of 0.6), so what is said of false reds stays
    true. An audit that chose the attack decides by it, and is not asked.

    Parameters
    ----------
    scorer
        Of the scenario.
    experiment
        What the result calibrated on.
    evaluation
        Whom it evaluated.
    result
        One that was decided.

    Returns
    -------
    Validity
        What the attack sees, by its name; empty of a result that did not pass, and where it cannot
        be fitted.
    """
    attack = strongest()
    if result.verdict != "pass" or attack in scorer.settings.attacks:
        return Validity()
    known, some = _some(experiment.calibration, MOST_KNOWN), _some(evaluation, MOST_EVALUATED)
    # Of both bounds; of the lower by itself it is the audit's.
    level = round(2 * scorer.settings.confidence - 1, 12)
    try:
        # What everybody was answered helps where it is telling, and is in the way where it is not.
        both = [scorer.scores(attack, known, some, by_cells=cells) for cells in (False, True)]
    except ScoreError:  # too few samples to fit it, or answers that differ by rounding
        return Validity()
    looks = [told_apart(one.members, one.non_members, level) for one in both]
    found = max(looks, key=lambda one: one.interval.low)
    low, reasons = found.interval.low, []
    if low > result.budget:
        reasons = [
            f"AUC {result.auc:.3f} by {result.attack}, in pictures in which {attack} sees "
            f"{found.auc:.3f}, at least {low:.3f}: over the budget of {result.budget:g}, so "
            f"{result.attack} is too weak a ruler here\n"
            f"let {attack} decide: {with_strongest(scorer.settings.attacks)}"
        ]
    return Validity(stronger={f"{experiment.scenario.name}-{attack}": found}, reasons=reasons)


def _some(labelled: LabelledSet, most: int) -> LabelledSet:
    """Leave so many of each class, chosen by their ids alone."""

    def chosen(samples: Sequence[Sample]) -> Sequence[Sample]:
        if len(samples) <= most:
            return samples
        return sorted(samples, key=lambda sample: fingerprint_values(ruler=sample.id))[:most]

    return replace(
        labelled,
        members=chosen(labelled.members),
        non_members=chosen(labelled.non_members),
    )
