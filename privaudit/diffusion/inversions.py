"""Textual inversions: words that a tokenizer learns, with the embeddings that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from privaudit.diffusion.weights import read_pickle
from privaudit.errors import GeneratorError, first_line
from privaudit.hub import is_hub_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["add_inversion"]

ENCODERS = {
    "clip_l": ("text_encoder", "tokenizer"),
    "clip_g": ("text_encoder_2", "tokenizer_2"),
}
"""What files of models with two text encoders call the embeddings of each."""
NAMELESS = ("emb_params", "*", "string_to_param")
"""Keys that are no word: the word is what the file is called, as its users type it."""
NAMES = ("learned_embeds.safetensors", "learned_embeds.bin")
"""What diffusers calls the file in a folder."""


class _Word(NamedTuple):
    token: str
    encoder: str
    tokenizer: str
    embedding: torch.Tensor


def add_inversion(pipeline: Any, source: str | Path) -> list[str]:
    """Teach a pipeline the words of a textual inversion, and check that it knows them.

    Parameters
    ----------
    pipeline
        A diffusers pipeline, which is changed.
    source
        A file of safetensors or a pickle of tensors, a folder with one, or a hub name. Where the
        file names no word, as those for Stable Diffusion XL do not, its own name without its
        suffix is the word.

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
    file = _find_file(source)
    words = list(_words_of(file))
    _check_fit(pipeline, file, words)
    before = _vocabulary(pipeline)
    for word in words:
        try:
            pipeline.load_textual_inversion(
                word.embedding,
                token=word.token,
                text_encoder=getattr(pipeline, word.encoder),
                tokenizer=getattr(pipeline, word.tokenizer),
            )
        except Exception as error:
            msg = (
                f"textual inversion {str(file)!r} cannot teach {name} the word {word.token!r} "
                f"({first_line(error):.200}): check that it was trained for this family"
            )
            raise GeneratorError(msg) from error
    return sorted(_vocabulary(pipeline) - before)


def _find_file(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists() and is_hub_name(source):
        from huggingface_hub import snapshot_download

        path = Path(snapshot_download(str(source), allow_patterns=["*.safetensors", "*.bin"]))
    if path.is_dir():
        named = [path / name for name in NAMES if (path / name).exists()]
        files = named[:1] or sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            msg = (
                f"{len(files)} files of safetensors in textual inversion {str(source)!r}: name the "
                "one that is meant"
            )
            raise GeneratorError(msg)
        return files[0]
    return path


def _words_of(file: Path) -> Iterator[_Word]:
    """Yield each word of a file, for each text encoder that it has embeddings for."""
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            content: Mapping[str, Any] = load_file(file)
        except SafetensorError as error:
            msg = f"{str(file)!r} cannot be read ({error}): was it copied whole?"
            raise GeneratorError(msg) from error
    else:
        content = read_pickle(file)
    if isinstance(content.get("string_to_param"), dict):  # as AUTOMATIC1111's web UI writes it
        content = {str(content.get("name") or file.stem): content["string_to_param"].get("*")}
    for key, value in content.items():
        if not isinstance(value, torch.Tensor) or value.ndim > 2 or not value.ndim:
            msg = (
                f"{str(file)!r} is no textual inversion: its key {key!r} holds no embedding, which "
                "is a row of numbers, or a few; name the file that the training wrote"
            )
            raise GeneratorError(msg)
        encoder, tokenizer = ENCODERS.get(key, ("text_encoder", "tokenizer"))
        token = file.stem if key in ENCODERS or key in NAMELESS else key
        yield _Word(token, encoder, tokenizer, value)


def _check_fit(pipeline: Any, file: Path, words: list[_Word]) -> None:
    """Check that the pipeline has the text encoders, of this width, and does not know the words."""
    name = type(pipeline).__name__
    for word in words:
        encoder, tokenizer = (getattr(pipeline, n, None) for n in (word.encoder, word.tokenizer))
        width = 0 if encoder is None else encoder.get_input_embeddings().weight.shape[-1]
        if word.embedding.shape[-1] != width or tokenizer is None:
            has = f"is {width} wide" if width else "it does not have"
            msg = (
                f"textual inversion {str(file)!r} holds {word.token!r}, {word.embedding.shape[-1]} "
                f"numbers wide, for the {word.encoder} of {name}, which {has}: it was trained for "
                "another family of models"
            )
            raise GeneratorError(msg)
        if word.token in tokenizer.get_vocab():
            msg = (
                f"the word {word.token!r} of textual inversion {str(file)!r} is known to {name} "
                "already, so a caption with it would be drawn as before: rename the file, or the "
                "key in it, to a word of its own"
            )
            raise GeneratorError(msg)
    if not words:
        msg = f"textual inversion {str(file)!r} holds no word: name the file that training wrote"
        raise GeneratorError(msg)


def _vocabulary(pipeline: Any) -> set[str]:
    tokenizers = (getattr(pipeline, name, None) for name in ("tokenizer", "tokenizer_2"))
    return {word for one in tokenizers if one is not None for word in one.get_vocab()}
