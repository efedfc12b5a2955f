"""Quantised and offloaded weights: identified by their values, and asked as any other pipeline.

torchao and bitsandbytes are no dependencies: `pip install --target DIR torchao bitsandbytes` and
`PYTHONPATH=DIR` run these tests.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from privaudit import PipelineTarget
from tests.parts.pipelines import tiny_pipeline

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def int8_of_torchao(pipeline: Any) -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    quantization.quantize_(pipeline.unet, quantization.Int8WeightOnlyConfig())


def of_bitsandbytes(pipeline: Any, kind: str) -> None:
    modules = pytest.importorskip("bitsandbytes.nn", reason="bitsandbytes is not installed")
    options = {"Linear8bitLt": {"has_fp16_weights": False}, "Linear4bit": {"quant_type": "nf4"}}
    for _, module in list(pipeline.unet.named_modules()):
        for name, layer in list(module.named_children()):
            if name in ("to_q", "to_k", "to_v") and isinstance(layer, torch.nn.Linear):
                new = getattr(modules, kind)(
                    layer.in_features, layer.out_features, bias=False, **options[kind]
                )
                new.load_state_dict(layer.state_dict(), strict=False)
                setattr(module, name, new.to("cpu"))


def offloaded(pipeline: Any) -> None:
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    for name in ("unet", "text_encoder", "vae"):
        accelerate.cpu_offload(getattr(pipeline, name), execution_device=torch.device("cpu"))


@pytest.mark.filterwarnings("ignore")  # of libraries that are not ours to choose
@pytest.mark.parametrize(
    "change",
    [
        int8_of_torchao,
        lambda pipeline: of_bitsandbytes(pipeline, "Linear8bitLt"),
        lambda pipeline: of_bitsandbytes(pipeline, "Linear4bit"),
        offloaded,
        lambda pipeline: pipeline.enable_model_cpu_offload(device="cpu"),
    ],
    ids=["torchao int8", "bitsandbytes 8 bit", "bitsandbytes 4 bit", "offloaded", "model offload"],
)
@pytest.mark.slow
def test_what_is_quantised_or_offloaded_is_known_and_asked(change: Any) -> None:
    def target(factor: float) -> PipelineTarget:
        pipeline = tiny_pipeline()
        pipeline.unet.get_submodule(LAYER).weight.data *= factor
        change(pipeline)
        return PipelineTarget(pipeline, num_inference_steps=1)

    one, same, other = target(1.0), target(1.0), target(1.1)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    images = one.generate(["a fox", "a hen"], [1, 2])
    assert images == same.generate(["a fox", "a hen"], [1, 2])
