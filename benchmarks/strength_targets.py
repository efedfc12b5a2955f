"""Targets of the yardstick ``strength.py``: really fine-tuned models, and what they answer."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import strength_sets
import torch

from privaudit import Sample, SavedPipeline, load_pipeline
from privaudit.diffusion.families import family_of
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.targets.acceleration import Acceleration
from privaudit.targets.queries import plan_queries
from privaudit.training import DifferentialPrivacy
from privaudit.training.fine_tuning import finetune

if TYPE_CHECKING:
    from pathlib import Path

    from privaudit.measurements import Features

MODELS = strength_sets.emoji_sets.MODELS
BASE = MODELS / "base"
M, DRAWS, STEPS = 3, 1, 10
"""Images a sample; draws of noise a sample; denoising steps."""
BATCH = 32
ONE_CAPTION = "a picture of sks"


@dataclass(frozen=True)
class Yard:
    """One target: the images, how it was fine-tuned on half of them, and what it is for."""

    images: str
    recipe: str
    purpose: str
    """``chosen on``: methods may be chosen on it. ``held back``: none was."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.images}/{self.recipe}"

    def samples(self, sets: Path) -> tuple[list[Sample], ...]:
        """Return members and non-members, with the captions that it is trained on and asked."""
        sides = strength_sets.split(self.images, sets)
        if self.recipe != "dreambooth":
            return sides
        one, other = ([Sample(s.image, ONE_CAPTION, id=s.id) for s in side] for side in sides)
        return one, other


YARDS = (
    Yard("twemoji", "none", "chosen on"),
    Yard("twemoji", "full-2000", "chosen on"),
    Yard("twemoji-auxiliary", "none", "chosen on"),
    Yard("twemoji-auxiliary", "lora-3000", "chosen on"),
    Yard("twemoji", "dp", "chosen on"),
    Yard("openmoji", "none", "held back"),
    Yard("openmoji", "full-long", "held back"),
    Yard("stamps", "none", "held back"),
    Yard("stamps", "full-long", "held back"),
    Yard("noto", "none", "chosen on"),
    Yard("noto", "full-long", "chosen on"),
    Yard("stamps", "lora-text", "held back"),
    Yard("openmoji", "lora", "held back"),
    Yard("stamps", "dreambooth", "held back"),
    Yard("stamps", "full-short", "held back"),
    Yard("openmoji", "dp", "held back"),
    Yard("twemoji", "full-short", "chosen on"),
    Yard("noto", "lora-text", "chosen on"),
)
LONG: dict[str, Any] = {
    "steps": 400,
    "batch_size": 16,
    "learning_rate": 1.5e-3,
    "lr_scheduler": "cosine",
}
"""80 epochs of 80 members."""
RECIPES: dict[str, dict[str, Any]] = {
    "full-long": {"method": "full", **LONG},
    "full-short": {"method": "full", **LONG, "steps": 150},
    "dreambooth": {"method": "full", **LONG},
    "lora": {"lora_rank": 40, **LONG, "learning_rate": 3e-3},
    "dp": {
        "method": "bias",
        **LONG,
        "steps": 200,
        "differential_privacy": DifferentialPrivacy(
            epsilon=8.0, delta=1e-3, max_grad_norm=0.1, noise_seed=0
        ),
    },
}
MADE = {
    "twemoji/full-2000": {"unet": MODELS / "overfit" / "unet"},
    "twemoji/dp": {"biases": MODELS / "dp"},
    "twemoji-auxiliary/lora-3000": {"lora": MODELS / "shadow"},
}
"""The models of audits/."""


SHADOWS = {
    ("twemoji", "twemoji-auxiliary/lora-3000"),
    ("openmoji", "noto/full-long"),
    ("stamps", "noto/full-long"),
}
"""Which target's attacker has which model as a shadow, in scenario III. The first is of the same
artists' pictures; the others are of pictures by somebody else."""


def is_made(yard: Yard, folder: Path) -> bool:
    """Whether a target was fine-tuned already."""
    return yard.name in MADE or (_model(yard, folder) / "model_index.json").exists()


def base_of(yard: Yard) -> Yard:
    """Return the base, asked of the same images."""
    return Yard(yard.images, "none", yard.purpose)


def _model(yard: Yard, folder: Path) -> Path:
    return folder / yard.name.replace("/", "-")


