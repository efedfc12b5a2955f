"""Diffusers pipelines as targets."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from privaudit.batching import padded, rounded_batch_size
from privaudit.device import chosen_device
from privaudit.diffusion.adapters import ADAPTER_STATES, adapters_of, check_active, fuse_adapter
from privaudit.diffusion.prompts import PromptEncoder
from privaudit.errors import GeneratorError
from privaudit.fingerprint import fingerprint_module, fingerprint_values, library_versions
from privaudit.targets.acceleration import Acceleration
from privaudit.targets.queries import in_one_call

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.targets.queries import Answer, Query

__all__ = ["PipelineTarget", "load_pipeline"]

LIBRARIES = ("torch", "diffusers", "transformers")
"""Whose versions are part of what determines an image."""
DTYPES = ("dtype", "torch_dtype")
"""What newer and older versions of diffusers call a dtype."""


def load_pipeline(
    base: str | Path,
    *,
    unet: Any = None,
    transformer: Any = None,
    lora: str | Path | None = None,
    biases: str | Path | None = None,
    device: str | torch.device | None = None,
    **from_pretrained: Any,
) -> Any:
    """Load a diffusers text-to-image pipeline, with a LoRA adapter fused into it.

    Parameters
    ----------
    base
        Hub name or local folder of a whole pipeline.
    unet, transformer
        Folder of a fine-tuned denoiser to put in place of the base's; or the denoiser itself.
    lora
        Hub name, folder or file of a LoRA, in the layout of diffusers, peft, kohya, or another
        that diffusers converts.
    biases
        Folder that ``FineTuned.save_biases`` of :mod:`privaudit.diffusion.fine_tuning` wrote.
    device
        Where to run; by default a GPU when there is one.
    **from_pretrained
        Passed on, such as ``dtype=torch.float16``. A CPU gets float32 unless told.

    Returns
    -------
    diffusers.DiffusionPipeline
        Ready to generate, without its own progress bar.

    Raises
    ------
    GeneratorError
        If there is no such pipeline or adapter; if the pipeline has no such part; if a key of
        the adapter is not used, or no weight changed by it.

    Examples
    --------
    In the folder of this repository:

    >>> pipeline = load_pipeline("audits/models/base", lora="audits/models/shadow", device="cpu")
    >>> type(pipeline).__name__
    'StableDiffusionPipeline'
    """
    from diffusers import AutoPipelineForText2Image

    device = chosen_device(device)
    if not set(DTYPES) & set(from_pretrained) and device.type == "cpu":
        from_pretrained[_dtype_argument()] = torch.float32
    fused: list[dict[str, Any]] = []
    try:
        for name, part in (("unet", unet), ("transformer", transformer)):
            if isinstance(part, (str, Path)):
                dtypes = {k: v for k, v in from_pretrained.items() if k in DTYPES}
                from_pretrained[name] = _model_class(Path(part)).from_pretrained(part, **dtypes)
            elif part is not None:
                from_pretrained[name] = part
        pipeline = AutoPipelineForText2Image.from_pretrained(base, **from_pretrained)
        _check_used(pipeline, from_pretrained)
        if lora is not None:
            fused = fuse_adapter(pipeline, lora)
        if biases is not None:
            _put_biases(pipeline.unet, Path(biases))
    except (OSError, ValueError) as error:
        extra = "".join(
            f" with {name} {str(given)!r}"
            for name, given in (
                ("U-Net", unet),
                ("transformer", transformer),
                ("LoRA", lora),
                ("biases", biases),
            )
            if isinstance(given, (str, Path))
        )
        msg = (
            f"pipeline {str(base)!r}{extra} cannot be loaded ({str(error).splitlines()[0]}): "
            "check the folder or hub name"
        )
        raise GeneratorError(msg) from error
    pipeline.set_progress_bar_config(disable=True)
    pipeline.privaudit_fused = fused
    return pipeline.to(device)


def _model_class(folder: Path) -> Any:
    """Return the class of diffusers that a folder was saved by."""
    import diffusers

    config = folder / "config.json"
    named = json.loads(config.read_text()).get("_class_name", "") if config.exists() else ""
    return getattr(diffusers, named, diffusers.UNet2DConditionModel)


def _check_used(pipeline: Any, parts: dict[str, Any]) -> None:
    """Check that a pipeline took the models it was given: diffusers passes over others."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module) and getattr(pipeline, name, None) is not part:
            there = [n for n, p in pipeline.components.items() if isinstance(p, torch.nn.Module)]
            msg = (
                f"{type(pipeline).__name__} has no {name}, so the one given would not be audited: "
                f"its models are {', '.join(there)}"
            )
            raise GeneratorError(msg)


