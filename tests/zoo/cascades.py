"""Würstchen and Stable Cascade: two pipelines of two stages each, in one."""

from __future__ import annotations

from typing import Any

import torch

from tests.zoo.registry import Parts, builds
from tests.zoo.texts import clip, clip_text

CALL = {"height": 128, "width": 128, "prior_num_inference_steps": 2}


def paella() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel

    model = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=16, embed_dim=32)
    with torch.no_grad():  # else every value is under 0 or over 1, and what moves it is not seen
        last = model.out_block[0]
        last.weight.mul_(0.02)
        last.bias.fill_(0.5)
    return model


# Its decoder is told what the prior's text encoder said, and its own is never asked.
@builds("StableCascadeCombinedPipeline", "Cascades", silent=("text_encoder",), **CALL)
def stable_cascade() -> Parts:
    from diffusers import DDPMWuerstchenScheduler, StableCascadeUNet

    tokens = clip()
    decoder = StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        conditioning_dim=32,
        block_out_channels=(8, 16, 32, 32),
        num_attention_heads=(-1, -1, 1, 2),
        down_num_layers_per_block=(1, 1, 1, 1),
        up_num_layers_per_block=(1, 1, 1, 1),
        down_blocks_repeat_mappers=(1, 1, 1, 1),
        up_blocks_repeat_mappers=(1, 1, 1, 1),
        block_types_per_layer=(
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
        ),
        switch_level=None,
        clip_text_pooled_in_channels=32,
        effnet_in_channels=16,
        pixel_mapper_in_channels=3,
        dropout=(0.1, 0.1, 0.1, 0.1),
    )
    prior = StableCascadeUNet(
        conditioning_dim=32,
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        clip_image_in_channels=32,
        switch_level=(False,),
        clip_text_in_channels=32,
        clip_text_pooled_in_channels=32,
        in_channels=16,
        out_channels=16,
    )
    return {
        "text_encoder": clip_text(tokens, projected=True),
        "tokenizer": tokens,
        "decoder": decoder,
        "scheduler": DDPMWuerstchenScheduler(),
        "vqgan": paella(),
        "prior_text_encoder": clip_text(tokens, projected=True),
        "prior_tokenizer": clip(),
        "prior_prior": prior,
        "prior_scheduler": DDPMWuerstchenScheduler(),
    }


@builds("WuerstchenCombinedPipeline", "Cascades", **CALL)
def wuerstchen() -> Parts:
    from diffusers import DDPMWuerstchenScheduler
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenPrior
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import (
        WuerstchenDiffNeXt,
    )

    tokens = clip()
    return {
        "tokenizer": tokens,
        "text_encoder": clip_text(tokens),
        "decoder": WuerstchenDiffNeXt(
            c_cond=32,
            c_hidden=[32],
            nhead=[2],
            blocks=[2],
            level_config=["CTA"],
            clip_embd=32,
            inject_effnet=[True],
        ),
        "scheduler": DDPMWuerstchenScheduler(),
        "vqgan": paella(),
        "prior_tokenizer": clip(),
        "prior_text_encoder": clip_text(tokens),
        "prior_prior": WuerstchenPrior(c_in=16, c=16, depth=2, c_cond=32, c_r=16, nhead=2),
        "prior_scheduler": DDPMWuerstchenScheduler(),
    }