def saved(yard: Yard, folder: Path, sets: Path, guidance: float | None = None) -> SavedPipeline:
    """Name a target's files; it is fine-tuned now if it was not before."""
    parts = MADE.get(yard.name, {})
    # The models of audits/ are asked as the audits ask them; others at the pipeline's own guidance.
    call = {"guidance_scale": 3.0} if yard.images.startswith("twemoji") else {}
    if guidance is not None:
        call = {"guidance_scale": guidance}
    model = _model(yard, folder)
    if parts or yard.recipe == "none":
        return SavedPipeline(BASE, device="cpu", call=call, **parts)
    if not (model / "model_index.json").exists():
        torch.set_num_threads(1)
        pipeline, members = load_pipeline(BASE, device="cpu"), yard.samples(sets)[0]
        if yard.recipe == "lora-text":
            tuned = lora_with_text_encoder(pipeline, members)
        else:
            tuned = finetune(pipeline, members, seed=0, **RECIPES[yard.recipe]).pipeline
        for part in (tuned.unet, tuned.text_encoder):
            if getattr(part, "peft_config", None):
                tuned.fuse_lora()
                tuned.unload_lora_weights()
        unfinished = model.with_suffix(".unfinished")
        tuned.save_pretrained(unfinished)
        unfinished.rename(model)
    return SavedPipeline(model, device="cpu", call=call)


def lora_with_text_encoder(pipeline: Any, members: list[Sample]) -> Any:
    """Train adapters of U-Net and text encoder by the ordinary loop of diffusers' scripts."""
    from peft import LoraConfig, inject_adapter_in_model

    draws = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    tuned = copy.deepcopy(pipeline)
    tuned.unet.requires_grad_(requires_grad=False)
    tuned.text_encoder.requires_grad_(requires_grad=False)
    attention = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2"]
    words = ["q_proj", "k_proj", "v_proj", "out_proj"]
    tuned.unet.add_adapter(LoraConfig(r=40, lora_alpha=40, target_modules=attention))
    # Not by add_adapter: transformers 5.24 wants a PEFT that is not released.
    inject_adapter_in_model(
        LoraConfig(r=16, lora_alpha=16, target_modules=words), tuned.text_encoder
    )
    trained = [
        p for part in (tuned.unet, tuned.text_encoder) for p in part.parameters() if p.requires_grad
    ]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LONG["steps"])
    family = family_of(tuned)
    latents, _ = family.latents(members, family.size())
    for _ in range(LONG["steps"]):
        part = torch.randperm(len(members), generator=draws)[: LONG["batch_size"]]
        told = family.texts([members[i].caption for i in part.tolist()])
        noise, levels = family.objective.draw(latents[part], draws)
        loss = family.errors(tuned.unet, latents[part], told, noise, levels).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    return tuned


@dataclass(frozen=True)
class Asked:
    """A target, what it is asked, and where its answers are kept.

    Attributes
    ----------
    target
        The model.
    samples
        Those that it is asked about: members first.
    members
        How many of them are members.
    store
        What was answered and measured before.
    """

    target: Any
    samples: list[Sample]
    members: int
    store: Store

    @classmethod
    def of(
        cls,
        yard: Yard,
        folder: Path,
        sets: Path,
        samples: list[Sample] | None = None,
        *,
        steps: int = STEPS,
        guidance: float | None = None,
    ) -> Asked:
        """Put a target and its samples together, or others with their own captions."""
        target = as_target(
            saved(yard, folder, sets, guidance),
            num_inference_steps=steps,
            guidance_scale=None,
            acceleration=Acceleration(),
        )
        one, other = yard.samples(sets)
        given = [*one, *other] if samples is None else samples
        return cls(target, given, len(one), Store(folder / "store"))

    def features(self, measurement: Any, m: int = M, *, make: bool = False) -> Features | None:
        """Measure all samples; what is not there is made if asked, or ``None`` is returned."""
        queries = plan_queries(self.samples, [s.caption for s in self.samples], m, 0)
        task = Task(self.target, measurement, BATCH)
        images, keys = task.keys(queries)
        lacking = self.store.absent(keys)
        ready = task.asks and all(self.store.has_image(image) for image in images)
        if lacking and not (make or ready):
            return None
        if lacking:
            torch.set_num_threads(1)
            LocalEngine().run(task, queries, self.store, lambda _: None)
        rows = self.store.arrays(keys)
        stacked = np.stack([rows[key] for key in keys])
        return measurement.features(stacked.reshape(len(self.samples), m, -1), "mean")
