"""Pipelines in folders, which are known by their files and loaded when they must draw."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.batching import rounded_batch_size
from privaudit.device import chosen_device
from privaudit.errors import GeneratorError
from privaudit.files import read_object
from privaudit.fingerprint import fingerprint_files, fingerprint_values, library_versions
from privaudit.hub import describe_missing
from privaudit.targets.arguments import (
    DTYPES,
    FROM_PRETRAINED,
    LIBRARIES,
    OWN,
    check_keywords,
    plain,
    several,
    weighted,
)
from privaudit.targets.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import torch
    from PIL import Image

    from privaudit.targets.acceleration import Acceleration
    from privaudit.targets.arguments import Adapters
    from privaudit.targets.pipeline import PipelineTarget
    from privaudit.targets.queries import Answer, Query

__all__ = ["SavedPipeline", "SavedTarget"]

LOADERS = (*LIBRARIES, "peft")
"""Whose versions decide what is made of the files, and what it draws; peft where it is there."""
NAMED = (*DTYPES, "variant")
"""Arguments of ``from_pretrained`` whose texts name nothing outside the folder."""


class SavedPipeline:
    """A diffusers text-to-image pipeline in a folder, loaded when it is first needed.

    It takes what :func:`privaudit.load_pipeline` takes, and is given to an audit in place of
    what that returns. Where all images are stored, the audit then neither loads the model nor
    imports diffusers. A pipeline's images are kept under the hash of its weights, those of this
    one under the hash of its files: neither finds the images of the other.

    Parameters
    ----------
    base
        Folder of a whole pipeline, or a single file.
    config, unet, transformer, lora, textual_inversion, biases, device
        As of :func:`privaudit.load_pipeline`, but files and folders only.
    call
        Further arguments of the pipeline's call, plain values, such as
        ``{"true_cfg_scale": 4.0}``; they overrule those of the audit's settings.
    **from_pretrained
        Passed on: numbers, truth values, ``None``, a ``dtype`` and a ``variant``. Anything else
        might be more than its name tells.

    Raises
    ------
    GeneratorError
        If there is no such file or folder, or an argument might be more than its name tells.
    """

    def __init__(
        self,
        base: str | Path,
        *,
        config: str | Path | None = None,
        unet: str | Path | None = None,
        transformer: str | Path | None = None,
        lora: Adapters = None,
        textual_inversion: str | Path | Sequence[str | Path] | None = None,
        biases: str | Path | None = None,
        device: str | torch.device | None = None,
        call: dict[str, Any] | None = None,
        **from_pretrained: Any,
    ) -> None:
        parts = {
            "base": base,
            "config": config,
            "unet": unet,
            "transformer": transformer,
            "biases": biases,
        }
        self._paths = {name: Path(path) for name, path in parts.items() if path is not None}
        self._loras = {Path(path): scale for path, scale in weighted(lora).items()}
        self._bare = lora is not None and not self._loras
        self._inversions = [Path(path) for path in several(textual_inversion)]
        for name, path in self._files.items():
            if not path.exists():
                msg = (
                    f"{name} {str(path)!r} {describe_missing(path)}. Of a model on the hub, give "
                    "what huggingface_hub.snapshot_download returned, or use "
                    "privaudit.load_pipeline"
                )
                raise GeneratorError(msg)
        self._check_keywords(from_pretrained)
        for name, value in from_pretrained.items():
            bare = value is None or isinstance(value, (bool, int, float))
            if not bare and not (name in NAMED and re.fullmatch(r"[\w.-]+", str(value))):
                msg = (
                    f"{name} of a SavedPipeline is a {type(value).__name__}, which no hash of "
                    "files can tell from another: use privaudit.load_pipeline"
                )
                raise GeneratorError(msg)
        self.call = dict(call or {})
        if (called := plain(self.call)) != self.call:
            msg = f"call of a SavedPipeline is {called}, which no hash tells from another: give "
            msg += "plain values, or use privaudit.load_pipeline"
            raise GeneratorError(msg)
        self._from_pretrained = from_pretrained
        self.device = chosen_device(device)
        """Where it runs, or will."""

    def _check_keywords(self, from_pretrained: Collection[str]) -> None:
        """Check that somebody reads each; diffusers is imported for those that its index lacks."""
        index = self._index()
        kinds: list[Any] = []
        if set(from_pretrained) - {*index, *OWN, *FROM_PRETRAINED}:
            import diffusers

            kinds.append(getattr(diffusers, str(index.get("_class_name")), None))
        check_keywords("SavedPipeline", from_pretrained, index, kinds)

    def _index(self) -> dict[str, Any]:
        """Return what the folder says that the pipeline is made of; nothing if it does not."""
        folder = self._paths.get("config", self._paths["base"])
        try:
            return read_object(folder / "model_index.json", GeneratorError)
        except GeneratorError:
            return {}

    @property
    def privaudit_fine_tuned(self) -> list[Path]:
        """Files and folders of what was put into the base; of the whole, if nothing was."""
        parts = [path for name, path in self._files.items() if name not in ("base", "config")]
        return parts or [self._paths["base"]]

    def arguments(self) -> dict[str, Any]:
        """Return what makes the same object again, on a device of the same kind, in plain values.

        A dtype of torch is its name; paths are absolute.
        """
        return {
            **{name: str(path.absolute()) for name, path in self._paths.items()},
            "lora": {str(path.absolute()): scale for path, scale in self._loras.items()}
            if self._loras or self._bare
            else None,
            "textual_inversion": [str(path.absolute()) for path in self._inversions],
            **{
                name: value
                if value is None or isinstance(value, (bool, int, float))
                else str(value).removeprefix("torch.")
                for name, value in self._from_pretrained.items()
            },
            "device": self.device.type,
            "call": self.call,
        }

    @property
    def _files(self) -> dict[str, Path]:
        """All files and folders, by what they are; of several of a kind, with a number."""

        def named(name: str, paths: Collection[Path]) -> dict[str, Path]:
            one = len(paths) == 1
            return {name if one else f"{name} {n}": path for n, path in enumerate(paths, 1)}

        adapters = named("lora", self._loras) | named("textual_inversion", self._inversions)
        return self._paths | adapters

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the files, and of how they are loaded."""
        return self._read()

    @property
    def base(self) -> SavedPipeline | None:
        """The same without what was fine-tuned; ``None`` if nothing but words was put in."""
        whole = {name: path for name, path in self._paths.items() if name in ("base", "config")}
        if len(self._paths) == len(whole) and not self._loras:
            return None
        how: dict[str, Any] = {"device": self.device, "call": self.call, **self._from_pretrained}
        return SavedPipeline(lora={}, **how | whole)

    @functools.cached_property
    def pipeline(self) -> Any:
        """The pipeline, loaded now if it was not before.

        Raises
        ------
        GeneratorError
            If it cannot be loaded, or its files are not those that were hashed.
        """
        from privaudit.targets.loading import load_pipeline

        expected = self.fingerprint
        paths: dict[str, Any] = dict(self._paths)
        loaded = load_pipeline(
            **paths,
            lora={str(path): scale for path, scale in self._loras.items()}
            if self._loras or self._bare
            else None,
            textual_inversion=self._inversions or None,
            device=self.device,
            **self._from_pretrained,
        )
        if self._read() != expected:
            base = str(self._paths["base"])
            msg = f"the files of {base!r} changed while it was audited: run the audit again"
            raise GeneratorError(msg)
        return loaded

    def describe(self) -> dict[str, Any]:
        """Say what the files and arguments tell, without loading anything."""
        index = self._index()
        described = {
            "class": index.get("_class_name", type(self).__name__),
            "device": str(self.device),
            "files": {name: str(path) for name, path in self._files.items()},
            "from_pretrained": {name: str(value) for name, value in self._from_pretrained.items()},
        }
        if "scheduler" in index:
            described["scheduler"] = index["scheduler"][-1]
        return described

    def _read(self) -> str:
        try:
            files = {name: fingerprint_files(path) for name, path in self._files.items()}
        except OSError as error:
            msg = (
                f"the files of {str(self._paths['base'])!r} cannot be read ({error}): check their "
                "permissions, and links that lead nowhere"
            )
            raise GeneratorError(msg) from error
        return fingerprint_values(
            files=files,
            scales=list(self._loras.values()),
            arguments={name: str(value) for name, value in self._from_pretrained.items()},
            device=self.device.type,
            libraries=library_versions(*LOADERS),
        )


