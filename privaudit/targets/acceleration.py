"""Ways to run a pipeline faster, each of which may change its images: off unless asked for."""

from __future__ import annotations

import copy
import inspect
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from privaudit.settings import AuditSettings

__all__ = ["Acceleration"]


@dataclass(frozen=True)
class Acceleration:
    """What to change of a pipeline before it generates.

    Parameters
    ----------
    scheduler
        Class of diffusers' scheduler to put in its place, made from its configuration.
    dtype
        Name of the dtype to cast all weights to.
    channels_last
        Whether convolutions get channels-last memory, which GPUs with tensor cores prefer.
    compile
        Whether the denoiser is compiled with :func:`torch.compile`: minutes at first, for a
        denoiser that is then quicker by a third or so on a GPU.
    """

    scheduler: str | None = None
    dtype: str | None = None
    channels_last: bool = False
    compile: bool = False

    @classmethod
    def of(cls, settings: AuditSettings) -> Acceleration:
        """Read it off the settings of an audit."""
        return cls(settings.scheduler, settings.dtype, settings.channels_last, settings.compile)

    def to_dict(self) -> dict[str, Any]:
        """Return what is asked for, by name: empty when nothing is."""
        return {name: value for name, value in asdict(self).items() if value}

    def apply(self, pipeline: Any) -> Any:
        """Return a pipeline with these changes; the one given, and its weights, stay as they are.

        Weights that must change are copied, so a cast or a new memory format takes memory for
        both: load the pipeline in half precision to have it once.

        Raises
        ------
        GeneratorError
            If diffusers has no such scheduler, or the pipeline has no place for it.
        """
        if not self.to_dict():
            return pipeline
        import torch

        parts: dict[str, Any] = {}
        if self.scheduler is not None:
            if getattr(pipeline, "scheduler", None) is None:
                msg = f"{type(pipeline).__name__} has no scheduler to put {self.scheduler!r} in for"
                raise GeneratorError(msg)
            parts["scheduler"] = _scheduler(self.scheduler, pipeline.scheduler.config)
        for name, part in pipeline.components.items():
            if not isinstance(part, torch.nn.Module):
                continue
            if self.dtype is not None or self.channels_last:
                part = copy.deepcopy(part)  # noqa: PLW2901
            if self.dtype is not None:
                part = part.to(getattr(torch, self.dtype))  # noqa: PLW2901
            if self.channels_last:
                part = part.to(memory_format=torch.channels_last)  # noqa: PLW2901
            if self.compile and name in ("unet", "transformer"):
                part = torch.compile(part)  # noqa: PLW2901
            parts[name] = part
        return _with_parts(pipeline, parts)


def _with_parts(pipeline: Any, parts: dict[str, Any]) -> Any:
    """Return a pipeline with other parts; the one given keeps its own."""
    inner = [value for value in vars(pipeline).values() if hasattr(value, "components")]
    if not inner:
        # Shallow: components that are put in place are put into the copy alone.
        changed = copy.copy(pipeline)
        for name, part in parts.items():
            setattr(changed, name, part)
        return changed
    # A combined pipeline makes pipelines of its parts, which would go on with the old ones.
    try:
        changed = type(pipeline)(**pipeline.components | parts)
    except TypeError as error:
        msg = (
            f"{type(pipeline).__name__} has {len(inner)} pipelines inside, which no setting "
            f"reaches ({error}): change them in the audit file, and leave scheduler, dtype, "
            "channels_last and compile out"
        )
        raise GeneratorError(msg) from error
    changed.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return changed


def _scheduler(name: str, config: Any) -> Any:
    import diffusers

    kind = getattr(diffusers, name, None)
    if kind is None or not issubclass(kind, diffusers.SchedulerMixin):
        msg = f"diffusers has no scheduler {name!r}: name a class, such as UniPCMultistepScheduler"
        raise GeneratorError(msg)
    # A scheduler that does not say whether it clips does not; DDIM and DDPM do by default, and of
    # latents nothing is left then that anybody would recognise.
    takes = "clip_sample" in inspect.signature(kind.__init__).parameters
    unsaid = {"clip_sample": False} if takes and "clip_sample" not in config else {}
    return kind.from_config(config, **unsaid)
