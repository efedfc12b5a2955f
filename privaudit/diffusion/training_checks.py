"""What a fine-tune refuses: before it begins, and at each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from privaudit.diffusion.adapters import adapters_of
from privaudit.errors import FineTuneError, SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.diffusion.dp_sgd import DifferentialPrivacy
    from privaudit.diffusion.families import Family
    from privaudit.samples import Sample

__all__ = ["check_arguments", "check_loss", "check_trained"]


def check_arguments(
    samples: Sequence[Sample], method: str, steps: int, batch_size: int, caption_dropout: float
) -> None:
    """Refuse what cannot be trained, before anything is.

    Raises
    ------
    FineTuneError, SettingError
        As of :func:`privaudit.finetune`, whose arguments these are.
    """
    if not samples:
        msg = "0 samples to fine-tune on: pass at least one image with its caption"
        raise FineTuneError(msg)
    if method not in ("lora", "full", "bias"):
        msg = f"method={method!r} is unknown: use 'lora', 'full' or 'bias'"
        raise SettingError(msg)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value < 1:
            msg = f"{name}={value} is below 1: give a positive whole number"
            raise SettingError(msg)
    if not 0 <= caption_dropout < 1:
        msg = f"caption_dropout={caption_dropout} is outside [0, 1)"
        raise SettingError(msg)


def check_trained(
    family: Family, method: str, train_text_encoder: bool, privacy: DifferentialPrivacy | None
) -> None:
    """Refuse what cannot be trained in a model of this family.

    Raises
    ------
    FineTuneError, SettingError
        As of :func:`privaudit.finetune`, whose arguments these are.
    """
    trained = (family.part, *(["text_encoder"] if train_text_encoder else []))
    adapters = [a["name"] for a in adapters_of(family.pipeline) if a["component"] in trained]
    if adapters:
        msg = (
            f"{len(adapters)} adapters are loaded in this pipeline ({', '.join(adapters)}), and a "
            "new one would start from the base without them: call pipeline.fuse_lora() and "
            "pipeline.unload_lora_weights() first"
        )
        raise FineTuneError(msg)
    if train_text_encoder and method != "full":
        msg = "train_text_encoder=True goes with method='full' only"
        raise SettingError(msg)
    if train_text_encoder and not family.trains_text:
        msg = f"train_text_encoder=True: the text encoders of {family.name} are not trained here"
        raise SettingError(msg)
    if privacy is not None and family.part == "transformer" and method != "lora":
        msg = (
            f"method={method!r} under DP-SGD: Opacus has no gradient a sample for parameters that "
            f"are no layer's, such as those of {family.name}; use method='lora'"
        )
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
