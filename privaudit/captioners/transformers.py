"""Captioners that are image-to-text models of transformers: asked, and fine-tuned."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from privaudit.batching import padded
from privaudit.errors import CaptionerError
from privaudit.fingerprint import fingerprint_module, fingerprint_values
from privaudit.samples import as_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from privaudit.samples import Sample

__all__ = ["TransformersCaptioner", "finetune_captioner"]

IGNORED = -100
"""Label of positions that the loss leaves out, as transformers has it."""


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
        rgb = [as_rgb(image) for image in images]
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

    Examples
    --------
    >>> import privaudit
    >>> blip = privaudit.load_captioner("Salesforce/blip-image-captioning-base")  # doctest: +SKIP
    >>> auxiliary = privaudit.load_samples("data/auxiliary")  # doctest: +SKIP
    >>> captioner = finetune_captioner(blip, auxiliary, steps=500)  # doctest: +SKIP
    """
    if not samples:
        msg = "0 samples to fine-tune a captioner on: pass auxiliary images with captions"
        raise CaptionerError(msg)
    from diffusers.optimization import get_scheduler

    draws = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(captioner.model).float().train()
    tokenizer = captioner.tokenizer
    pixels = torch.cat([captioner.pixels([sample.image]) for sample in samples])
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
