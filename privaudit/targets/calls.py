"""What a pipeline's call takes, and what it is given."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ON_CALL", "call_of", "check_starts_from_noise", "parameters_of"]

SCHEDULES = ("timesteps", "sigmas")
"""Arguments that say more than a number of steps, which may not be given beside them."""
ON_CALL = ("num_inference_steps", "guidance_scale")
"""Settings of an audit that are arguments of the call."""


def parameters_of(kind: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the arguments of a pipeline's call, and whether it takes any others.

    A call with ``**arguments`` hands them to the class above, whose arguments count too.
    """
    found: dict[str, inspect.Parameter] = {}
    for one in kind.__mro__:
        if "__call__" not in vars(one):
            continue
        parameters = inspect.signature(vars(one)["__call__"]).parameters.values()
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            return found, False
    # Stable Diffusion names all that it takes, and passes over anything else.
    return found, "generator" not in found


def call_of(
    pipeline: Any,
    num_inference_steps: int | None,
    guidance_scale: float | None,
    call: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what a pipeline's call will be given beside prompts and generators.

    Parameters
    ----------
    pipeline
        A diffusers pipeline.
    num_inference_steps, guidance_scale
        With ``None`` what its own signature says, so that a model is asked as its owner would
        ask it. Where the call does not take them, they are left out.
    call
        Further arguments.

    Returns
    -------
    dict
        Arguments by name.

    Raises
    ------
    GeneratorError
        If the call takes no prompt, no generator, or not one of the further arguments.
    """
    accepted, others = parameters_of(type(pipeline))
    unknown = [n for n in ("prompt", "generator", *call) if n not in accepted and not others]
    if unknown:
        names, name = ", ".join(unknown), type(pipeline).__name__
        msg = f"the call of {name} takes no {names}: is it text-to-image? Its arguments are "
        msg += f"{', '.join(n for n in accepted if n != 'self')}; audit others as a callable"
        raise GeneratorError(msg)
    passed = {}
    for name, value in zip(ON_CALL, (num_inference_steps, guidance_scale), strict=True):
        own = accepted[name].default if name in accepted else None
        if value is not None and (name in accepted or others):
            passed[name] = value
        elif isinstance(own, (int, float)):
            passed[name] = own
    if any(call.get(name) is not None for name in SCHEDULES) and num_inference_steps is None:
        passed.pop("num_inference_steps", None)
    return passed | dict(call)


def check_starts_from_noise(pipeline: Any) -> None:
    """Check that a pipeline's denoiser starts from noise and a text, and from nothing else.

    Raises
    ------
    GeneratorError
        If its input has more channels than latents have: it starts from a picture, or the call
        takes a mask.
    """
    unet, vae = (getattr(getattr(pipeline, n, None), "config", None) for n in ("unet", "vae"))
    channels, latents = getattr(unet, "in_channels", None), getattr(vae, "latent_channels", None)
    more = ""
    if isinstance(channels, int) and isinstance(latents, int) and channels > latents:
        kinds = {latents + 1: "a depth map, too", 2 * latents: "a picture, as InstructPix2Pix does"}
        kinds[2 * latents + 1] = "a picture and its mask: it is an inpainting model"
        more = kinds.get(channels, "more than noise")
        more = (
            f"a U-Net of {channels} input channels where latents have {latents} starts from {more}"
        )
    elif "mask_image" in parameters_of(type(pipeline))[0]:
        more = "its call takes a mask_image: it is an inpainting model"
    if more:
        msg = (
            f"{type(pipeline).__name__} is not text-to-image: {more}. Audit it as a callable that "
            "hands it the picture it needs, or audit the text-to-image model it was made from"
        )
        raise GeneratorError(msg)
