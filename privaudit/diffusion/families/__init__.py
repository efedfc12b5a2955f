"""Families of models that can be fine-tuned here, and whose denoising loss can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.diffusion.families.base import Conditions, Family, Size
from privaudit.diffusion.families.flux import Flux
from privaudit.diffusion.families.pixart import PixArt
from privaudit.diffusion.families.qwen_image import QwenImage
from privaudit.diffusion.families.sana import Sana
from privaudit.diffusion.families.stable_diffusion import StableDiffusion, StableDiffusionXL
from privaudit.diffusion.families.stable_diffusion_3 import StableDiffusion3
from privaudit.errors import FineTuneError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAMILIES", "Conditions", "Family", "Size", "StableDiffusion", "family_of"]

FAMILIES: Mapping[str, type[Family]] = {
    "SD3Transformer2DModel": StableDiffusion3,
    "FluxTransformer2DModel": Flux,
    "SanaTransformer2DModel": Sana,
    "PixArtTransformer2DModel": PixArt,
    "QwenImageTransformer2DModel": QwenImage,
}
"""Families by the class of their transformer in diffusers; those with a U-Net have one class."""


def family_of(pipeline: Any) -> Family:
    """Say which family a pipeline is of.

    Parameters
    ----------
    pipeline
        A diffusers text-to-image pipeline.

    Raises
    ------
    FineTuneError
        If it is of none that is known here, or a part of it cannot be trained.
    """
    kind = _kind(pipeline)
    if kind is None:
        has = [n for n in ("unet", "transformer") if getattr(pipeline, n, None) is not None]
        inside = f"a {type(_plain(getattr(pipeline, has[0]))).__name__}" if has else "no denoiser"
        known: list[type[Family]] = [StableDiffusion, StableDiffusionXL, *FAMILIES.values()]
        msg = (
            f"{type(pipeline).__name__} has {inside}: finetune trains "
            f"{', '.join(family.name for family in known)}; train others with their own script "
            "and pass the result as shadow_model"
        )
        raise FineTuneError(msg)
    return kind(pipeline)


def _kind(pipeline: Any) -> type[Family] | None:
    transformer = getattr(pipeline, "transformer", None)
    if transformer is not None:
        return FAMILIES.get(type(_plain(transformer)).__name__)
    unet = _plain(getattr(pipeline, "unet", None))
    if type(unet).__name__ != "UNet2DConditionModel":
        return None
    told = {None: StableDiffusion, "text_time": StableDiffusionXL}
    return told.get(unet.config.addition_embed_type)


def _plain(module: Any) -> Any:
    """Take the network out of what torch.compile made of it."""
    return getattr(module, "_orig_mod", module)
