"""Pipelines of 2022 and 2023 that are no Stable Diffusion, and its offshoots with parts of their own."""

from __future__ import annotations

import importlib.util
from typing import Any

from tests.zoo.images import vae
from tests.zoo.kandinsky import decoder_unet, image_encoder, movq
from tests.zoo.registry import Parts, builds
from tests.zoo.stable_diffusion import stable_diffusion, unet
from tests.zoo.texts import chat_glm, chat_glm_tokenizer, clip, clip_text, t5, tokenizer


@builds("IFPipeline", "DeepFloyd IF", height=16, width=16)
def deep_floyd() -> Parts:
    from diffusers import DDPMScheduler, UNet2DConditionModel

    tokens = tokenizer(end=True)
    return {
        "unet": UNet2DConditionModel(
            sample_size=16,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            in_channels=3,
            out_channels=6,
            cross_attention_dim=32,
            encoder_hid_dim=32,
            attention_head_dim=8,
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            cross_attention_norm="group_norm",
            resnet_time_scale_shift="scale_shift",
            norm_num_groups=8,
            act_fn="gelu",
        ),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
        "scheduler": DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            variance_type="learned_range",
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }


@builds("Kandinsky3Pipeline", "Kandinsky 3 and 5", height=32, width=32)
def kandinsky_3() -> Parts:
    from diffusers import DDPMScheduler, Kandinsky3UNet

    tokens = tokenizer(end=True)
    return {
        "unet": Kandinsky3UNet(
            in_channels=4,
            time_embedding_dim=4,
            groups=2,
            attention_head_dim=4,
            layers_per_block=3,
            block_out_channels=(16, 32),
            cross_attention_dim=4,
            encoder_hid_dim=32,
        ),
        "scheduler": DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, steps_offset=1, beta_schedule="squaredcos_cap_v2"
        ),
        "movq": movq(),
        "text_encoder": t5(tokens),
        "tokenizer": tokens,
    }


@builds(
    "KandinskyCombinedPipeline", "Kandinsky 2", height=64, width=64, prior_num_inference_steps=2
)
def kandinsky_21() -> Parts:
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    from tests.zoo.kandinsky import ddim, prior_parts

    tokens = tokenizer(begin=True, end=True, length=77)
    return prior_parts() | {
        "text_encoder": MultilingualCLIP(
            MCLIPConfig(
                numDims=32,
                transformerDimensions=32,
                hidden_size=32,
                intermediate_size=32,
                num_attention_heads=2,
                num_hidden_layers=2,
                vocab_size=len(tokens),
                max_position_embeddings=100,
            )
        ),
        "tokenizer": tokens,
        "unet": decoder_unet(
            addition_embed_type="text_image", encoder_hid_dim_type="text_image_proj"
        ),
        "scheduler": ddim(),
        "movq": movq(),
    }


def kolors() -> Parts:
    from diffusers import EulerDiscreteScheduler

    tokens = chat_glm_tokenizer()
    return {
        "vae": vae(),
        "text_encoder": chat_glm(tokens),
        "tokenizer": tokens,
        "unet": unet(
            32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
        "scheduler": EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
    }


if importlib.util.find_spec("sentencepiece"):  # diffusers hides the classes without it
    builds("KolorsPipeline", "Kolors", max_sequence_length=96)(kolors)
    builds("KolorsPAGPipeline", "Perturbed-attention guidance", max_sequence_length=96)(kolors)


@builds("LDMTextToImagePipeline", "Latent diffusion", height=16, width=16)
def latent_diffusion() -> Parts:
    parts = stable_diffusion()
    return {
        "vqvae": parts["vae"],
        "bert": parts["text_encoder"],
        "tokenizer": parts["tokenizer"],
        "unet": parts["unet"],
        "scheduler": parts["scheduler"],
    }


@builds("StableDiffusionLDM3DPipeline", "Stable Diffusion 1 and 2", output="rgb", output_type="np")
def ldm_3d() -> Parts:
    return stable_diffusion() | {
        "vae": vae(in_channels=6, out_channels=6),
        "image_encoder": None,
    }


@builds("SemanticStableDiffusionPipeline", "Stable Diffusion 1 and 2")
def semantic() -> Parts:
    return stable_diffusion()


@builds("StableUnCLIPPipeline", "unCLIP", prior_num_inference_steps=2)
def stable_unclip() -> Parts:
    from diffusers import DDIMScheduler, DDPMScheduler, PriorTransformer
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    tokens = clip()
    return {
        "prior_tokenizer": clip(),
        "prior_text_encoder": clip_text(tokens, projected=True),
        "prior": PriorTransformer(
            num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1
        ),
        "prior_scheduler": DDPMScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            clip_sample_range=5.0,
            beta_schedule="squaredcos_cap_v2",
        ),
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=32),
        "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "tokenizer": tokens,
        "text_encoder": clip_text(tokens),
        "unet": unet(class_embed_type="projection", projection_class_embeddings_input_dim=64),
        "scheduler": DDIMScheduler(prediction_type="v_prediction"),
        "vae": vae(),
    }


