"""Transformers that read a language model: CogView, Lumina, Qwen-Image, Z-Image, Ovis, HiDream, PRX."""

from __future__ import annotations

from typing import Any

from tests.zoo.images import qwen_vae, vae
from tests.zoo.registry import Parts, builds, flow
from tests.zoo.texts import clip, clip_text, decoder, qwen_vl, t5, tokenizer

SMALL = {"height": 16, "width": 16}
LARGER = {"height": 32, "width": 32}


@builds("CogView3PlusPipeline", "CogView", **SMALL, max_sequence_length=96)
def cogview_3() -> Parts:
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusTransformer2DModel

    tokens = tokenizer(end=True)
    return {
        "transformer": CogView3PlusTransformer2DModel(
            patch_size=2,
            in_channels=4,
            num_layers=1,
            attention_head_dim=4,
            num_attention_heads=2,
            out_channels=4,
            text_embed_dim=32,
            time_embed_dim=8,
            condition_dim=2,
            pos_embed_max_size=8,
            sample_size=8,
        ),
        "vae": vae(),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
        "scheduler": CogVideoXDDIMScheduler(),
    }


@builds("CogView4Pipeline", "CogView", **SMALL, max_sequence_length=96)
def cogview_4() -> Parts:
    from diffusers import CogView4Transformer2DModel, FlowMatchEulerDiscreteScheduler

    tokens = tokenizer(begin=True, padding_side="left")
    return {
        "transformer": CogView4Transformer2DModel(
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=4,
            num_attention_heads=4,
            out_channels=4,
            text_embed_dim=32,
            time_embed_dim=8,
            condition_dim=4,
        ),
        "vae": vae(),
        "text_encoder": decoder("GlmModel", tokens),
        "tokenizer": tokens,
        "scheduler": FlowMatchEulerDiscreteScheduler(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    }


@builds("LuminaPipeline", "Lumina", **SMALL, max_sequence_length=96)
def lumina() -> Parts:
    from diffusers import LuminaNextDiT2DModel

    tokens = tokenizer(begin=True)
    return {
        "transformer": LuminaNextDiT2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            hidden_size=16,
            num_layers=2,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            ffn_dim_multiplier=None,
            norm_eps=1e-5,
            learn_sigma=True,
            qk_norm=True,
            cross_attention_dim=8,
            scaling_factor=1.0,
        ),
        "vae": vae(),
        "text_encoder": decoder("GemmaModel", tokens, 8),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("Lumina2Pipeline", "Lumina", **LARGER, max_sequence_length=200)
def lumina_2() -> Parts:
    from diffusers import Lumina2Transformer2DModel

    tokens = tokenizer(begin=True, length=1000)
    return {
        "transformer": Lumina2Transformer2DModel(
            sample_size=4,
            patch_size=2,
            in_channels=4,
            hidden_size=8,
            num_layers=2,
            num_attention_heads=1,
            num_kv_heads=1,
            multiple_of=16,
            ffn_dim_multiplier=None,
            norm_eps=1e-5,
            scaling_factor=1.0,
            axes_dim_rope=(4, 2, 2),
            cap_feat_dim=8,
        ),
        "vae": vae(shift_factor=0.06),
        "text_encoder": decoder("Gemma2Model", tokens, 8),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


def qwen_transformer() -> Any:
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=32,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )


@builds("QwenImagePipeline", "Qwen-Image", **LARGER)
def qwen_image() -> Parts:
    tokens = tokenizer(length=1000)
    return {
        "transformer": qwen_transformer(),
        "vae": qwen_vae(),
        "text_encoder": qwen_vl(tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("ZImagePipeline", "Z-Image", **LARGER, max_sequence_length=96)
def z_image() -> Parts:
    import torch
    from diffusers import ZImageTransformer2DModel

    tokens = tokenizer()
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        norm_eps=1e-5,
        qk_norm=True,
        cap_feat_dim=32,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    with torch.no_grad():  # made of memory as it was found
        transformer.x_pad_token.fill_(0.5)
        transformer.cap_pad_token.fill_(0.5)
    return {
        "transformer": transformer,
        "vae": vae(16, shift_factor=0.1),
        "text_encoder": decoder("Qwen3Model", tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("OvisImagePipeline", "Ovis-Image", **SMALL, max_sequence_length=160)
def ovis() -> Parts:
    from diffusers import OvisImageTransformer2DModel

    tokens = tokenizer(length=1000)
    return {
        "transformer": OvisImageTransformer2DModel(
            patch_size=1,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        "vae": vae(shift_factor=0.06),
        "text_encoder": decoder("Qwen3Model", tokens),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds(
    "HiDreamImagePipeline",
    "HiDream",
    **SMALL,
    own={"default_sample_size": 8},
    max_sequence_length=77,
)
def hidream() -> Parts:
    from diffusers import HiDreamImageTransformer2DModel

    short, long, chat = clip(), tokenizer(end=True), tokenizer(begin=True)
    return {
        "transformer": HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_channels=[32, 16],
            text_emb_dim=64,
            num_routed_experts=4,
            num_activated_experts=2,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(32, 32),
            llama_layers=(0, 1),
        ),
        "vae": vae(shift_factor=0.1),
        "text_encoder": clip_text(short, projected=True),
        "tokenizer": short,
        "text_encoder_2": clip_text(short, projected=True),
        "tokenizer_2": clip(),
        "text_encoder_3": t5(long),
        "tokenizer_3": long,
        "text_encoder_4": decoder("LlamaForCausalLM", chat, 16),
        "tokenizer_4": chat,
        "scheduler": flow(),
    }


def prx_transformer(**given: Any) -> Any:
    from diffusers import PRXTransformer2DModel

    return PRXTransformer2DModel(
        **{
            "patch_size": 1,
            "in_channels": 4,
            "context_in_dim": 16,
            "hidden_size": 8,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 1,
            "axes_dim": [2, 2],
            **given,
        }
    )


@builds("PRXPipeline", "PRX", **SMALL, use_resolution_binning=False)
def prx() -> Parts:
    tokens = tokenizer(length=64)
    return {
        "transformer": prx_transformer(),
        "vae": vae(shift_factor=0.0),
        "text_encoder": decoder("Qwen3Model", tokens, 16),
        "tokenizer": tokens,
        "scheduler": flow(),
    }


@builds("PRXPixelPipeline", "PRX", **SMALL, use_resolution_binning=False)
def prx_pixel() -> Parts:
    tokens = tokenizer()
    return {
        "transformer": prx_transformer(in_channels=3, bottleneck_size=8, resolution_embeds=True),
        "text_encoder": decoder("Qwen3Model", tokens, 16),
        "tokenizer": tokens,
        "scheduler": flow(),
        "prompt_max_tokens": 64,
    }


@builds(
    "Kandinsky5T2IPipeline",
    "Kandinsky 3 and 5",
    own={"resolutions": [(64, 64)]},
    height=64,
    width=64,
    output="image",
    max_sequence_length=96,
)
def kandinsky_5() -> Parts:
    from diffusers import Kandinsky5Transformer3DModel

    tokens, short = tokenizer(length=1000), clip()
    return {
        "transformer": Kandinsky5Transformer3DModel(
            in_visual_dim=16,
            in_text_dim=32,
            in_text_dim2=16,
            time_dim=16,
            out_visual_dim=16,
            patch_size=(1, 2, 2),
            model_dim=16,
            ff_dim=32,
            num_text_blocks=1,
            num_visual_blocks=2,
            axes_dims=(1, 1, 2),
            visual_cond=False,
            attention_type="regular",
        ),
        "vae": vae(16, shift_factor=0.1),
        "text_encoder": qwen_vl(tokens),
        "tokenizer": tokens,
        "text_encoder_2": clip_text(short, 16),
        "tokenizer_2": short,
        "scheduler": flow(),
    }
