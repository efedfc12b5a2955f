"""All that decides what a fine-tune does, beside the base and the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from privaudit.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.training.dp_sgd import DifferentialPrivacy

__all__ = ["Recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of :class:`privaudit.FineTune`, which describes them.

    Raises
    ------
    SettingError
        If a setting is out of range, or does not go with another.
    """

    method: Literal["lora", "full", "bias"] = "lora"
    steps: int = 1000
    batch_size: int = 4
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-4
    lr_scheduler: str = "constant"
    lora_rank: int = 16
    lora_targets: Sequence[str] | None = None
    resolution: int | tuple[int, int] | None = None
    gradient_checkpointing: bool = False
    train_text_encoder: bool = False
    caption_dropout: float = 0.1
    ema_decay: float | None = None
    differential_privacy: DifferentialPrivacy | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before anything is."""
        if self.method not in ("lora", "full", "bias"):
            msg = f"method={self.method!r} is unknown: use 'lora', 'full' or 'bias'"
            raise SettingError(msg)
        for name in ("steps", "batch_size", "gradient_accumulation_steps"):
            value = getattr(self, name)
            if not value >= 1:
                msg = f"{name}={value} is below 1: give a positive whole number"
                raise SettingError(msg)
        if not 0 <= self.caption_dropout < 1:
            msg = f"caption_dropout={self.caption_dropout} is outside [0, 1)"
            raise SettingError(msg)
        if self.train_text_encoder and self.method != "full":
            msg = "train_text_encoder=True goes with method='full' only"
            raise SettingError(msg)
        if self.differential_privacy is not None and self.gradient_accumulation_steps > 1:
            msg = (
                f"gradient_accumulation_steps={self.gradient_accumulation_steps} under DP-SGD: a "
                "step is one Poisson sample there; give batch_size the samples of a whole step, "
                "and DifferentialPrivacy a max_physical_batch_size to save memory"
            )
            raise SettingError(msg)