@builds("AmusedPipeline", "aMUSEd", height=16, width=16)
def amused() -> Parts:
    from diffusers import AmusedScheduler, UVit2DModel, VQModel

    tokens = clip()
    return {
        "transformer": UVit2DModel(
            hidden_size=8,
            use_bias=False,
            hidden_dropout=0.0,
            cond_embed_dim=8,
            micro_cond_encode_dim=2,
            micro_cond_embed_dim=10,
            encoder_hidden_size=8,
            vocab_size=32,
            codebook_size=8,
            in_channels=8,
            block_out_channels=8,
            num_res_blocks=1,
            downsample=True,
            upsample=True,
            block_num_heads=1,
            num_hidden_layers=1,
            num_attention_heads=1,
            attention_dropout=0.0,
            intermediate_size=8,
            layer_norm_eps=1e-06,
            ln_elementwise_affine=True,
        ),
        "scheduler": AmusedScheduler(mask_token_id=31),
        "vqvae": VQModel(
            block_out_channels=(8,),
            down_block_types=("DownEncoderBlock2D",),
            up_block_types=("UpDecoderBlock2D",),
            latent_channels=8,
            layers_per_block=1,
            norm_num_groups=8,
            num_vq_embeddings=8,
            sample_size=8,
            mid_block_add_attention=False,
            lookup_from_codebook=True,
        ),
        "text_encoder": clip_text(tokens, 8, projected=True),
        "tokenizer": tokens,
    }


@builds(
    "UniDiffuserPipeline",
    "UniDiffuser",
    height=16,
    width=16,
    silent=("image_encoder", "text_decoder"),
)
def unidiffuser() -> Parts:
    from diffusers import DPMSolverMultistepScheduler, UniDiffuserModel, UniDiffuserTextDecoder
    from transformers import CLIPImageProcessor

    tokens, written = clip(), tokenizer()
    return {
        "vae": vae(),
        "text_encoder": clip_text(tokens),
        "image_encoder": image_encoder(),
        "clip_image_processor": CLIPImageProcessor(size=32, crop_size=32),
        "clip_tokenizer": tokens,
        "text_decoder": UniDiffuserTextDecoder(
            prefix_length=77,
            prefix_inner_dim=32,
            prefix_hidden_dim=32,
            vocab_size=len(written),
            n_positions=128,
            n_embd=32,
            n_layer=1,
            n_head=2,
        ),
        "text_tokenizer": written,
        "unet": UniDiffuserModel(
            text_dim=32,
            clip_img_dim=32,
            num_text_tokens=77,
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            sample_size=8,
            patch_size=2,
            norm_num_groups=4,
            activation_fn="gelu",
            num_embeds_ada_norm=1000,
            norm_type="layer_norm",
            block_type="unidiffuser",
            pre_layer_norm=False,
            use_timestep_embedding=False,
            use_patch_pos_embed=True,
            ff_final_dropout=True,
            use_data_type_embedding=True,
        ),
        "scheduler": DPMSolverMultistepScheduler(beta_schedule="scaled_linear", solver_order=3),
    }


@builds(
    "UnCLIPPipeline",
    "unCLIP",
    steps=None,
    prior_num_inference_steps=2,
    decoder_num_inference_steps=2,
    super_res_num_inference_steps=2,
)
def unclip() -> Parts:
    from diffusers import PriorTransformer, UnCLIPScheduler, UNet2DModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    tokens = clip()
    larger: dict[str, Any] = {
        "sample_size": 32,
        "layers_per_block": 1,
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "in_channels": 6,
        "out_channels": 3,
    }
    return {
        "prior": PriorTransformer(
            num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1
        ),
        "decoder": decoder_unet(
            sample_size=16,
            in_channels=3,
            out_channels=6,
            encoder_hid_dim=None,
            encoder_hid_dim_type=None,
            addition_embed_type=None,
            class_embed_type="identity",
        ),
        "text_encoder": clip_text(tokens, projected=True),
        "tokenizer": tokens,
        "text_proj": UnCLIPTextProjModel(
            clip_embeddings_dim=32, time_embed_dim=64, cross_attention_dim=32
        ),
        "super_res_first": UNet2DModel(**larger),
        "super_res_last": UNet2DModel(**larger),
        "prior_scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        "decoder_scheduler": UnCLIPScheduler(variance_type="learned_range"),
        "super_res_scheduler": UnCLIPScheduler(variance_type="fixed_small_log"),
    }


@builds("StableDiffusionModelEditingPipeline", "Stable Diffusion 1 and 2")
def model_editing() -> Parts:
    return stable_diffusion()
