"""Textual inversions: words that a tokenizer learns, with the embeddings that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from privaudit.errors import GeneratorError, first_line

__all__ = ["add_inversion"]

ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}
"""What files of models with two text encoders call the embeddings of each."""


def add_inversion(pipeline: Any, source: str | Path, token: str | None = None) -> list[str]:
    """Teach a pipeline the words of a textual inversion, and check that it knows them.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, which is changed.
    source
        A file, or what ``load_textual_inversion`` of diffusers takes.
    token
        The word; by default the one that the file names.

    Returns
    -------
    list of str
        The tokens that are new. Only a caption that has them is drawn otherwise.

    Raises
    ------
    GeneratorError
        If the pipeline takes none, the file is none that fits, or nothing is new.
    """
    name = type(pipeline).__name__
    if not hasattr(pipeline, "load_textual_inversion"):
        msg = f"{name} takes no textual inversion, and {str(source)!r} is one: leave it out"
        raise GeneratorError(msg)
    before = _words(pipeline)
    try:
        for given, parts in _states(source):
            named = {role: getattr(pipeline, part) for role, part in parts.items()}
            pipeline.load_textual_inversion(given, token=token, **named)
    except OSError:
        raise
    except Exception as error:
        msg = (
            f"textual inversion {str(source)!r} cannot be put into {name} "
            f"({first_line(error):.200}): check that it was trained for this family, and its token"
        )
        raise GeneratorError(msg) from error
    new = sorted(_words(pipeline) - before)
    if not new:
        msg = f"textual inversion {str(source)!r} taught {name} no new word: name another token"
        raise GeneratorError(msg)
    return new


def _words(pipeline: Any) -> set[str]:
    tokenizers = (getattr(pipeline, name, None) for name in ("tokenizer", "tokenizer_2"))
    return {word for one in tokenizers if one is not None for word in one.get_vocab()}


def _states(source: str | Path) -> list[tuple[Any, dict[str, str]]]:
    """Return what is to be loaded, each with the text encoder that it is for."""
    path = Path(source)
    if path.suffix == ".safetensors" and path.is_file():
        from safetensors.torch import load_file

        found = load_file(path)
        if set(found) <= set(ENCODERS):
            return [
                (value, dict(zip(("text_encoder", "tokenizer"), ENCODERS[key], strict=True)))
                for key, value in found.items()
            ]
    return [(str(source), {})]
