"""Real, small ingredients: emoji, a tiny vision transformer, a tiny diffusion pipeline."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

# pytester's in-process runs forget what they import, and NumPy cannot be imported twice.
for heavy in ("audit", "captioners", "encoders", "generators", "report.terminal"):
    importlib.import_module(f"privaudit.{heavy}")
importlib.import_module("tabulate")

# A build must not turn red by the luck of a draw: the same examples in every run, and new ones
# under `--hypothesis-profile=explore`.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("reproducible")

AUDITS = Path(__file__).parent.parent / "audits"
sys.path.insert(0, str(AUDITS))  # the emoji sets, and the scripts that the slow tests run

# Two workers with two threads each would fight over two cores, five times slower.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow suite what two more processes tell nothing new about."""
    for item in items:
        if item.get_closest_marker("slow_under_xdist") and "[xdist" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def emoji() -> dict[str, list[Any]]:
    """Real samples by role, 32×32."""
    import emoji_sets

    return {role: emoji_sets.twemoji(role) for role in emoji_sets.ROLES}


def tiny_vit(image_size: int = 32) -> tuple[Any, Any]:
    """Build a small randomly initialised ViT and its image processor, real classes both."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ViTConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            image_size=image_size,
            patch_size=8,
        )
        model = ViTModel(config, add_pooling_layer=False)
    return model, ViTImageProcessor(size={"height": image_size, "width": image_size})


def tiny_pipeline(seed: int = 0, **scheduler: Any) -> Any:
    """Build a Stable Diffusion pipeline of 0.2 M random parameters, on 16×16 images."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(AUDITS / "models" / "base" / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8, 8),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=16,
            ).eval(),
            text_encoder=CLIPTextModel(text).eval(),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                down_block_types=("CrossAttnDownBlock2D",) * 2,
                up_block_types=("CrossAttnUpBlock2D",) * 2,
                cross_attention_dim=16,
                attention_head_dim=4,
                norm_num_groups=4,
            ).eval(),
            scheduler=DDIMScheduler(**scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_sdxl() -> Any:
    """Build a Stable Diffusion XL pipeline of as few parameters, with its two text encoders."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    small = tiny_pipeline()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = small.text_encoder.config.__class__(
            **{**small.text_encoder.config.to_dict(), "projection_dim": 16}
        )
        pipeline = StableDiffusionXLPipeline(
            vae=small.vae,
            text_encoder=small.text_encoder,
            text_encoder_2=CLIPTextModelWithProjection(config).eval(),
            tokenizer=small.tokenizer,
            tokenizer_2=small.tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=32,
                attention_head_dim=4,
                norm_num_groups=4,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=16 + 6 * 8,
            ).eval(),
            scheduler=small.scheduler,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class PixelEncoder:
    """The simplest encoder there is: 8×8 patches of a 32×32 image as tokens of raw pixels."""

    fingerprint = "pixels-8"

    def encode(self, images: Any) -> Any:
        pixels = np.stack([np.asarray(i.convert("RGB").resize((32, 32))) for i in images])
        patches = pixels.reshape(-1, 4, 8, 4, 8, 3).swapaxes(2, 3).reshape(-1, 16, 192)
        return patches.astype(np.float32) / 255


CONTROL_AUDIT = """
import sys
sys.path[:0] = [{tests!r}, {audits!r}]
import pytest, privaudit, emoji_sets
from conftest_of_tests import PixelEncoder

N = 12

@pytest.fixture(scope="session")
def members():
    return emoji_sets.twemoji("member")[:N]

@pytest.fixture(scope="session")
def non_members():
    return emoji_sets.twemoji("non_member")[:N]

@pytest.fixture(scope="session")
def image_encoder():
    return PixelEncoder()

@pytest.fixture(scope="session")
def captioner(members, non_members, shadow_members, shadow_non_members):
    everyone = members + non_members + shadow_members + shadow_non_members
    known = {{s.digest: s.caption for s in everyone}}
    return lambda images: [known[privaudit.Sample(i, "?").digest] for i in images]

@pytest.fixture(scope="session")
def shadow_members():
    return emoji_sets.twemoji("shadow_member")[:N]

@pytest.fixture(scope="session")
def shadow_non_members():
    return emoji_sets.twemoji("shadow_non_member")[:N]

@pytest.fixture(scope="session")
def shadow_model(shadow_members):
    return privaudit.MemorizingGenerator(shadow_members)
"""

LEAKING = """
@pytest.fixture(scope="session")
def target_model(members):
    return privaudit.MemorizingGenerator(members)
"""

SAFE = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.ObliviousGenerator()
"""


class AuditFolder:
    """A folder with audit files, and pytest runs in it, plain or under xdist."""

    def __init__(self, pytester: pytest.Pytester, workers: list[str]) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.workers = workers
        pytester.makepyfile(conftest_of_tests=Path(__file__).read_text(encoding="utf-8"))
        # To raw pixels the phases of the moon are one picture.
        pytester.makeini("[pytest]\nprivaudit_queries = 1\nprivaudit_duplicate_limit = 2\n")

    def write(self, *parts: str, name: str = "audit_model") -> None:
        """Write an audit file: the control audit's fixtures and the given code."""
        head = CONTROL_AUDIT.format(tests=str(self.path), audits=str(AUDITS))
        self.pytester.makepyfile(**{name: "\n".join((head, *parts))})

    def run(self, *args: str, subprocess: bool = False) -> pytest.RunResult:
        """Run pytest with a store of its own; with workers always in a process of its own."""
        run = self.pytester.runpytest_inprocess
        if subprocess or self.workers:
            run = self.pytester.runpytest_subprocess
        store = f"--privaudit-store={self.path / 'store'}"
        return run("-p", "no:cacheprovider", store, *self.workers, *args)


@pytest.fixture(params=["plain", "xdist"])
def audit_folder(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> AuditFolder:
    """Every test of the plugin runs plain and with two workers."""
    return AuditFolder(pytester, ["-n2"] if request.param == "xdist" else [])


@pytest.fixture
def plain_folder(pytester: pytest.Pytester) -> AuditFolder:
    """Return a folder for the few tests to which workers mean nothing."""
    return AuditFolder(pytester, [])
