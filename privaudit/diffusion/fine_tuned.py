"""A finished fine-tune, and how it is written down."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.dp_statement import write_statement
from privaudit.diffusion.families import family_of
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from privaudit.diffusion.dp_statement import DpStatement

__all__ = ["BIASES_FILE", "FineTuned", "check_lora_file", "with_parts"]

BIASES_FILE = "{part}_biases.safetensors"
"""Where a denoiser's biases are; ``part`` is ``unet`` or ``transformer``."""


@dataclass(frozen=True)
class FineTuned:
    """A finished fine-tune.

    Attributes
    ----------
    pipeline
        A new pipeline of the same class; everything not trained is shared with the original.
    losses
        Mean squared error of each optimisation step, in order.
    epsilon, delta
        The privacy actually spent, or ``None`` without DP-SGD.
    noise_multiplier
        Standard deviation of the privacy noise over ``max_grad_norm``, or ``None``.
    trained_parameters
        How many parameters were trained.
    method
        ``"lora"``, ``"full"`` or ``"bias"``.
    statement
        All that DP-SGD did, which :meth:`save` and the others write beside the weights.
    trained_text
        Whether the text encoder was trained too.
    """

    pipeline: Any
    losses: tuple[float, ...]
    trained_parameters: int
    epsilon: float | None = None
    delta: float | None = None
    noise_multiplier: float | None = None
    method: str = "lora"
    statement: DpStatement | None = None
    trained_text: bool = False

    def save(self, folder: str | Path) -> None:
        """Write what was trained, in the layout of diffusers' scripts.

        That is the LoRA adapter, the bias terms, a ``unet`` or ``transformer`` folder or, with a
        text encoder that was trained too, the whole pipeline.
        """
        folder = Path(folder)
        if self.method == "lora":
            self.save_lora(folder)
        elif self.method == "bias":
            self.save_biases(folder)
        else:
            part, denoiser = _denoiser_of(self.pipeline)
            whole = self.pipeline if self.trained_text else denoiser
            whole.save_pretrained(folder if self.trained_text else folder / part)
            self._state(folder)

    def save_lora(self, folder: str | Path) -> None:
        """Write the LoRA adapter as ``pytorch_lora_weights.safetensors``, as diffusers reads it.

        Raises
        ------
        FineTuneError
            If the pipeline was fine-tuned whole and has no adapter, or diffusers reads none into
            a pipeline of its class.
        """
        from peft import get_peft_model_state_dict

        part, denoiser = _denoiser_of(self.pipeline)
        check_lora_file(self.pipeline, part)
        if not getattr(denoiser, "peft_config", None):
            msg = "no LoRA adapter in this pipeline: it was fine-tuned whole, save it instead"
            raise FineTuneError(msg)
        layers = {
            name: value.to(torch.float16)
            for name, value in get_peft_model_state_dict(denoiser).items()
        }
        self.pipeline.save_lora_weights(folder, **{f"{part}_lora_layers": layers})
        self._state(Path(folder))

    def save_biases(self, folder: str | Path) -> None:
        """Write the denoiser's bias terms, float16, as ``unet_biases.safetensors`` or
        ``transformer_biases.safetensors``.

        ``privaudit.load_pipeline(base, biases=folder)`` puts them back into the base.
        """  # noqa: D205
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        part, denoiser = _denoiser_of(self.pipeline)
        biases = {
            name: value.half().contiguous()
            for name, value in denoiser.state_dict().items()
            if name.endswith("bias")
        }
        save_file(biases, folder / BIASES_FILE.format(part=part))
        self._state(folder)

    def _state(self, folder: Path) -> None:
        """Write beside the weights what DP-SGD did, if it was used."""
        if self.statement is not None:
            write_statement(folder, self.statement)


def check_lora_file(pipeline: Any, part: str) -> None:
    """Refuse a pipeline whose adapters cannot be written to a file that diffusers reads.

    Raises
    ------
    FineTuneError
        If diffusers reads none into a pipeline of its class.
    """
    if not hasattr(pipeline, "save_lora_weights"):
        msg = (
            f"diffusers reads no LoRA file into a {type(pipeline).__name__}: save the adapter "
            f"with pipeline.{part}.save_pretrained, or fine-tune with method='full'"
        )
        raise FineTuneError(msg)


def _denoiser_of(pipeline: Any) -> tuple[str, Any]:
    part = family_of(pipeline).part
    denoiser = getattr(pipeline, part)
    # Compiled, its layers have other names, which no loader knows.
    return part, getattr(denoiser, "_orig_mod", denoiser)


def with_parts(pipeline: Any, **parts: Any) -> Any:
    """Build a pipeline of the same class with some parts replaced."""
    components = pipeline.components | parts
    # Not components, but arguments all the same, such as SDXL's force_zeros_for_empty_prompt.
    taken = inspect.signature(type(pipeline).__init__).parameters
    others = {n: v for n, v in pipeline.config.items() if n in taken and n not in components}
    new = type(pipeline)(**components, **others)
    new.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return new
