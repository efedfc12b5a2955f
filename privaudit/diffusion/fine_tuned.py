"""A finished fine-tune, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.diffusion.dp_statement import write_statement
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from privaudit.diffusion.dp_statement import DpStatement

__all__ = ["BIASES_FILE", "FineTuned", "with_parts"]

BIASES_FILE = "unet_biases.safetensors"


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

        That is the LoRA adapter, the bias terms, a ``unet`` folder or, with a text encoder that
        was trained too, the whole pipeline.
        """
        folder = Path(folder)
        if self.method == "lora":
            self.save_lora(folder)
        elif self.method == "bias":
            self.save_biases(folder)
        else:
            part = self.pipeline if self.trained_text else self.pipeline.unet
            part.save_pretrained(folder if self.trained_text else folder / "unet")
            self._state(folder)

    def save_lora(self, folder: str | Path) -> None:
        """Write the LoRA adapter as ``pytorch_lora_weights.safetensors``, as diffusers reads it.

        Raises
        ------
        FineTuneError
            If the pipeline was fine-tuned whole and has no adapter.
        """
        from peft import get_peft_model_state_dict

        # Compiled, its layers have other names, which no loader knows.
        unet = getattr(self.pipeline.unet, "_orig_mod", self.pipeline.unet)
        if not getattr(unet, "peft_config", None):
            msg = "no LoRA adapter in this pipeline: it was fine-tuned whole, save it instead"
            raise FineTuneError(msg)
        layers = {
            name: value.to(torch.float16) for name, value in get_peft_model_state_dict(unet).items()
        }
        self.pipeline.save_lora_weights(folder, unet_lora_layers=layers)
        self._state(Path(folder))

    def save_biases(self, folder: str | Path) -> None:
        """Write the U-Net's bias terms as ``unet_biases.safetensors``, float16.

        ``privaudit.load_pipeline(base, biases=folder)`` puts them back into the base.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        unet = getattr(self.pipeline.unet, "_orig_mod", self.pipeline.unet)
        biases = {
            name: value.half().contiguous()
            for name, value in unet.state_dict().items()
            if name.endswith("bias")
        }
        save_file(biases, folder / BIASES_FILE)
        self._state(folder)

    def _state(self, folder: Path) -> None:
        """Write beside the weights what DP-SGD did, if it was used."""
        if self.statement is not None:
            write_statement(folder, self.statement)


def with_parts(pipeline: Any, **parts: Any) -> Any:
    """Build a pipeline of the same class with some parts replaced."""
    components = pipeline.components | parts
    # Not a component, but an argument all the same: without it diffusers warns at every load.
    if "requires_safety_checker" in pipeline.config:
        components["requires_safety_checker"] = pipeline.config.requires_safety_checker
    new = type(pipeline)(**components)
    new.set_progress_bar_config(**getattr(pipeline, "_progress_bar_config", {}))
    return new
