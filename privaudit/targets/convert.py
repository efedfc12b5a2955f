"""How anything that draws becomes a target, and which settings reach it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import GeneratorError
from privaudit.targets.base import CallableTarget, Target
from privaudit.targets.calls import ON_CALL, parameters_of
from privaudit.targets.picture_folder import PictureFolder
from privaudit.targets.saved import SavedPipeline, SavedTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.targets.acceleration import Acceleration

__all__ = ["as_target", "base_of", "is_pipeline", "pipeline_in", "untuned", "without_effect"]


def base_of(given: Any) -> Any:
    """Return the base model that a pipeline itself knows, or ``None``.

    Parameters
    ----------
    given
        As of :func:`as_target`.

    Returns
    -------
    SavedPipeline, pipeline or None
        A base that :func:`privaudit.load_pipeline` put the fine-tuned part into is loaded now.
    """
    given = untuned(given)
    if isinstance(given, SavedPipeline):
        return given.base
    if getattr(given, "privaudit_base", None) is None:  # PyTorch is not imported to find none
        return None
    from privaudit.targets.loading import known_base

    return known_base(given)


def as_target(
    given: Any,
    *,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    acceleration: Acceleration | None = None,
) -> Target:
    """Turn what a ``target_model`` or ``shadow_model`` fixture returned into a target.

    Parameters
    ----------
    given
        A diffusers pipeline, loaded or a :class:`SavedPipeline`, what
        :func:`privaudit.finetune` returned, a target, an object with a method ``generate`` (and
        ``vary``, where it takes pictures, too), or a callable ``generate(prompts, seeds)``.
    num_inference_steps, guidance_scale, acceleration
        For a pipeline, as of :class:`privaudit.PipelineTarget`; a target that comes ready-made
        keeps its own.

    Raises
    ------
    GeneratorError
        If it is none of these.
    """
    given = untuned(given)
    # A folder is looked through when a picture is needed, and not to find out what it is: Python
    # 3.11 asks for the value of each member of a protocol.
    if isinstance(given, PictureFolder) or isinstance(given, Target):  # noqa: SIM101
        return given
    if isinstance(given, SavedPipeline):
        return SavedTarget(
            given,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            acceleration=acceleration,
        )
    if is_pipeline(given):
        from privaudit.targets.pipeline import PipelineTarget

        return PipelineTarget(
            given,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            acceleration=acceleration,
        )
    if callable(getattr(given, "generate", None)):
        stated, vary = getattr(given, "fingerprint", None), getattr(given, "vary", None)
        return CallableTarget(given.generate, stated, vary)
    if callable(given):
        return CallableTarget(given, vary=getattr(given, "vary", None))
    if isinstance(given, (str, Path)):
        name = str(given)
        msg = (
            f"{name!r} names a model and is none: return privaudit.load_pipeline({name!r}) from "
            "the fixture"
        )
        raise GeneratorError(msg)
    msg = (
        f"{type(given).__name__} cannot generate images: return a diffusers pipeline, or a "
        "callable generate(prompts, seeds) -> list of PIL images"
    )
    raise GeneratorError(msg)


def without_effect(given: Any, wanted: Mapping[str, Any]) -> list[str]:
    """Name the settings that would never reach a model, whatever their values.

    Parameters
    ----------
    given
        What a ``target_model`` fixture returned.
    wanted
        Values by setting, of ``num_inference_steps``, ``guidance_scale``, ``scheduler``,
        ``dtype``, ``channels_last``, ``compile``. ``None`` and ``False`` are not wanted.

    Returns
    -------
    list of str
        Settings without effect, in the order of ``wanted``: all, for a callable and for a target
        that comes ready-made; for a pipeline, those that it has no place for. Of a
        :class:`privaudit.SavedPipeline` only those are named that its own ``call`` overrules,
        until it is loaded.
    """
    names = [name for name, value in wanted.items() if value is not None and value is not False]
    overruled: set[str] = set()
    if isinstance(given, SavedPipeline):
        overruled = set(given.call)
        if pipeline_in(given) is None:
            return [name for name in names if name in overruled]
    given = pipeline_in(given)
    if given is None:
        return names
    accepted, others = parameters_of(type(given))
    lacking = overruled | {name for name in ON_CALL if name not in accepted and not others}
    if getattr(given, "scheduler", None) is None:
        lacking.add("scheduler")
    if not any(getattr(given, name, None) for name in ("unet", "transformer")):
        lacking.add("compile")
    return [name for name in names if name in lacking]


def pipeline_in(given: Any) -> Any:
    """Return the pipeline that is called with an audit's settings.

    Parameters
    ----------
    given
        What a ``target_model`` fixture returned.

    Returns
    -------
    diffusers.DiffusionPipeline or None
        ``None`` for what brings its own settings, and for a saved one until it is loaded.
    """
    given = untuned(given)
    if isinstance(given, SavedPipeline):
        return vars(given).get("pipeline")
    return given if hasattr(given, "components") else None


def is_pipeline(given: Any) -> bool:
    """Tell whether it is a pipeline of diffusers.

    Who has one has imported diffusers; nobody else should wait for it.
    """
    diffusers = sys.modules.get("diffusers")
    return diffusers is not None and isinstance(given, diffusers.DiffusionPipeline)


def untuned(given: Any) -> Any:
    """Take the pipeline out of what ``finetune`` returned; anything else is returned as it is."""
    tuning = sys.modules.get("privaudit.diffusion.fine_tuned")
    tuned = tuning is not None and isinstance(given, tuning.FineTuned)
    return given.pipeline if tuned else given
