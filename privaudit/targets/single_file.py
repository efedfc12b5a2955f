"""Whole models in one file, as trainers and merge tools write them."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from privaudit.errors import GeneratorError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_single_file"]

LOADERS = ("diffusers.loaders.single_file_model", "diffusers.loaders.single_file_utils")
"""Who of diffusers says that a part of a file was passed over: as a warning, to a log."""
PASSED_OVER = "were not used"


def load_single_file(file: Path, config: str | Path | None, given: dict[str, Any]) -> Any:
    """Load a whole pipeline from one file, all of it.

    Parameters
    ----------
    file
        Weights of all its parts, in the names that the family's authors gave them.
    config
        Folder of a pipeline of the same architecture, such as the base's, whose weights are not
        read: a file does not say which class it is for.
    given
        Further arguments of ``from_single_file``.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    GeneratorError
        If ``config`` is missing or none, a weight of the file was not used, or one is missing.
    """
    import diffusers

    index = None if config is None else Path(config) / "model_index.json"
    if index is None or not index.is_file():
        what = "" if config is None else f", and config {str(config)!r} is no folder of a pipeline"
        msg = (
            f"pipeline {str(file)!r} is a single file, which does not say what it is{what}: name "
            "a folder of the same architecture in diffusers' layout, such as that of the base, by "
            "config=…; or load it with from_single_file of its class in diffusers, and return "
            "that pipeline"
        )
        raise GeneratorError(msg)
    named = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    kind = getattr(diffusers, str(named), None)
    if not hasattr(kind, "from_single_file"):
        msg = f"{named}, the class of config {str(config)!r}, is loaded from no single file"
        raise GeneratorError(msg)
    with _overheard() as said:
        try:
            pipeline = kind.from_single_file(  # type: ignore[union-attr]
                str(file), config=str(config), local_files_only=True, **given
            )
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            msg = (
                f"single file {str(file)!r} does not hold all of a {named} as config "
                f"{str(config)!r} describes it ({reason:.200}): name a config of the same "
                "architecture, or load the part that it is by unet=, transformer= or lora="
            )
            raise GeneratorError(msg) from error
    modules = [p for p in pipeline.components.values() if isinstance(p, torch.nn.Module)]
    empty = [n for part in modules for n, p in part.named_parameters() if p.is_meta]
    if said or empty:
        first = (said or [f"{len(empty)} weights are missing, the first {empty[0]}"])[0]
        msg = (
            f"single file {str(file)!r} is not a {named} as config {str(config)!r} describes it "
            f"({first:.300}), so something else than its model would be audited: name a config "
            "of the same architecture"
        )
        raise GeneratorError(msg)
    return pipeline


@contextlib.contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect what diffusers says of weights that it passed over."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = " ".join(record.getMessage().split())
            if PASSED_OVER in text:
                said.append(text)

    listener = Listener()
    loggers = [logging.getLogger(name) for name in LOADERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)
