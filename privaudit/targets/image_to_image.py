"""A picture handed in beside the text: how a model draws it anew, at some strength."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image

from privaudit.batching import padded
from privaudit.errors import GeneratorError, PrivauditError
from privaudit.targets.base import checked
from privaudit.targets.calls import parameters_of
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.modes import evaluating, quietly
from privaudit.targets.pictures import pictures_of
from privaudit.targets.trial import Company, company, drawn_in_company

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from privaudit.diffusion.prompts import PromptEncoder

__all__ = ["ImageToImage", "Varies", "varied"]

NOISE_LEVELS = (0.25, 0.85)
"""Share of the noise at which one step may begin: nearer 0 it gives back what it was given, nearer
1 it cannot see it."""
TRIAL_STEPS, TRIAL_STRENGTH = 4, 0.5
"""Of the calls that find out which queries may share one."""
WAY_OUT = (
    "leave img2img out and release at 'api', or audit an object with a method "
    "vary(images, prompts, seeds, strength) beside generate(prompts, seeds)"
)


class Varies(Protocol):
    """What takes a picture beside the text."""

    def vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw each picture anew.

        Parameters
        ----------
        images
            RGB, of any size.
        prompts, seeds
            As of ``generate``: one of each for each picture.
        strength
            How much of a picture may change: near 0 nothing, at 1 all of it. What services call
            ``strength`` or ``denoising_strength``.

        Returns
        -------
        list of PIL.Image.Image
            In order, of any size.
        """
        ...


def varied(
    target: Any,
    images: Sequence[Image.Image],
    prompts: Sequence[str],
    seeds: Sequence[int],
    strength: float,
    *,
    once: bool = False,
) -> list[Image.Image]:
    """Ask a target to draw pictures anew, and check what it returns.

    Parameters
    ----------
    target
        Any target; one that takes pictures is as :class:`Varies`.
    images, prompts, seeds, strength
        As of :meth:`Varies.vary`.
    once
        Whether to ask for one step without guidance, where the target can: whoever may choose the
        steps sees most in the first one.

    Raises
    ------
    GeneratorError
        If it takes no picture, raises, or answers with something else.
    """
    name, can = type(target).__name__, capabilities_of(target)
    vary = (can.vary_once if once else None) or can.vary
    if vary is None:
        msg = f"{name} takes no picture beside the text: {WAY_OUT}"
        raise GeneratorError(msg)
    try:
        answer = vary(list(images), list(prompts), list(seeds), strength)
    except (KeyboardInterrupt, PrivauditError):
        raise
    except BaseException as error:  # as of engines.task.generate
        msg = (
            f"vary() of {name} raised {type(error).__name__} on a batch of {len(prompts)} "
            f"pictures, the first of {prompts[0]!r}: {error}"
        )
        raise GeneratorError(msg) from error
    return checked(f"vary() of {name}", answer, prompts)


