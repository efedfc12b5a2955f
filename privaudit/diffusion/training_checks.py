"""What a fine-tune refuses: before it begins, and at each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from privaudit.diffusion.adapters import adapters_of
from privaudit.diffusion.objective import check_trainable
from privaudit.errors import FineTuneError, SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = ["check_arguments", "check_loss"]


def check_arguments(
    pipeline: Any,
    samples: Sequence[Sample],
    method: str,
    steps: int,
    batch_size: int,
    caption_dropout: float,
    train_text_encoder: bool,
) -> None:
    """Refuse what cannot be trained, before anything is.

    Raises
    ------
    FineTuneError, SettingError
        As of :func:`privaudit.finetune`, whose arguments these are.
    """
    check_trainable(pipeline)
    trained = ("unet", "text_encoder") if train_text_encoder else ("unet",)
    adapters = [a["name"] for a in adapters_of(pipeline) if a["component"] in trained]
    if adapters:
        msg = (
            f"{len(adapters)} adapters are loaded in this pipeline ({', '.join(adapters)}), and a "
            "new one would start from the base without them: call pipeline.fuse_lora() and "
            "pipeline.unload_lora_weights() first"
        )
        raise FineTuneError(msg)
    if not samples:
        msg = "0 samples to fine-tune on: pass at least one image with its caption"
        raise FineTuneError(msg)
    if method not in ("lora", "full", "bias"):
        msg = f"method={method!r} is unknown: use 'lora', 'full' or 'bias'"
        raise SettingError(msg)
    if train_text_encoder and method != "full":
        msg = "train_text_encoder=True goes with method='full' only"
        raise SettingError(msg)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value < 1:
            msg = f"{name}={value} is below 1: give a positive whole number"
            raise SettingError(msg)
    if not 0 <= caption_dropout < 1:
        msg = f"caption_dropout={caption_dropout} is outside [0, 1)"
        raise SettingError(msg)


def check_loss(losses: Sequence[float], batch_size: int, learning_rate: float) -> None:
    """Refuse to go on from a loss that is not finite.

    Raises
    ------
    FineTuneError
        If the last one is not.
    """
    # A Poisson sample may be empty, and its mean loss is then not a number.
    if math.isinf(losses[-1]) or (math.isnan(losses[-1]) and batch_size):
        msg = (
            f"loss is {losses[-1]} at step {len(losses)}: lower learning_rate "
            f"(it is {learning_rate:g})"
        )
        raise FineTuneError(msg)