class SavedTarget:
    """A :class:`SavedPipeline` as a target.

    Parameters
    ----------
    saved
        The pipeline.
    num_inference_steps, guidance_scale, acceleration
        As of :class:`privaudit.PipelineTarget`.
    """

    persistent = True

    def __init__(
        self,
        saved: SavedPipeline,
        *,
        num_inference_steps: int | None,
        guidance_scale: float | None,
        acceleration: Acceleration | None,
    ) -> None:
        self._saved = saved
        self._call: dict[str, Any] = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            **saved.call,
        }
        self._acceleration = acceleration
        self.fingerprint = fingerprint_values(
            saved=saved.fingerprint,
            call=self._call,
            acceleration=acceleration.to_dict() if acceleration else {},
            # What another scheduler drew while it clipped by its own default answers nothing.
            **({"clips": "as its own"} if acceleration and acceleration.scheduler else {}),
        )

    @property
    def capabilities(self) -> Capabilities:
        """As of :class:`privaudit.PipelineTarget`; the pipeline is loaded when one is used."""
        return Capabilities(
            pace=self._pace,
            vary=self.vary,
            vary_once=self.vary_once,
            seconds_per_image=self.seconds_per_image,
            pipeline=lambda: self.pipeline,
            draws_as_base=self.draws_as_base,
            ignores_probe_prompts=self.ignores_probe_prompts,
        )

    @property
    def _pace(self) -> str:
        """What all fine-tunes of one base that are called likewise have in common."""
        base = self._saved.arguments()["base"]
        arguments = self._acceleration.to_dict() if self._acceleration else {}
        return fingerprint_values(base=base, call=self._call, acceleration=arguments)

    @functools.cached_property
    def _target(self) -> PipelineTarget:
        from privaudit.targets.pipeline import PipelineTarget

        return PipelineTarget(self._saved.pipeline, acceleration=self._acceleration, **self._call)

    def __getstate__(self) -> dict[str, Any]:
        """Take the model along: where this is unpickled, its files may not be."""
        return {**self.__dict__, "_target": self._target}

    def batch_size(self, wanted: int) -> int:
        """Round as :class:`privaudit.PipelineTarget` does, which takes no model."""
        return rounded_batch_size(wanted, self._saved.device)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer as :class:`privaudit.PipelineTarget` does."""
        return self._target.answer(queries)

    def describe(self) -> dict[str, Any]:
        """Say what really runs if it is loaded, and else what the files and arguments tell.

        Nothing is loaded for it: where all images were stored, nothing ran.
        """
        given = {name: value for name, value in self._call.items() if value is not None}
        loaded = self._target.describe() if "_target" in vars(self) else {}
        return self._saved.describe() | {"call": given} | loaded | {"identity": self.fingerprint}

    @property
    def pipeline(self) -> Any:
        """As of :class:`privaudit.PipelineTarget`: the pipeline is loaded for it."""
        return self._target.pipeline

    @property
    def probe(self) -> str:
        """As of :class:`privaudit.PipelineTarget`: the pipeline is loaded for it."""
        return self._target.probe

    def ignores_probe_prompts(self) -> bool:
        """As of :class:`privaudit.PipelineTarget`: the pipeline is loaded for it."""
        return self._target.ignores_probe_prompts()

    def draws_as_base(self, base: Any = None) -> bool | None:
        """As of :class:`privaudit.PipelineTarget`: both pipelines are loaded for it."""
        return self._target.draws_as_base(base)

    def seconds_per_image(self) -> float | None:
        """Estimate the time of an image, from a few denoising steps."""
        return self._target.seconds_per_image()

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Generate as :class:`privaudit.PipelineTarget` does."""
        return self._target.generate(prompts, seeds)

    def vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw pictures anew as :class:`privaudit.PipelineTarget` does."""
        return self._target.vary(images, prompts, seeds, strength)

    def vary_once(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Draw each picture anew in one step, see :meth:`PipelineTarget.vary_once`."""
        return self._target.vary_once(images, prompts, seeds, strength)