class ImageToImage:
    """The image-to-image pipeline that diffusers makes of a text-to-image one's own components.

    It is asked with the same arguments, as far as it takes them, and has the same scheduler and
    safety checker; methods that were replaced on the given object itself are not carried over.
    Pictures are resized to what the model draws. Before the first answer a few calls of two steps
    find out which queries may share a batch, as for texts alone.

    Parameters
    ----------
    pipeline
        The text-to-image pipeline; no weight is copied.
    call
        What its call is given beside prompts and generators.
    size
        Width and height of the pictures that it draws.
    """

    def __init__(self, pipeline: Any, call: dict[str, Any], size: tuple[int, int]) -> None:
        self._given, self._call, self._size = pipeline, call, size
        self._name = type(pipeline).__name__

    def vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw each picture anew, see :class:`Varies`; the noise is drawn on the CPU.

        Where a strength leaves not one of the steps to be taken, more are asked for.

        Raises
        ------
        GeneratorError
            If the pipeline has no image-to-image form, raises, draws a pixel that is not finite,
            or a safety checker blanked a picture.
        """
        return self._vary(images, prompts, seeds, strength, {})

    def vary_once(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw each picture anew in one step without guidance: one evaluation of the denoiser.

        Where the scheduler has no such step at about this strength, the pipeline's own steps are
        taken.

        Raises
        ------
        GeneratorError
            As of :meth:`vary`.
        """
        changes = self._one_step(strength) or {}
        return self._vary(images, prompts, seeds, strength, changes)

    def _vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
        changes: dict[str, Any],
    ) -> list[Image.Image]:
        """Draw pictures anew, with changes to the arguments of the call."""
        resized = [image.resize(self._size, Image.Resampling.LANCZOS) for image in images]
        queries = list(zip(resized, prompts, seeds, strict=True))

        def together(group: list[tuple[Image.Image, str, int]]) -> list[Image.Image]:
            batch, n = padded(group, self._given.device)
            return self._drawn(batch, strength, n, **changes)

        def alone(query: tuple[Image.Image, str, int]) -> Image.Image:
            return self._drawn([query], strength, **changes)[0]

        return drawn_in_company(queries, prompts, self._company, alone, together)

    def _one_step(self, strength: float) -> dict[str, Any] | None:
        """Return the arguments that make a call one step, or ``None`` if none do.

        Two schedules of two steps differ: one begins its last step at half the noise, another at
        none, where it would return what it was given.
        """
        accepted, others = parameters_of(type(self._pipeline))
        if not others and "num_inference_steps" not in accepted:
            return None
        steps = _least_steps(strength)
        try:
            scheduler = type(self._pipeline.scheduler).from_config(self._pipeline.scheduler.config)
            scheduler.set_timesteps(steps)
            taken = scheduler.timesteps[(steps - int(steps * strength)) * scheduler.order :]
            level = float(taken[0]) / scheduler.config.num_train_timesteps
        except Exception:  # a scheduler that needs more than a number of steps
            return None
        low, high = NOISE_LEVELS
        if len(taken) != 1 or not low <= level <= high:
            return None
        changes: dict[str, Any] = {"num_inference_steps": steps}
        denoiser = getattr(self._pipeline, "unet", getattr(self._pipeline, "transformer", None))
        distilled = getattr(getattr(denoiser, "config", None), "guidance_embeds", False)
        if "guidance_scale" in accepted and not distilled:
            changes["guidance_scale"] = 1.0
        return changes

    @functools.cached_property
    def _pipeline(self) -> Any:
        from diffusers import AutoPipelineForImage2Image

        try:
            with quietly():
                found = AutoPipelineForImage2Image.from_pipe(self._given)
        except Exception as error:
            msg = f"diffusers knows no image-to-image form of {self._name} ({error}): {WAY_OUT}"
            raise GeneratorError(msg) from error
        accepted, _ = parameters_of(type(found))
        lacking = [n for n in ("prompt", "image", "strength", "generator") if n not in accepted]
        if lacking:
            msg = (
                f"{type(found).__name__}, the image-to-image form of {self._name}, takes no "
                f"{', '.join(lacking)}: {WAY_OUT}"
            )
            raise GeneratorError(msg)
        found.set_progress_bar_config(**getattr(self._given, "_progress_bar_config", {}))
        return found

    @functools.cached_property
    def _company(self) -> Company:
        self._pipeline  # noqa: B018
        return company(self._trial, self._given.device)

    def _trial(
        self, prompts: list[str], seeds: list[int], texts: PromptEncoder | None = None
    ) -> NDArray[Any]:
        """Draw pictures of noise anew, another of each seed, in a few steps."""
        del texts
        width, height = self._size
        pictures = [
            Image.fromarray(
                np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
            )
            for seed in seeds
        ]
        asked = list(zip(pictures, prompts, seeds, strict=True))
        few = {"num_inference_steps": TRIAL_STEPS} if "num_inference_steps" in self._call else {}
        return np.stack([np.asarray(p) for p in self._drawn(asked, TRIAL_STRENGTH, **few)])

    def _drawn(
        self,
        asked: list[tuple[Image.Image, str, int]],
        strength: float,
        n: int | None = None,
        **changes: Any,
    ) -> list[Image.Image]:
        """Call the pipeline; the first n pictures count."""
        prompts = [prompt for _, prompt, _ in asked]
        try:
            # What they say of a prompt is said where it is asked without a picture.
            with evaluating(self._pipeline), quietly():
                output = self._pipeline(**(self._arguments(asked, strength) | changes))
        except GeneratorError:
            raise
        except Exception as error:
            msg = (
                f"{type(self._pipeline).__name__} raised {type(error).__name__} on a batch of "
                f"{len(asked)} pictures, the first of {prompts[0]!r}, at strength {strength:g}: "
                f"{error}"
            )
            raise GeneratorError(msg) from error
        return pictures_of(type(self._pipeline).__name__, output, prompts, n)

    def _arguments(
        self, asked: list[tuple[Image.Image, str, int]], strength: float
    ) -> dict[str, Any]:
        accepted, others = parameters_of(type(self._pipeline))
        size = dict(zip(("width", "height"), self._size, strict=True))
        call = {n: v for n, v in (self._call | size).items() if n in accepted or others}
        steps = call.get("num_inference_steps")
        if steps is not None:
            call["num_inference_steps"] = max(steps, _least_steps(strength))
        images: Any = [image for image, _, _ in asked]
        texts: Any = [prompt for _, prompt, _ in asked]
        noise: Any = [torch.Generator("cpu").manual_seed(seed) for _, _, seed in asked]
        negative: Any = call.get("negative_prompt")
        if len(asked) == 1:  # as anyone would ask, and some must be asked
            images, texts, noise = images[0], texts[0], noise[0]
        elif negative is not None:
            call["negative_prompt"] = [negative] * len(asked)
        if "output_type" in accepted or others:
            call.setdefault("output_type", "np")
        return {
            **call,
            "prompt": texts,
            "image": images,
            "strength": strength,
            "generator": noise,
        }


def _least_steps(strength: float) -> int:
    """Return the fewest steps of which a strength takes one."""
    steps = math.ceil(1 / strength)
    return steps if int(steps * strength) else steps + 1
