"""Captioners: what an attacker without the caption asks the model with."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from tqdm.auto import tqdm

from privaudit.encoders.base import encode_in_batches, encoder_identity
from privaudit.errors import CaptionerError
from privaudit.fingerprint import fingerprint_module, fingerprint_values
from privaudit.padding import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from privaudit.encoders import Encoder
    from privaudit.samples import Sample

__all__ = [
    "Captioner",
    "RetrievalCaptioner",
    "TransformersCaptioner",
    "as_captioner",
    "captioner_identity",
    "checked_captions",
    "finetune_captioner",
    "load_captioner",
]

DEFAULT_CAPTIONER = "Salesforce/blip-image-captioning-base"
"""The captioner of the paper, which fine-tunes it on auxiliary data."""
IGNORED = -100
"""Label of positions that the loss leaves out, as transformers has it."""


@runtime_checkable
class Captioner(Protocol):
    """Anything with ``caption``: images to one text each.

    A captioner may carry a ``fingerprint`` string that identifies its weights and settings. With
    one, captions are kept in the store; without, they are written again in every run.
    """

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Write one caption for each image."""
        ...


class _CallableCaptioner:
    def __init__(self, function: Callable[[list[Image.Image]], list[str]]) -> None:
        self._function = function
        stated = getattr(function, "fingerprint", None)
        if stated is not None:
            self.fingerprint = f"callable:{stated}"

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        return self._function(list(images))


class TransformersCaptioner:
    """An image-to-text model of transformers: BLIP, a vision encoder-decoder, GIT, ….

    Parameters
    ----------
    model
        The model; it stays on its device.
    image_processor, tokenizer
        Its image processor and tokenizer.
    max_new_tokens
        Longest caption, in tokens. Decoding is greedy, so an image has one caption.
    """

    def __init__(
        self, model: Any, image_processor: Any, tokenizer: Any, *, max_new_tokens: int = 32
    ) -> None:
        self.model = model.eval()
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.max_new_tokens = max_new_tokens

    @property
    def fingerprint(self) -> str:
        """Identity of what decides which caption an image gets."""
        return fingerprint_values(
            weights=fingerprint_module(self.model),
            image_processor=self.image_processor.to_json_string(),
            vocabulary=self.tokenizer.get_vocab(),
            max_new_tokens=self.max_new_tokens,
        )

    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Preprocess images to (n, 3, height, width) on the model's device."""
        rgb = [image.convert("RGB") for image in images]
        values = self.image_processor(images=rgb, return_tensors="pt")["pixel_values"]
        return values.to(self.model.device)  # type: ignore[no-any-return]

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Write one caption for each image."""
        batch, n = padded(images, self.model.device)
        with torch.inference_mode():
            tokens = self.model.generate(
                pixel_values=self.pixels(batch),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                num_beams=1,
            )
        texts: list[str] = self.tokenizer.batch_decode(tokens[:n], skip_special_tokens=True)
        return [text.strip() for text in texts]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, image processor and tokenizer in the hub's layout."""
        for part in (self.model, self.image_processor, self.tokenizer):
            part.save_pretrained(folder)


