"""What the base model, which was fine-tuned on nobody, says of the sets of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.audit.validity import judge_base, told_apart
from privaudit.record import Validity

if TYPE_CHECKING:
    from privaudit.audit.experiment import Experiment, LabelledSet
    from privaudit.audit.scoring import Scorer

__all__ = ["told_by_base"]


def told_by_base(
    scorer: Scorer,
    experiment: Experiment,
    attack: str,
    evaluation: LabelledSet,
    level: float,
    called: str = "",
) -> Validity:
    """Return how well an attack tells members from non-members on the base alone.

    Parameters
    ----------
    scorer
        Knows the base.
    experiment, attack
        The scenario, and the inference model.
    evaluation
        Whom it evaluated.
    level
        Confidence of the bounds.
    called
        What the record calls the attack, where that is not the inference model.
    """
    name = f"{experiment.scenario.name}-{called or attack}"
    scores = scorer.on_base(attack, experiment.calibration, evaluation)
    found = told_apart(scores.members, scores.non_members, level)
    return Validity(base={name: found}, reasons=judge_base(name, found))
