"""Audits on a GPU: what one adds to the bare pipeline, and how far kernels move a picture.

``python benchmarks/gpu.py sd15 sdxl`` builds pipelines of the full size of Stable Diffusion 1.5
(512 px) and SDXL (1,024 px) from their configurations, with random weights, since speed does not
depend on them, and times in alternation:

- *bare*: one loop of batched calls of the pipeline, the pictures thrown away;
- *audit*: the same queries through the local engine, measured by an encoder of the size of
  DeiT-Base and by pixels, stored as PNG files on disk;
- *stored*: the same once more, which must not call the model.

The first audit searches its batch size, which bare then has too. It prints one line for each run
with the card's name, and JSON at the end.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SPREAD, shares, show, spread
from PIL import Image

from privaudit import PipelineTarget, Sample
from privaudit.encoders import as_encoder
from privaudit.engines.local import LocalEngine
from privaudit.engines.pace import Pace
from privaudit.engines.task import Task
from privaudit.measurements import ReconstructionSimilarity
from privaudit.measurements.blocks import AnswerSimilarity
from privaudit.store import Store
from privaudit.targets.acceleration import Acceleration
from privaudit.targets.queries import plan_queries

TOKENIZER = Path(__file__).parents[1] / "audits" / "models" / "base" / "tokenizer"
UNETS: dict[str, dict[str, Any]] = {
    "sd15": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""The published configurations, as far as they are not diffusers' defaults."""


