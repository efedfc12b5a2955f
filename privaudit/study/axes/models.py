"""Other models in place of the audit's: along a training run, with defences, as a shadow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.attacks import registry
from privaudit.audit.threat_models import SHADOW_MODEL
from privaudit.errors import GeneratorError, PrivauditError, ScoreError
from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, LeftOut
from privaudit.study.table import CONFIDENCE, HALF

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from privaudit.audit import Audit
    from privaudit.study.owner import Owner
    from privaudit.study.table import Table

__all__ = ["Defences", "Epochs", "Shadows"]

LOSS, ALIKE = "loss on non-members", "similarity to non-members"


class Epochs(Axis):
    """The checkpoints of the run that made the target."""

    name = "epochs"
    question = "How does the leak grow with fine-tuning?"
    x_label = "fine-tuning steps"

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the checkpoints in the order of training."""
        if not owner.checkpoints:
            msg = "needs a folder with checkpoints of the training run: --checkpoints FOLDER"
            raise LeftOut(msg)
        for one in owner.checkpoints:
            try:
                audit = owner.audit({"target_model": one.load()})
            except PrivauditError as error:
                yield LeftOut(str(error), one.name)
                continue
            x = None if one.step is None else float(one.step)
            yield Cell(one.name, audit, x, beside=quality(audit, self.scenarios(owner)[0]))

    def table(self, owner: Owner) -> Table:
        """Say whether the run counts steps or epochs."""
        table = super().table(owner)
        units = {one.unit for one in owner.checkpoints}
        table.x_label = f"fine-tuning {'s and '.join(sorted(units))}s"
        return table


class Defences(Axis):
    """The audited model beside those with a defence: what each costs in quality."""

    name = "defences"
    question = "What does a defence change, and what does it cost?"
    x_label = "model"

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the target, then the others, each with its quality."""
        if not owner.models:
            msg = "needs other fine-tunes on the same members: --models NAME=FOLDER, or a fixture "
            raise LeftOut(msg + "study_models that returns them by name")
        scenario = self.scenarios(owner)[0]
        own = owner.audit()
        yield Cell("as audited", own, beside=quality(own, scenario))
        for name, given in owner.models.items():
            try:
                target = from_folder(Path(given), owner) if _is_path(given) else given
                audit = owner.audit({"target_model": target})
                yield Cell(name, audit, beside=quality(audit, scenario))
            except PrivauditError as error:
                yield LeftOut(str(error), name)


class Shadows(Axis):
    """Other shadow models, fine-tuned on the same auxiliary samples."""

    name = "shadows"
    question = "Must the attacker's shadow model be like the target?"
    x_label = "shadow model"
    only = ("III", "IV")

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the audit's own shadow model, then the others."""
        if not owner.shadows:
            msg = "needs other shadow models: --shadows NAME=FOLDER, or a fixture study_shadows "
            raise LeftOut(msg + "that returns them by name")
        own = owner.audit()
        yield Cell("as audited", own)
        samples = own.models.shadows.labelled(SHADOW_MODEL)
        for name, given in owner.shadows.items():
            try:
                inputs = {
                    "shadow_model": from_folder(Path(given), owner) if _is_path(given) else given,
                    "shadow_members": samples.members,
                    "shadow_non_members": samples.non_members,
                    "auxiliary_samples": None,
                    "fine_tune": None,
                }
                yield Cell(name, owner.audit(inputs))
            except PrivauditError as error:
                yield LeftOut(str(error), name)


def _is_path(given: Any) -> bool:
    return isinstance(given, str | Path)


def from_folder(folder: Path, owner: Owner) -> Any:
    """Load a fine-tune from a folder: a whole pipeline, or a part of one on the target's base.

    Raises
    ------
    GeneratorError
        If nothing in it can be loaded, or the base is not known.
    """
    from privaudit.runs import parts_of
    from privaudit.targets import SavedPipeline, base_of

    if not folder.is_dir():
        msg = f"{folder} is no folder: name one with a pipeline, an adapter or a denoiser"
        raise GeneratorError(msg)
    parts, problem = parts_of(folder)
    if problem:
        msg = f"{folder} does not load: {problem}"
        raise GeneratorError(msg)
    base = owner.inputs.base_model
    base = base_of(owner.inputs.target_model) if base is None else base
    if "base" in parts:
        known = owner.inputs.target_model
        like = known.arguments() if isinstance(known, SavedPipeline) else {}
        how = {name: like[name] for name in ("device", "call") if name in like}
        return SavedPipeline(folder, **how)
    if not isinstance(base, SavedPipeline):
        msg = f"{folder} is a part of a pipeline, and nothing says of which: save whole pipelines"
        raise GeneratorError(msg)
    return SavedPipeline(**{**base.arguments(), **parts})


def quality(audit: Audit, scenario: str) -> dict[str, float | None]:
    """Measure how well a model draws what it was not fine-tuned on.

    Parameters
    ----------
    audit
        Whose target is measured.
    scenario
        Whose non-members, and whose words, are used.

    Returns
    -------
    dict
        The mean denoising loss, ``None`` for a model whose weights are not there, and the mean
        similarity of its pictures to the samples; both of non-members. Each with half of its
        interval, over the choice of samples, by its name and :data:`~privaudit.study.table.HALF`.
    """
    sets = audit.sets(scenario)
    samples, target = sets.evaluation.non_members, audit.models.target
    scorer = dataclasses.replace(audit.scorer(sets), base=None)
    measured: dict[str, float | None] = {LOSS: None}
    try:
        white = dataclasses.replace(
            scorer, measurement=registry.make_with_access(registry.WEIGHTS, "denoising")
        )
        measured |= _mean(LOSS, -white.features(target, samples).similarity)
    except ScoreError:
        pass  # a model that shows no weights has no loss to us
    return measured | _mean(ALIKE, scorer.features(target, samples).similarity)


def _mean(name: str, values: NDArray[np.floating[Any]]) -> dict[str, float | None]:
    """Return the mean of n values, one a sample, and half of Student's interval of it."""
    from scipy import stats

    n = len(values)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) if n > 1 else None
    spread = None if reach is None else reach * float(values.std(ddof=1)) / n**0.5
    return {name: float(values.mean()), name + HALF: spread}
