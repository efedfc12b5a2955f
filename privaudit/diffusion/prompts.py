"""Texts of prompts, encoded once each, however many images are asked of them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from cachetools import LRUCache

from privaudit.batching import padded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PromptEncoder"]

NAMES = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""What ``encode_prompt`` of diffusers' Stable Diffusion (two) and SDXL (all four) return."""
SIGNATURE = {
    "prompt",
    "prompt_2",
    "device",
    "num_images_per_prompt",
    "do_classifier_free_guidance",
    "negative_prompt",
}
PLAIN_CALL = {
    "num_inference_steps",
    "guidance_scale",
    "guidance_rescale",
    "height",
    "width",
    "eta",
    "negative_prompt",
}
"""Arguments of a call with which a prompt means what it means alone."""
REMEMBERED_BYTES = 64 * 2**20


class PromptEncoder:
    """Encodes each prompt once, and the unconditional text once, for a diffusers pipeline.

    Parameters
    ----------
    pipeline
        The pipeline.
    call
        What its call will be given beside the prompt.
    """

    def __init__(self, pipeline: Any, call: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._negative_prompt = call.get("negative_prompt")
        unet = getattr(pipeline, "unet", None)
        distilled = getattr(getattr(unet, "config", None), "time_cond_proj_dim", None) is not None
        self._guided = call.get("guidance_scale", 0) > 1 and not distilled
        self._kept: LRUCache[str, dict[str, torch.Tensor]] = LRUCache(
            REMEMBERED_BYTES,
            lambda kept: sum(t.numel() * t.element_size() for t in kept.values()),
        )
        self._unconditional: dict[str, torch.Tensor] = {}

    @staticmethod
    def suits(pipeline: Any, call: Mapping[str, Any]) -> bool:
        """Tell whether a pipeline encodes text as Stable Diffusion or SDXL does."""
        encode = getattr(pipeline, "encode_prompt", None)
        if encode is None or not set(call) <= PLAIN_CALL:
            return False
        accepted = inspect.signature(encode).parameters
        required = {name for name, p in accepted.items() if p.default is p.empty}
        taken = inspect.signature(type(pipeline).__call__).parameters
        return (
            required <= SIGNATURE
            and {"prompt", "device", "do_classifier_free_guidance"} <= set(accepted)
            and set(NAMES[:2]) <= set(taken)
            and not any(name.endswith("attention_mask") for name in taken)
        )

    def encode(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the text arguments of a call, each with one row a prompt."""
        wanted = dict.fromkeys(prompts)
        found = {prompt: self._kept[prompt] for prompt in wanted if prompt in self._kept}
        new = [prompt for prompt in wanted if prompt not in found]
        if new:
            batch, n = padded(new, self._pipeline.device)
            encoded = self._ask(batch, guided=False)
            for i, prompt in enumerate(new[:n]):
                found[prompt] = {name: rows[i].clone() for name, rows in encoded.items()}
                if self._kept.getsizeof(found[prompt]) <= self._kept.maxsize:
                    self._kept[prompt] = found[prompt]
        if self._guided and not self._unconditional:
            batch, _ = padded([""], self._pipeline.device)
            encoded = self._ask(batch, guided=True)
            self._unconditional = {
                name: rows[0] for name, rows in encoded.items() if name.startswith("negative")
            }
        arguments = {
            name: torch.stack([found[prompt][name] for prompt in prompts])
            for name in found[prompts[0]]
        }
        for name, row in self._unconditional.items():
            arguments[name] = row.expand(len(prompts), *row.shape)
        return arguments

    def _ask(self, prompts: list[str], *, guided: bool) -> dict[str, torch.Tensor]:
        # SDXL makes a difference between an empty text and none.
        negated = guided and self._negative_prompt is not None
        with torch.no_grad():
            answer = self._pipeline.encode_prompt(
                prompt=prompts,
                device=self._pipeline.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
                negative_prompt=[self._negative_prompt] * len(prompts) if negated else None,
            )
        named = zip(NAMES, answer, strict=False)
        return {
            name: rows
            for name, rows in named
            if rows is not None and (guided or not name.startswith("negative"))
        }
