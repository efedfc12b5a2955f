"""Diffusers pipelines as targets."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from privaudit.batching import padded, rounded_batch_size
from privaudit.diffusion.adapters import adapters_of, check_active
from privaudit.diffusion.prompts import PromptEncoder
from privaudit.errors import GeneratorError
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values, library_versions
from privaudit.targets.acceleration import Acceleration
from privaudit.targets.arguments import LIBRARIES, plain
from privaudit.targets.calls import call_of, check_starts_from_noise, parameters_of
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.identity import PROBES, component_identity
from privaudit.targets.image_to_image import ImageToImage
from privaudit.targets.loading import known_base
from privaudit.targets.modes import evaluating, quietly
from privaudit.targets.pictures import largest_difference, pictures_of
from privaudit.targets.queries import in_one_call
from privaudit.targets.trial import (
    LEVELS,
    LEVELS_ELSEWHERE,
    Company,
    company,
    difference,
    drawn_in_company,
    draws_alike,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.targets.queries import Answer, Query

__all__ = ["PipelineTarget"]

TRIAL_STEPS = 2
"""Of the calls that find out how a pipeline may be asked."""


class PipelineTarget:
    """A diffusers text-to-image pipeline as a target.

    It is known by its weights, its settings and what it draws: two images of a probe, at its own
    settings, once for each object of this class. So hooks, replaced methods, the settings of a
    tokenizer and all else that changes its images make another model of it. Before the first
    answer a few calls of two steps find out whether texts may be encoded once, and which queries
    may share a batch and are drawn as each is alone; where none may, each has a call of its own.

    Parameters
    ----------
    pipeline
        The pipeline; it runs on the device it is on, and in evaluation mode. It is left as it was.
    num_inference_steps
        Denoising steps; with ``None`` what the signature of the pipeline's call says.
    guidance_scale
        Weight of classifier-free guidance, likewise; 1 or less turns it off in most pipelines.
    acceleration
        Changes to a copy of the pipeline, see :class:`Acceleration`; none by default.
    allow_inactive_adapters
        Audit a pipeline whose adapters are all switched off, or have scale 0.
    **call
        Further arguments of the pipeline's call, such as ``height``, ``negative_prompt`` or
        ``true_cfg_scale``.

    Raises
    ------
    GeneratorError
        If ``pipeline`` does not take a prompt or a generator, or starts from a picture, ``call``
        names an argument it lacks, or none of its adapters has an effect.
    """

    persistent = True

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        acceleration: Acceleration | None = None,
        allow_inactive_adapters: bool = False,
        **call: Any,
    ) -> None:
        self._call = call_of(pipeline, num_inference_steps, guidance_scale, call)
        check_starts_from_noise(pipeline)
        if not allow_inactive_adapters:
            check_active(pipeline, call)
        self._given = pipeline
        self._acceleration = acceleration or Acceleration()
        self._name = type(pipeline).__name__
        self._tried: dict[str, NDArray[Any]] = {}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, the settings, and the pictures of the probe.

        Raises
        ------
        GeneratorError
            If the weights cannot be read, or the probe cannot be drawn.
        """
        given = self._given
        return fingerprint_values(
            components={
                name: component_identity(component) for name, component in given.components.items()
            },
            pipeline=type(given).__qualname__,
            call={name: plain(value) for name, value in self._call.items()},
            acceleration=self._acceleration.to_dict(),
            device=given.device.type,
            libraries=library_versions(*LIBRARIES),
            probe=self.probe,
        )

    @functools.cached_property
    def probe(self) -> str:
        """Hash of the pictures of a few fixed prompts and seeds, at the settings of the audit.

        Two targets with one probe draw the same, whatever they are made of.
        """
        digests = [fingerprint_pixels(picture) for picture in self.probe_pictures]
        return fingerprint_values(pictures=digests)

    @functools.cached_property
    def probe_pictures(self) -> list[Image.Image]:
        """The pictures of the probe, RGB."""
        with quietly():  # one by one: not every pipeline takes two
            return [self._alone(prompt, seed) for prompt, seed in PROBES]

    def ignores_probe_prompts(self) -> bool:
        """Tell whether the two texts of the probe, which have one seed, gave one picture."""
        levels = LEVELS.get(self._given.device.type, LEVELS_ELSEWHERE)
        return largest_difference(*self.probe_pictures) <= levels

    def draws_as_base(self, base: Any = None) -> bool | None:
        """Tell whether it draws exactly what the model it was fine-tuned from draws.

        Then it is no fine-tune, whatever its files are called, and nothing can leak from it. It
        costs the base's probe, and the load of the base where none is given.

        Parameters
        ----------
        base
            The base model, a pipeline or a :class:`privaudit.SavedPipeline`; by default the one
            that :func:`privaudit.load_pipeline` put the fine-tuned part into.

        Returns
        -------
        bool or None
            ``None`` if the base is not known.

        Raises
        ------
        GeneratorError
            If the base cannot be loaded, or cannot draw.
        """
        base = known_base(self._given) if base is None else base
        base = getattr(base, "pipeline", base)  # of a SavedPipeline, or of a fine-tune
        if not hasattr(base, "components"):
            return None
        other = PipelineTarget(
            base,
            acceleration=self._acceleration,
            allow_inactive_adapters=True,
            **self._call,
        )
        levels = LEVELS.get(self._given.device.type, LEVELS_ELSEWHERE)
        # A few steps tell most apart; whole pictures take the time of many steps.
        prompt, seed = PROBES[0]
        with quietly(), contextlib.suppress(GeneratorError):
            one, two = (target._trial([prompt], [seed]) for target in (self, other))
            if one.shape != two.shape or difference(one, two) > levels:
                return False
        pairs = zip(self.probe_pictures, other.probe_pictures, strict=True)
        return all(largest_difference(one, two) <= levels for one, two in pairs)

    def __getstate__(self) -> dict[str, Any]:
        """Take the fingerprint along: another machine might draw its own."""
        return {**self.__dict__, "fingerprint": self.fingerprint}

    @property
    def pipeline(self) -> Any:
        """The pipeline that draws, for measurements that take the weights."""
        return self._pipeline

    @functools.cached_property
    def _pipeline(self) -> Any:
        return self._acceleration.apply(self._given)

    @functools.cached_property
    def _image_to_image(self) -> ImageToImage:
        return ImageToImage(self._pipeline, self._call, self.probe_pictures[0].size)

    @functools.cached_property
    def _company(self) -> Company:
        with quietly():
            return company(self._trial_once, self._given.device)

    @functools.cached_property
    def _texts(self) -> PromptEncoder | None:
        """Texts encoded once each, if that is seen to change nothing."""
        if not PromptEncoder.suits(self._pipeline, self._call) or self._company != Company.ANY:
            return None
        texts = PromptEncoder(self._pipeline, self._call)
        with quietly():
            alike = draws_alike(self._trial_once, texts, self._given.device)
        self._tried.clear()
        return texts if alike else None

    def _trial_once(
        self, prompts: list[str], seeds: list[int], texts: PromptEncoder | None = None
    ) -> NDArray[Any]:
        """Draw as :meth:`_trial` does; what was drawn from plain texts is compared again."""
        if texts is not None:
            return self._trial(prompts, seeds, texts)
        asked = fingerprint_values(prompts=prompts, seeds=seeds)
        if asked not in self._tried:
            self._tried[asked] = self._trial(prompts, seeds)
        return self._tried[asked]

    def _trial(
        self, prompts: list[str], seeds: list[int], texts: PromptEncoder | None = None
    ) -> NDArray[Any]:
        accepted, _ = parameters_of(type(self._given))
        stages = {n for n in accepted if n.endswith("_num_inference_steps")}  # of a pipeline in two
        few = {n for n in stages if n.replace("num_inference_steps", "timesteps") not in self._call}
        few |= {"num_inference_steps"} & set(self._call)
        output = self._run(prompts, seeds, texts, **dict.fromkeys(few, TRIAL_STEPS))
        return np.stack([np.asarray(p) for p in pictures_of(self._name, output, prompts)])

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer queries in one call of the pipeline, see :meth:`generate`."""
        return in_one_call(self.generate, queries)

    def describe(self) -> dict[str, Any]:
        """Say what really runs, see :class:`privaudit.targets.Target`.

        It is asked of the pipeline that draws, so the changes of an :class:`Acceleration` are
        in it.
        """
        pipeline = self._pipeline
        described = {
            "class": type(self._given).__qualname__,
            "identity": self.fingerprint,
            "device": str(pipeline.device),
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            "call": {name: plain(value) for name, value in self._call.items()},
            "adapters": [*getattr(pipeline, "privaudit_fused", []), *adapters_of(pipeline)],
        }
        scheduler = getattr(pipeline, "scheduler", None)
        if scheduler is not None:
            described["scheduler"] = type(scheduler).__qualname__
        if self._acceleration.to_dict():
            described["acceleration"] = self._acceleration.to_dict()
        return described

    @property
    def capabilities(self) -> Capabilities:
        """Say that the pipeline is there to be looked into, timed, and asked with pictures."""
        return Capabilities(
            vary=self.vary,
            vary_once=self.vary_once,
            seconds_per_image=self.seconds_per_image,
            pipeline=lambda: self.pipeline,
            draws_as_base=self.draws_as_base,
            ignores_probe_prompts=self.ignores_probe_prompts,
        )

    def batch_size(self, wanted: int) -> int:
        """Round up to a size that gives the same images as any other, see ``padding``."""
        return rounded_batch_size(wanted, self._given.device)

    def seconds_per_image(self) -> float | None:
        """Estimate, from a few denoising steps, how long an image takes in a small batch."""
        steps = self._call.get("num_inference_steps")
        if steps is None:
            return None
        batch, _ = padded([""], self._given.device)
        if self._company == Company.NONE:
            batch = [""]
        # The first call warms up; the difference of the others is steps alone.
        took = {n: self._time(batch, n) for n in (2, 2, 4)}
        step = max(0.0, (took[4] - took[2]) / 2)
        seconds: float = took[2] + (steps - 2) * step
        return seconds / len(batch)

    def _time(self, prompts: list[str], steps: int) -> float:
        started = time.perf_counter()
        self._run(prompts, [0] * len(prompts), num_inference_steps=steps)
        return time.perf_counter() - started

    def _run(
        self,
        prompts: list[str],
        seeds: list[int],
        texts: PromptEncoder | None = None,
        **changes: Any,
    ) -> Any:
        """Call the pipeline; what it raises is a GeneratorError."""
        accepted, others = parameters_of(type(self._given))
        try:
            noise: Any = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            text: dict[str, Any] = {"prompt": prompts} if texts is None else texts.encode(prompts)
            call = self._call | changes
            negative = call.pop("negative_prompt", None)
            if texts is None and negative is not None:
                call["negative_prompt"] = [negative] * len(prompts)
            if texts is None and len(prompts) == 1:  # as anyone would ask, and some must be asked
                text, noise = {"prompt": prompts[0]}, noise[0]
                call |= {} if negative is None else {"negative_prompt": negative}
            if "output_type" in accepted or others:
                call.setdefault("output_type", "np")
            with evaluating(self._pipeline):
                return self._pipeline(**text, generator=noise, **call)
        except GeneratorError:
            raise
        except Exception as error:
            msg = (
                f"{self._name} raised {type(error).__name__} on a batch of {len(prompts)} "
                f"prompts, the first {prompts[0]!r}: {error}"
            )
            raise GeneratorError(msg) from error

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Generate in one call of the pipeline, each image from its own seeded noise.

        The noise is drawn on the CPU, so a seed means the same noise on every device. Where a
        query changes what is drawn for another in its batch, each has a call of its own; where
        only another text does, each text.

        Raises
        ------
        GeneratorError
            If the pipeline raises, a pixel is not finite, or a safety checker blanked an image.
        """
        asked = list(zip(prompts, seeds, strict=True))
        return drawn_in_company(
            asked, prompts, self._company, lambda one: self._alone(*one), self._draw
        )

    def vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw pictures anew, each from its own seeded noise, see :class:`ImageToImage`.

        Raises
        ------
        GeneratorError
            If the pipeline has no image-to-image form, and as of :meth:`generate`.
        """
        return self._image_to_image.vary(images, prompts, seeds, strength)

    def vary_once(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw each picture anew in one step, see :meth:`ImageToImage.vary_once`.

        Raises
        ------
        GeneratorError
            As of :meth:`vary`.
        """
        return self._image_to_image.vary_once(images, prompts, seeds, strength)

    def _draw(self, asked: list[tuple[str, int]]) -> list[Image.Image]:
        batch, n = padded(asked, self._given.device)
        prompts, seeds = [prompt for prompt, _ in batch], [seed for _, seed in batch]
        return pictures_of(self._name, self._run(prompts, seeds, self._texts), prompts, n)

    def _alone(self, prompt: str, seed: int) -> Image.Image:
        (picture,) = pictures_of(self._name, self._run([prompt], [seed]), [prompt])
        return picture
