"""What the training of a target wrote beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.diffusion.dp_statement import read_statement

if TYPE_CHECKING:
    from privaudit.diffusion.dp_statement import DpStatement

__all__ = ["statement_of"]


def statement_of(given: Any) -> DpStatement | None:
    """Return what DP-SGD did for a model, as far as its fine-tune said it.

    Parameters
    ----------
    given
        What :func:`privaudit.finetune` returned, or a pipeline that was loaded from what that
        saved: by :func:`privaudit.load_pipeline`, or a :class:`privaudit.SavedPipeline`.

    Returns
    -------
    DpStatement or None
        ``None`` of any other model, without DP-SGD, and where several parts were put into a base.

    Raises
    ------
    StatementError
        If the file cannot be read, or is not of the weights beside it.
    """
    stated: DpStatement | None = getattr(given, "statement", None)
    if stated is not None:
        return stated
    parts = getattr(given, "privaudit_fine_tuned", [])
    if len(parts) != 1 or not isinstance(parts[0], (str, Path)):
        return None  # what one part's training spent says nothing of the others'
    path = Path(parts[0])
    # A denoiser is in a folder of the checkpoint's, beside which the statement is.
    for place in (path, path.parent) if path.name in ("unet", "transformer") else (path,):
        stated = read_statement(place) if place.exists() else None
        if stated is not None:
            return stated
    return None