def _dtype_argument() -> str:
    """Name it as the installed diffusers does: 0.42 warns of the older name."""
    major, minor = importlib.metadata.version("diffusers").split(".")[:2]
    return "dtype" if (int(major), int(minor)) >= (0, 42) else "torch_dtype"


def _put_biases(unet: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    from privaudit.diffusion.fine_tuning import BIASES_FILE

    file = folder / BIASES_FILE
    found = load_file(file)
    wanted = {name: p.shape for name, p in unet.named_parameters() if name.endswith("bias")}
    if {name: value.shape for name, value in found.items()} != wanted:
        msg = f"{file} holds {len(found)} biases that are not those of this U-Net"
        raise ValueError(msg)
    unet.load_state_dict(found, strict=False)


class PipelineTarget:
    """A diffusers text-to-image pipeline as a target.

    Parameters
    ----------
    pipeline
        The pipeline; it runs on the device it is on.
    num_inference_steps
        Denoising steps.
    guidance_scale
        Weight of classifier-free guidance; 1 or less turns it off.
    acceleration
        Changes to a copy of the pipeline, see :class:`Acceleration`; none by default.
    allow_inactive_adapters
        Audit a pipeline whose adapters are all switched off, or have scale 0.
    **call
        Further arguments of the pipeline's call, such as ``height`` or ``negative_prompt``.

    Raises
    ------
    GeneratorError
        If ``pipeline`` does not take a prompt, ``call`` names an argument it lacks, or none of
        its adapters has an effect.
    """

    persistent = True

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int = 30,
        guidance_scale: float = 7.5,
        acceleration: Acceleration | None = None,
        allow_inactive_adapters: bool = False,
        **call: Any,
    ) -> None:
        accepted = inspect.signature(type(pipeline).__call__).parameters
        unknown = [name for name in ("prompt", "generator", *call) if name not in accepted]
        if unknown:
            msg = f"{type(pipeline).__name__} takes no {', '.join(unknown)}: is it text-to-image?"
            raise GeneratorError(msg)
        wanted = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            **call,
        }
        if not allow_inactive_adapters:
            check_active(pipeline, call)
        self._given = pipeline
        self._acceleration = acceleration or Acceleration()
        self._call = {name: value for name, value in wanted.items() if name in accepted}
        self.fingerprint = fingerprint_values(
            components={
                name: _fingerprint_component(component)
                for name, component in pipeline.components.items()
            },
            pipeline=type(pipeline).__qualname__,
            call=self._call,
            acceleration=self._acceleration.to_dict(),
            device=pipeline.device.type,
            libraries=library_versions(*LIBRARIES),
        )

    @functools.cached_property
    def _pipeline(self) -> Any:
        return self._acceleration.apply(self._given)

    @functools.cached_property
    def _texts(self) -> PromptEncoder | None:
        suits = PromptEncoder.suits(self._pipeline, self._call)
        return PromptEncoder(self._pipeline, self._call) if suits else None

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
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

    def batch_size(self, wanted: int) -> int:
        """Round up to a size that gives the same images as any other, see ``padding``."""
        return rounded_batch_size(wanted, self._given.device)

    def seconds_per_image(self) -> float | None:
        """Estimate, from a few denoising steps, how long an image takes in a small batch."""
        steps = self._call.get("num_inference_steps")
        if steps is None:
            return None
        batch, _ = padded([""], self._given.device)
        # The first call warms up; the difference of the others is steps alone.
        took = {n: self._time(batch, n) for n in (2, 2, 4)}
        step = max(0.0, (took[4] - took[2]) / 2)
        seconds: float = took[2] + (steps - 2) * step
        return seconds / len(batch)

    def _time(self, prompts: list[str], steps: int) -> float:
        started = time.perf_counter()
        self._run(prompts, [0] * len(prompts), num_inference_steps=steps)
        return time.perf_counter() - started

    def _run(self, prompts: list[str], seeds: list[int], **changes: Any) -> Any:
        """Call the pipeline; what it raises is a GeneratorError."""
        name = type(self._given).__name__
        try:
            text = {"prompt": prompts} if self._texts is None else self._texts.encode(prompts)
            call = self._call | changes
            negative = call.pop("negative_prompt", None)
            if self._texts is None and negative is not None:
                call["negative_prompt"] = [negative] * len(prompts)
            return self._pipeline(
                **text,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="np",
                **call,
            )
        except GeneratorError:
            raise
        except Exception as error:
            msg = (
                f"{name} raised {type(error).__name__} on a batch of {len(prompts)} prompts, the "
                f"first {prompts[0]!r}: {error}"
            )
            raise GeneratorError(msg) from error

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Generate in one call of the pipeline, each image from its own seeded noise.

        The noise is drawn on the CPU, so a seed means the same noise on every device.

        Raises
        ------
        GeneratorError
            If the pipeline raises, a pixel is not finite, or a safety checker blanked an image.
        """
        name = type(self._given).__name__
        batch, n = padded(list(zip(prompts, seeds, strict=True)), self._given.device)
        output = self._run([prompt for prompt, _ in batch], [seed for _, seed in batch])
        pixels = np.asarray(output.images)[:n]
        finite = np.isfinite(pixels).all(axis=(1, 2, 3))
        if not finite.all():
            msg = (
                f"{int((~finite).sum())} of {n} images of {name} have NaN pixels, the first for "
                f"prompt {prompts[int(finite.argmin())]!r}: load the pipeline in float32"
            )
            raise GeneratorError(msg)
        blanked = sum(map(bool, (getattr(output, "nsfw_content_detected", None) or [])[:n]))
        if blanked:
            msg = (
                f"the safety checker of {name} blanked {blanked} of {n} images, and a black image "
                "hides what was memorised: load the pipeline with safety_checker=None"
            )
            raise GeneratorError(msg)
        return [Image.fromarray(image) for image in (pixels * 255).round().astype(np.uint8)]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what it cannot is named by its ``repr``."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    return repr(value)


def _fingerprint_component(component: Any) -> Any:
    if isinstance(component, torch.nn.Module):
        # An adapter's scale and whether it is on are not in the state dict. Asked of the class: to
        # ask each of a thousand layers takes longer than to hash them.
        adapters = [
            [name, *(getattr(layer, state, None) for state in ("scaling", *ADAPTER_STATES))]
            for name, layer in component.named_modules()
            if all(hasattr(type(layer), state) for state in ADAPTER_STATES)
        ]
        dtype = str(next((p.dtype for p in component.parameters()), None))
        return [
            fingerprint_module(component),
            _settings(getattr(component, "config", None)),
            dtype,
            adapters,
        ]
    if hasattr(component, "get_vocab"):
        return [type(component).__qualname__, component.get_vocab(), component.model_max_length]
    if hasattr(component, "config"):
        return [type(component).__qualname__, _settings(component.config)]
    return repr(type(component))


def _settings(config: Any) -> dict[str, Any]:
    """Return a component's configuration, but for where it came from and who wrote it.

    Names with an underscore are diffusers' own notes, one of which is a set in no order.
    """
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config or {})
    notes = ("_", "transformers_version")
    return {name: value for name, value in values.items() if not name.startswith(notes)}
