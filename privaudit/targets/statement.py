"""What the training of a target wrote beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.diffusion.dp_statement import read_statement
from privaudit.targets.saved import SavedPipeline

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
        ``None`` of any other model, and without DP-SGD.

    Raises
    ------
    StatementError
        If the file cannot be read, or is not of the weights beside it.
    """
    stated: DpStatement | None = getattr(given, "statement", None)
    if stated is not None:
        return stated
    paths = [Path(path) for path in getattr(given, "privaudit_paths", ())]
    if isinstance(given, SavedPipeline):
        paths = given.paths
    for path in paths:
        # A denoiser is in a folder of the checkpoint's, beside which the statement is.
        for place in (path, path.parent) if path.name in ("unet", "transformer") else (path,):
            stated = read_statement(place) if place.exists() else None
            if stated is not None:
                return stated
    return None
