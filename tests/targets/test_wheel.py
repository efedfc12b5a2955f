"""A wheel of ways to change what a pipeline draws without touching a weight: each is noticed."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch

from privaudit import PipelineTarget
from tests.parts.pipelines import tiny_pipeline

Change = Callable[[Any], Any]
WAYS: dict[str, Change] = {}


def way(change: Change) -> Change:
    WAYS[change.__name__] = change
    return change


def scheduler(name: str, **settings: Any) -> None:
    def change(pipeline: Any) -> None:
        kind = type(pipeline.scheduler)
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **settings)

    WAYS[f"scheduler_{name}"] = change


for key, value in {
    "beta_start": 0.001,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "clip_sample_range": 0.5,
    "rescale_betas_zero_snr": True,
    "num_train_timesteps": 500,
    "steps_offset": 7,
    "set_alpha_to_one": False,
}.items():
    scheduler(key, **{key: value})
for key in ("thresholding",):
    scheduler(key, thresholding=True, sample_max_value=0.5)
for name in ("EulerDiscreteScheduler", "UniPCMultistepScheduler", "DDPMScheduler"):

    def swap(pipeline: Any, name: str = name) -> None:
        import diffusers

        pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)

    WAYS[name] = swap


@way
def edited_alphas(pipeline: Any) -> None:
    pipeline.scheduler.alphas_cumprod[300:] *= 0.9


@way
def replaced_scheduler_step(pipeline: Any) -> None:
    step = pipeline.scheduler.step
    pipeline.scheduler.step = lambda output, *a, **k: step(output * 1.1, *a, **k)


@way
def replaced_noise_scale(pipeline: Any) -> None:
    pipeline.scheduler.init_noise_sigma = 1.5


@way
def subclassed_scheduler(pipeline: Any) -> None:
    kind = type(pipeline.scheduler)
    base = kind.step
    local = type(kind.__name__, (kind,), {"step": lambda s, o, *a, **k: base(s, o * 0.9, *a, **k)})
    pipeline.scheduler.__class__ = local


def hook(part: str, path: str = "", *, before: bool = False) -> None:
    def change(pipeline: Any) -> None:
        module = getattr(pipeline, part).get_submodule(path)
        if before:
            module.register_forward_pre_hook(
                lambda _, given: (given[0] * 1.1, *given[1:]) if given else None
            )
        else:
            module.register_forward_hook(lambda _, __, out: out * 1.1)

    WAYS[f"hook_{part}_{path}_{'before' if before else 'after'}"] = change


for part, path in (
    ("unet", "conv_in"),
    ("unet", "mid_block.resnets.0"),
    ("unet", "time_embedding"),
    ("unet", "time_proj"),
    ("unet", "down_blocks.0.resnets.0"),
    ("unet", "up_blocks.1.resnets.0"),
    ("unet", "conv_norm_out"),
    ("vae", "post_quant_conv"),
    ("vae", "decoder.conv_out"),
    ("text_encoder", "get_input_embeddings"),
):
    if path == "get_input_embeddings":

        def embed(pipeline: Any) -> None:
            module = pipeline.text_encoder.get_input_embeddings()
            module.register_forward_hook(lambda _, __, out: out * 1.5)

        WAYS["hook_text_encoder_embeddings"] = embed
    else:
        hook(part, path)
hook("unet", "conv_out", before=True)


@way
def free_u(pipeline: Any) -> None:
    # On a pipeline of this width free_u finds no block of the right size: as its code does.
    block = pipeline.unet.up_blocks[0]
    forward = block.forward
    block.forward = lambda hidden_states, *a, **k: forward(hidden_states * 1.2, *a, **k)


@way
def replaced_unet_forward(pipeline: Any) -> None:
    forward = pipeline.unet.forward

    def other(sample: Any, *given: Any, **named: Any) -> Any:
        return forward(sample * 0.9, *given, **named)

    pipeline.unet.forward = other


@way
def replaced_vae_decode(pipeline: Any) -> None:
    decode = pipeline.vae.decode
    pipeline.vae.decode = lambda latents, *a, **k: decode(latents * 1.2, *a, **k)


@way
def replaced_encode_prompt(pipeline: Any) -> None:
    encode = pipeline.encode_prompt

    def other(*given: Any, **named: Any) -> Any:
        return tuple(None if rows is None else rows * 1.3 for rows in encode(*given, **named))

    pipeline.encode_prompt = other


@way
def replaced_prepare_latents(pipeline: Any) -> None:
    prepare = pipeline.prepare_latents
    pipeline.prepare_latents = lambda *a, **k: prepare(*a, **k) * 0.5


@way
def custom_class_of_one_name(pipeline: Any) -> None:
    kind = type(pipeline)
    decode = kind.prepare_latents
    pipeline.__class__ = type(
        kind.__name__, (kind,), {"prepare_latents": lambda s, *a, **k: decode(s, *a, **k) + 0.3}
    )


class Scaled:
    """An attention processor that halves what another one returns."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.inner(*given, **named) * 0.5