class RetrievalCaptioner:
    """Answers with the caption of the most alike auxiliary image: no training, no decoder.

    Features are the encoder's last hidden state, averaged over tokens, normalised, and reduced
    by PCA on the auxiliary images; alike is the largest cosine.

    Parameters
    ----------
    encoder
        The image encoder, the same for the auxiliary images and the queries.
    mean, projection
        PCA of the features: (channels,) and (channels, d).
    vectors
        Unit vectors of the n auxiliary images, (n, d).
    captions
        Their captions.
    """

    def __init__(
        self,
        encoder: Encoder,
        mean: torch.Tensor,
        projection: torch.Tensor,
        vectors: torch.Tensor,
        captions: Sequence[str],
    ) -> None:
        self._encoder = encoder
        self._mean, self._projection = mean.float(), projection.float()
        self._vectors = vectors.float()
        self._captions = list(captions)

    @property
    def fingerprint(self) -> str | None:
        """Identity of what decides which caption an image gets, if the encoder has one."""
        identity, lasting = encoder_identity(self._encoder)
        if not lasting:
            return None
        tensors = (self._mean, self._projection, self._vectors)
        return fingerprint_values(
            encoder=identity,
            tensors=[hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() for t in tensors],
            captions=self._captions,
        )

    @classmethod
    def from_samples(
        cls, encoder: Encoder, samples: Sequence[Sample], *, dimensions: int = 128
    ) -> RetrievalCaptioner:
        """Build from auxiliary samples: none of the target's.

        Raises
        ------
        CaptionerError
            If there are no more samples than dimensions.
        """
        if len(samples) <= dimensions:
            msg = f"{len(samples)} samples cannot span {dimensions} dimensions: supply more"
            raise CaptionerError(msg)
        features = _pooled(encoder, [sample.image for sample in samples])
        mean = features.mean(dim=0)
        _, _, axes = torch.linalg.svd(features - mean, full_matrices=False)
        projection = axes[:dimensions].T
        vectors = torch.nn.functional.normalize((features - mean) @ projection)
        return cls(encoder, mean, projection, vectors, [sample.caption for sample in samples])

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Look up one caption for each image."""
        asked = (_pooled(self._encoder, images) - self._mean) @ self._projection
        nearest = (asked @ self._vectors.T).argmax(dim=1)
        return [self._captions[i] for i in nearest.tolist()]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` (float16) and ``captions.json``; no image is kept."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"mean": self._mean, "projection": self._projection, "vectors": self._vectors}
        halves = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(halves, folder / "model.safetensors")
        text = json.dumps(self._captions, indent=0, ensure_ascii=False)
        (folder / "captions.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, encoder: Encoder) -> RetrievalCaptioner:
        """Load what ``save_pretrained`` wrote, with the encoder it was built with.

        Raises
        ------
        CaptionerError
            If the folder does not hold one.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            tensors = load_file(folder / "model.safetensors")
            captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
            return cls(
                encoder, tensors["mean"], tensors["projection"], tensors["vectors"], captions
            )
        except (OSError, KeyError, ValueError) as error:
            msg = f"captioner {str(folder)!r} cannot be loaded ({error}): check the folder"
            raise CaptionerError(msg) from error


def _pooled(encoder: Encoder, images: Sequence[Image.Image]) -> torch.Tensor:
    features = encode_in_batches(encoder, list(images), 32).mean(axis=1)
    return torch.nn.functional.normalize(torch.from_numpy(features))


def load_captioner(
    name: str | Path = DEFAULT_CAPTIONER, *, device: str | torch.device | None = None
) -> TransformersCaptioner:
    """Load an image-to-text model of transformers.

    Parameters
    ----------
    name
        Hub name or local folder.
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    CaptionerError
        If it cannot be loaded.
    """
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        model = AutoModelForImageTextToText.from_pretrained(name, torch_dtype=torch.float32)
        parts = [kind.from_pretrained(name) for kind in (AutoImageProcessor, AutoTokenizer)]
    except Exception as error:
        # transformers raises a dozen types for one mistake: a name that leads nowhere.
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"captioner {str(name)!r} cannot be loaded ({first_line}): check the name or folder"
        raise CaptionerError(msg) from error
    return TransformersCaptioner(model.to(device), *parts)


def as_captioner(given: Any) -> Captioner:
    """Turn what a ``captioner`` fixture returned into a captioner.

    Parameters
    ----------
    given
        A name for :func:`load_captioner`, a transformers ``(model, processor)`` pair, an object
        with ``caption``, or a callable from a list of images to a list of texts.

    Raises
    ------
    CaptionerError
        If it is none of these.
    """
    if isinstance(given, str | Path):
        return load_captioner(given)
    if isinstance(given, Captioner):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        model, processor = given
        parts = [getattr(processor, name, None) for name in ("image_processor", "tokenizer")]
        if hasattr(model, "generate") and None not in parts:
            return TransformersCaptioner(model, *parts)
    if callable(given):
        return _CallableCaptioner(given)
    msg = (
        f"{type(given).__name__} cannot write captions: return a name, a (model, processor) pair, "
        "an object with caption(images), or a callable from images to texts"
    )
    raise CaptionerError(msg)