def _text_encoder(kind: Any, tokenizer: Any, width: int, layers: int, heads: int) -> Any:
    from transformers import CLIPTextConfig

    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build(name: str, dtype: torch.dtype, device: str = "cuda") -> Any:
    """Build a pipeline of full size and random weights."""
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    torch.manual_seed(0)
    with torch.device(device):
        unet = diffusers.UNet2DConditionModel(**UNETS[name])
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
        parts = {"text_encoder": _text_encoder(CLIPTextModel, tokenizer, 768, 12, 12)}
        if name == "sdxl":
            large = _text_encoder(CLIPTextModelWithProjection, tokenizer, 1280, 32, 20)
            parts["text_encoder_2"] = large
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    common = {
        "unet": unet.eval(),
        "vae": vae.eval(),
        "scheduler": scheduler,
        "tokenizer": tokenizer,
    }
    parts = {key: part.eval() for key, part in parts.items()}
    if name == "sdxl":
        kind: Any = diffusers.StableDiffusionXLPipeline
        pipeline = kind(tokenizer_2=tokenizer, **common, **parts)
    else:
        none = {"safety_checker": None, "feature_extractor": None}
        kind = diffusers.StableDiffusionPipeline
        pipeline = kind(requires_safety_checker=False, **none, **common, **parts)
    pipeline.to(dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def deit_base(device: str) -> Any:
    """Build an encoder of the size of DeiT-Base, random weights, 384 px as the paper's."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    with torch.device(device):
        model = ViTModel(ViTConfig(image_size=384), add_pooling_layer=False)
    return as_encoder((model, ViTImageProcessor(size={"height": 384, "width": 384})), device=device)


class Bench:
    """One model, its queries, and what is timed on them."""

    def __init__(self, name: str, chosen: argparse.Namespace) -> None:
        dtype = getattr(torch, chosen.dtype)
        self.name, self.m = name, chosen.queries
        self.pipeline = build(name, dtype, chosen.device)
        faster = Acceleration(channels_last=chosen.channels_last, compile=chosen.compile)
        self.call = {"num_inference_steps": chosen.steps, "guidance_scale": 7.5}
        if chosen.size:
            self.call |= {"height": chosen.size, "width": chosen.size}
        self.target = PipelineTarget(self.pipeline, acceleration=faster, **self.call)
        encoder = deit_base(chosen.device)
        self.measured = AnswerSimilarity(ReconstructionSimilarity(encoder, "cosine", "token"))
        edge = chosen.size or 8 * UNETS[name]["sample_size"]
        noise = np.random.default_rng(0).integers(0, 256, (chosen.samples, 16, 16, 3), np.uint8)
        self.samples = [
            Sample(Image.fromarray(small).resize((edge, edge)), f"picture number {i} of a thing")
            for i, small in enumerate(noise)
        ]
        captions = [sample.caption for sample in self.samples]
        self.queries = plan_queries(self.samples, captions, self.m, 0)
        self.batch_size: int | None = chosen.batch or None

    def bare(self) -> None:
        """Call the pipeline on one batch after the other."""
        size = self.batch_size or 16
        pipeline = self.target.pipeline
        for start in range(0, len(self.queries), size):
            part = self.queries[start : start + size]
            seeds = [torch.Generator("cpu").manual_seed(query.seed) for query in part]
            prompts = [query.prompt for query in part]
            pipeline(prompts, generator=seeds, output_type="np", **self.call)

    def audit(self, folder: Path) -> int:
        """Have all queries answered, measured and stored; return how many pictures were drawn."""
        made: list[int] = []
        task = Task(self.target, self.measured, self.batch_size)
        store = Store(folder)
        LocalEngine().run(task, self.queries, store, made.append)
        if self.batch_size is None:
            pace = Pace.read(store, self.target.fingerprint)
            self.batch_size = None if pace is None else pace.batch_size
        return sum(made)


def timed(work: Any) -> float:
    """Seconds of a piece of work, to the end of what the card was given."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Time one model, and print as it goes."""
    built = time.perf_counter()
    bench = Bench(name, chosen)
    print(f"{name}: built in {time.perf_counter() - built:.0f} s", flush=True)
    ready = timed(lambda: bench.target.generate([s.caption for s in bench.samples[:2]], [0, 1]))
    print(f"{name}: fingerprint, trials and a first picture in {ready:.0f} s", flush=True)
    print(f"{name}: a batch may hold {bench.target._company.value} texts", flush=True)
    ratios: dict[str, list[float]] = {}
    seconds: list[float] = []
    parts: dict[str, list[float]] = {}
    for run in range(chosen.runs):
        with tempfile.TemporaryDirectory() as folder:
            with shares(parts):
                took = {"audit": timed(functools.partial(bench.audit, Path(folder)))}
            started = time.perf_counter()
            assert bench.audit(Path(folder)) == 0
            took["stored"] = time.perf_counter() - started
            took["bare"] = timed(bench.bare)
        took |= {f"of it {part}": spent[-1] for part, spent in parts.items()}
        print(name, run, {key: f"{value:.2f} s" for key, value in took.items()}, flush=True)
        if run == 0 and chosen.runs > 1:
            continue  # the search for a batch size, and first kernels
        seconds.append(took["bare"] / len(bench.queries))
        ratios.setdefault("audit / bare", []).append(took["audit"] / took["bare"])
        ratios.setdefault("stored / audit", []).append(took["stored"] / took["audit"])
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    print(
        f"{name}, {chosen.dtype}, {len(bench.queries)} pictures, {chosen.steps} steps, batch "
        f"{bench.batch_size}, {np.median(seconds):.3f} s a picture, peak {peak:.1f} GiB"
    )
    show([[key, *spread(values, ".3f")] for key, values in ratios.items()], ["ratio", *SPREAD])
    return {"batch": bench.batch_size, "s a picture": seconds, "peak GiB": peak, **ratios}


def main() -> None:
    """Time the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["sd15"], choices=[*UNETS], metavar="MODEL")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--queries", type=int, default=3, help="m: pictures a sample")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, help="height and width; by default the model's own")
    parser.add_argument("--batch", type=int, help="by default what the search finds")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--runs", type=int, default=3, help="of which the first is a warm-up")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(card, torch.__version__, flush=True)
    found = {name: measure(name, chosen) for name in chosen.models}
    print(json.dumps({"card": card, **found}))


if __name__ == "__main__":
    main()