@way
def attention_processors(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(Scaled(module.processor))


@way
def one_attention_processor(pipeline: Any) -> None:
    module = next(m for m in pipeline.unet.modules() if hasattr(m, "set_processor"))
    module.set_processor(Scaled(module.processor))


@way
def number_of_heads(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        if hasattr(module, "heads") and module.heads == 4:
            module.heads = 8


@way
def norm_epsilon(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.eps = 0.5


@way
def output_scale_factor(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        if hasattr(module, "output_scale_factor"):
            module.output_scale_factor = 2.0


@way
def activation(pipeline: Any) -> None:
    for module in pipeline.unet.modules():
        if isinstance(getattr(module, "nonlinearity", None), torch.nn.SiLU):
            module.nonlinearity = torch.nn.ReLU()


@way
def vae_scaling_factor(pipeline: Any) -> None:
    pipeline.vae.register_to_config(scaling_factor=0.5)


@way
def tokenizer_pad_token(pipeline: Any) -> None:
    pipeline.tokenizer.pad_token = "a"


@way
def tokenizer_padding_side(pipeline: Any) -> None:
    pipeline.tokenizer.padding_side = "left"


@way
def tokenizer_truncation_side(pipeline: Any) -> None:
    pipeline.tokenizer.truncation_side = "left"


@way
def tokenizer_length(pipeline: Any) -> None:
    pipeline.tokenizer.model_max_length = 8


def prefixed(text: Any) -> Any:
    return f"x{text}" if isinstance(text, str) else [f"x{one}" for one in text]


@way
def tokenizer_wrapped(pipeline: Any) -> None:
    kind = type(pipeline.tokenizer)
    plain = kind.__call__
    pipeline.tokenizer.__class__ = type(
        kind.__name__,
        (kind,),
        {"__call__": lambda s, text, *a, **k: plain(s, prefixed(text), *a, **k)},
    )


@way
def text_encoder_layers(pipeline: Any) -> None:
    kind = type(pipeline.text_encoder)
    forward = kind.forward

    def other(self: Any, *given: Any, **named: Any) -> Any:
        output = forward(self, *given, **named)
        return type(output)({**output, "last_hidden_state": output[0] * 1.5})

    pipeline.text_encoder.forward = types.MethodType(other, pipeline.text_encoder)


@way
def replaced_image_processor(pipeline: Any) -> None:
    after = pipeline.image_processor.postprocess
    pipeline.image_processor.postprocess = lambda *a, **k: 1 - after(*a, **k)


@way
def default_size(pipeline: Any) -> None:
    pipeline.unet.register_to_config(sample_size=16)


@way
def unet_in_another_precision(pipeline: Any) -> None:
    weights = [p.data.clone() for p in pipeline.unet.parameters()]
    forward = pipeline.unet.forward
    del weights

    def other(sample: Any, *given: Any, **named: Any) -> Any:
        return tuple(
            rows.half().float() if isinstance(rows, torch.Tensor) else rows
            for rows in forward(sample.bfloat16().float(), *given, **named)
        )

    pipeline.unet.forward = other


@way
def dropped_guidance(pipeline: Any) -> None:
    kind = type(pipeline)
    pipeline.__class__ = type(kind.__name__, (kind,), {"guidance_scale": property(lambda _: 1.0)})


@way
def safety_that_blurs(pipeline: Any) -> None:
    pipeline.run_safety_checker = lambda image, *_: (image * 0.9, None)


@pytest.fixture(scope="module")
def plain() -> Any:
    pipeline = tiny_pipeline()
    target = PipelineTarget(pipeline, num_inference_steps=2)
    return pipeline, target.fingerprint, target.probe


@pytest.mark.parametrize("name", WAYS)
def test_a_change_that_no_weight_tells_of_is_noticed(name: str, plain: Any) -> None:
    given, fingerprint, probe = plain
    pipeline = copy.deepcopy(given)
    WAYS[name](pipeline)
    assert PipelineTarget(pipeline, num_inference_steps=2).fingerprint != fingerprint
    again = PipelineTarget(given, num_inference_steps=2)
    assert (again.fingerprint, again.probe) == (fingerprint, probe)


def test_the_wheel_has_fifty_spokes() -> None:
    assert len(WAYS) >= 50
