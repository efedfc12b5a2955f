"""All that decides what a fine-tune does, beside the pipeline and the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.training.dp_sgd import DifferentialPrivacy

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The arguments of :func:`privaudit.finetune`, under its names."""

    method: str
    steps: int
    batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    lr_scheduler: str
    lora_rank: int
    lora_targets: Sequence[str] | None
    resolution: int | tuple[int, int] | None
    gradient_checkpointing: bool
    train_text_encoder: bool
    caption_dropout: float
    ema_decay: float | None
    differential_privacy: DifferentialPrivacy | None
    seed: int