def captioner_identity(captioner: Captioner) -> tuple[str, bool]:
    """Return what identifies a captioner, and whether it means the same in another process."""
    stated = getattr(captioner, "fingerprint", None)
    return (f"object:{id(captioner)}", False) if stated is None else (stated, True)


def checked_captions(
    captioner: Captioner, images: Sequence[Image.Image], batch_size: int
) -> list[str]:
    """Caption any number of images, and check what comes back.

    Raises
    ------
    CaptionerError
        If the captioner raises, or returns too few captions, something else than text, or
        nothing but blanks; the message counts.
    """
    name = type(captioner).__name__
    texts: list[str] = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        try:
            answer = captioner.caption(part)
        except Exception as error:
            msg = f"{name} raised {type(error).__name__} on {len(part)} images: {error}"
            raise CaptionerError(msg) from error
        if not isinstance(answer, list) or len(answer) != len(part):
            got = len(answer) if isinstance(answer, list) else type(answer).__name__
            msg = f"{name} returned {got} captions for {len(part)} images: return a list, one each"
            raise CaptionerError(msg)
        texts.extend(answer)
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if bad:
        msg = (
            f"{len(bad)} of {len(texts)} captions by {name} are blank or no text, the first for "
            f"image {bad[0]}: fine-tune it on auxiliary samples, or use another captioner"
        )
        raise CaptionerError(msg)
    return texts


def finetune_captioner(
    captioner: TransformersCaptioner,
    samples: Sequence[Sample],
    *,
    steps: int = 1000,
    batch_size: int = 16,
    learning_rate: float = 5e-5,
    seed: int = 0,
    progress: bool = True,
) -> TransformersCaptioner:
    """Fine-tune a captioner on auxiliary samples, as the paper does with BLIP (section V).

    Parameters
    ----------
    captioner
        The captioner; it is left as it was.
    samples
        Auxiliary images with captions: none of the target's.
    steps, batch_size, learning_rate
        Of AdamW, with a cosine schedule to zero.
    seed
        Seed of every draw.
    progress
        Show a progress bar.

    Returns
    -------
    TransformersCaptioner
        The fine-tuned copy.

    Raises
    ------
    CaptionerError
        If there are no samples.
    """
    if not samples:
        msg = "0 samples to fine-tune a captioner on: pass auxiliary images with captions"
        raise CaptionerError(msg)
    from diffusers.optimization import get_scheduler

    draws = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(captioner.model).float().train()
    tokenizer = captioner.tokenizer
    pixels = captioner.pixels([sample.image for sample in samples])
    encoded = tokenizer(
        [sample.caption for sample in samples],
        padding=True,
        truncation=True,
        max_length=captioner.max_new_tokens,
        return_tensors="pt",
    )
    # The end of a caption must be learned, and it may share its token with the padding.
    tokens = torch.where(encoded.attention_mask.bool(), encoded.input_ids, IGNORED)
    tokens = tokens.to(model.device)
    needs_inputs = model.config.model_type in ("blip", "git")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=0, num_training_steps=steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        for _ in tqdm(range(steps), desc="captioner", unit="step", disable=not progress):
            batch = torch.randint(len(samples), (batch_size,), generator=draws)
            inputs = {"pixel_values": pixels[batch], "labels": tokens[batch]}
            if needs_inputs:
                inputs["input_ids"] = encoded.input_ids.to(model.device)[batch]
            loss = model(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return TransformersCaptioner(
        model.eval(),
        captioner.image_processor,
        tokenizer,
        max_new_tokens=captioner.max_new_tokens,
    )
