"""Models that put pictures and texts into one space: CLIP and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.batching import is_out_of_memory
from privaudit.encoders.base import TorchEncoder
from privaudit.encoders.load import vision_tower
from privaudit.errors import EncoderError, first_line
from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Clip", "load_clip"]

PROBES = ("a photo of a cat", "Ein rotes Haus", "smiling face 42, 笑顔")
"""What a tokenizer is known by: its weights are the text tower's."""
OPEN_CLIP = "open_clip"
HOW = (
    "give --privaudit-clip an open_clip:MODEL/PRETRAINED, an open_clip:local-dir:FOLDER, or a "
    "CLIPModel of transformers with its processor, by hub name or folder"
)


class Clip:
    """A model with a tower for pictures and one for texts, which end in one space.

    Parameters
    ----------
    name
        Shown in tables and errors.
    images
        Encoder of pictures: one token each, shape (n, 1, channels).
    tokenize
        From one text to what ``embed`` takes, on the CPU.
    embed
        From that to the text's vector, shape (1, channels).
    tokens
        What the tokenizer makes of a text, as plain numbers: its identity is what it makes of
        :data:`PROBES`.
    """

    def __init__(
        self,
        name: str,
        images: TorchEncoder,
        tokenize: Callable[[str], Any],
        embed: Callable[[Any], torch.Tensor],
        tokens: Callable[[str], list[int]],
    ) -> None:
        self.name, self.images = name, images
        self._tokenize, self._embed = tokenize, embed
        self.fingerprint: str | None = None
        if images.fingerprint is not None:  # of the whole module: both towers
            self.fingerprint = fingerprint_values(
                towers=images.fingerprint, tokens=[tokens(text) for text in PROBES]
            )

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts, each by itself: no number depends on what else is asked.

        Parameters
        ----------
        texts
            At least one. What is longer than the model reads is cut off, as CLIP does it.

        Returns
        -------
        ndarray of float32, shape (n, channels)

        Raises
        ------
        EncoderError
            If a vector is not finite.
        """
        import torch

        with torch.inference_mode():
            rows = [self._embed(self._tokenize(text)).float().cpu().numpy()[0] for text in texts]
        vectors: NDArray[np.float32] = np.stack(rows)
        bad = int((~np.isfinite(vectors).all(axis=1)).sum())
        if bad:
            msg = (
                f"{bad} of {len(texts)} texts got non-finite vectors from {self.name}: "
                "load it in float32, or name another with --privaudit-clip"
            )
            raise EncoderError(msg)
        return vectors


def load_clip(name: str, *, device: str | torch.device | None = None) -> Clip:
    """Load a model of pictures and texts by name.

    Parameters
    ----------
    name
        ``"open_clip:MODEL/PRETRAINED"``, ``"open_clip:local-dir:FOLDER"``,
        ``"open_clip:hf-hub:ID"``; or ``"transformers:ID"``, or just ``"ID"``, for a CLIPModel,
        SigLIP or another with both towers, from the hub or a folder.
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    EncoderError
        If it cannot be loaded, or has no tower for texts.
    """
    source, _, rest = name.partition(":")
    try:
        if source == OPEN_CLIP:
            return _open_clip(name, rest, device)
        return _transformers(name, rest if source == "transformers" else name, device)
    except EncoderError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # As with encoders, a dozen types of error for one mistake: a name that leads nowhere.
        msg = f"clip {name!r} cannot be loaded ({first_line(error)}): {HOW}"
        raise EncoderError(msg) from error


def _open_clip(name: str, rest: str, device: Any) -> Clip:
    import open_clip

    pretrained = None
    if not rest.startswith(("hf-hub:", "local-dir:")):
        rest, _, pretrained = rest.partition("/")
        if not pretrained:
            msg = f"clip {name} names no weights, and random weights see nothing: {HOW}"
            raise EncoderError(msg)
    model, _, preprocess = open_clip.create_model_and_transforms(rest, pretrained=pretrained)
    tokenizer = open_clip.get_tokenizer(rest)
    stated = repr(preprocess)
    images = TorchEncoder(
        name,
        model,
        preprocess,
        lambda batch: model.encode_image(batch)[:, None],
        preprocess_fingerprint=None if " at 0x" in stated else stated,
        device=device,
    )
    return Clip(
        name,
        images,
        lambda text: tokenizer([text]),
        lambda tokens: model.encode_text(tokens.to(images.device)),
        lambda text: tokenizer([text])[0].tolist(),
    )


def _transformers(name: str, where: str, device: Any) -> Clip:
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(where), AutoProcessor.from_pretrained(where)
    if not (hasattr(model, "get_text_features") and hasattr(processor, "tokenizer")):
        msg = f"clip {name} is a {type(model).__name__} without a tower for texts: {HOW}"
        raise EncoderError(msg)
    vision_tower(f"clip {name}", model)
    tokenizer, pictures = processor.tokenizer, processor.image_processor
    longest = model.config.text_config.max_position_embeddings

    def preprocess(image: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = pictures(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    images = TorchEncoder(
        name,
        model,
        preprocess,
        lambda batch: _vectors(model.get_image_features(pixel_values=batch))[:, None],
        preprocess_fingerprint=pictures.to_json_string(),
        device=device,
    )

    def tokenize(text: str) -> Any:
        # Padded in full: SigLIP was trained so, and a CLIP's mask leaves it out.
        return tokenizer(
            text, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        )

    return Clip(
        name,
        images,
        tokenize,
        lambda tokens: _vectors(model.get_text_features(**tokens.to(images.device))),
        lambda text: tokenize(text)["input_ids"][0].tolist(),
    )


def _vectors(found: Any) -> torch.Tensor:
    """Return projected vectors: from version 5 on, transformers wraps them up."""
    vectors: torch.Tensor = getattr(found, "pooler_output", found)
    return vectors
