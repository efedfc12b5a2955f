"""What a fine-tune refuses of a model, a folder of checkpoints and a loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from privaudit.diffusion.adapters import adapters_of
from privaudit.diffusion.fine_tuned import check_lora_file
from privaudit.errors import FineTuneError, SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from privaudit.diffusion.families import Family
    from privaudit.training.recipe import Recipe

__all__ = ["check_checkpoints", "check_loss", "check_trained"]


def check_checkpoints(
    family: Family, method: str, checkpoints: tuple[str | Path, int] | None, *, resume: bool
) -> None:
    """Refuse checkpoints that cannot be written, now and not at the first of them.

    Raises
    ------
    FineTuneError, SettingError
        As of :func:`privaudit.finetune`, whose arguments these are.
    """
    if checkpoints is None:
        if resume:
            msg = "resume=True has nothing to go on from: give checkpoints=(folder, steps)"
            raise SettingError(msg)
        return
    if checkpoints[1] < 1:
        msg = f"checkpoints=(…, {checkpoints[1]}) is below 1: give a positive number of steps"
        raise SettingError(msg)
    if method == "lora":
        check_lora_file(family.pipeline, family.part)


def check_trained(family: Family, recipe: Recipe) -> None:
    """Refuse what cannot be trained in a model of this family.

    Raises
    ------
    FineTuneError, SettingError
        As of :func:`privaudit.finetune`, whose arguments these are.
    """
    method, train_text_encoder = recipe.method, recipe.train_text_encoder
    privacy = recipe.differential_privacy
    trained = (family.part, *(["text_encoder"] if train_text_encoder else []))
    adapters = [a["name"] for a in adapters_of(family.pipeline) if a["component"] in trained]
    if adapters:
        msg = (
            f"{len(adapters)} adapters are loaded in this pipeline ({', '.join(adapters)}), and a "
            "new one would start from the base without them: call pipeline.fuse_lora() and "
            "pipeline.unload_lora_weights() first"
        )
        raise FineTuneError(msg)
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
