"""A chain of real releases, each compared with the one before: ``regression.py chain``.

Over-fitted, DP-SGD with ε = 8, the same with another seed, ε = 50, DP-SGD whose noise was
forgotten, and over-fitted again. The over-fitted one is that of audits/; the others are the base of
audits/, fine-tuned here, whole, on some of its members. Whether the ε that is stated beside a model
can be true is asked of two more, with and without their noise, that are fine-tuned on canaries.

Models, images and records are kept in one folder, so that a chain which was interrupted goes on
where it was, and ``--models`` makes a part of it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from common import show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from privaudit import AuditRecord
    from privaudit.samples import Canaries
    from privaudit.training.dp_wiring import WiringFault

__all__ = ["MODELS_MADE", "Recipe", "check_wiring", "make", "report"]

DELTA, CANARY_DELTA = 1e-3, 1e-5
CHECKED_BY, GUESSES = "denoising", 0.8
"""The attack on the weights that checks a claim, and the share of the canaries that it guesses."""
SHADOWS = 40
"""Members, and non-members, of the committed shadow that are asked."""
CANARY_SEED = 12


class Recipe(NamedTuple):
    """What all fine-tunes of a chain have in common, and what they are asked.

    Attributes
    ----------
    members, non_members
        Of audits/, the first of them; the members are trained on.
    canaries
        Of which coins choose about half.
    canary_steps, canary_batch_size, canary_learning_rate
        Of the fine-tune on them.
    steps, batch_size, learning_rate
        Of the fine-tune.
    max_grad_norm
        Of DP-SGD.
    queries
        Images asked per sample.
    """

    members: int = 16
    non_members: int = 16
    canaries: int = 160
    canary_steps: int = 1300
    canary_batch_size: int = 16
    canary_learning_rate: float = 2e-3
    steps: int = 200
    batch_size: int = 8
    learning_rate: float = 1e-3
    max_grad_norm: float = 0.1
    queries: int = 3


class Link(NamedTuple):
    """One model: its ε, its seed, whether its noise is forgotten, and what it is trained on."""

    epsilon: float | None
    seed: int = 1
    noisy: bool = True
    on_canaries: bool = False


CHAIN = {
    "over-fitted": Link(None),
    "dp-8": Link(8.0),
    "dp-8-other-seed": Link(8.0, seed=2),
    "dp-50": Link(50.0),
    "noise-forgotten": Link(8.0, noisy=False),
    "over-fitted-again": Link(None),
}
CLAIMS = {
    "canaries-dp-8": Link(8.0, on_canaries=True),
    "canaries-noise-forgotten": Link(8.0, noisy=False, on_canaries=True),
}
MODELS_MADE = CHAIN | CLAIMS


# -- what is trained


@contextlib.contextmanager
def noise(*, forgotten: bool) -> Iterator[None]:
    """Let DP-SGD clip and account, and add nothing: the fault that all this is to find."""
    if not forgotten:
        yield
        return
    import torch
    from opacus.optimizers import optimizer

    made = optimizer._generate_noise
    optimizer._generate_noise = lambda std, reference, *_, **__: torch.zeros_like(reference)
    try:
        yield
    finally:
        optimizer._generate_noise = made


def canaries(recipe: Recipe) -> Canaries:
    """Make the canaries, each shown once: what they say of ε is said of one sample."""
    from privaudit import make_canaries

    return make_canaries(recipe.canaries, CANARY_SEED, size=32, exposures=(1,))


def fine_tuned(folder: Path, link: Link, recipe: Recipe) -> None:
    """Fine-tune the base of audits/ with DP-SGD, and say what it took."""
    from emoji_sets import MODELS, twemoji
    from privaudit import finetune, load_pipeline
    from privaudit.training import DifferentialPrivacy

    members = twemoji("member")[: recipe.members]
    samples, delta = members, DELTA
    steps, batch_size, rate = recipe.steps, recipe.batch_size, recipe.learning_rate
    if link.on_canaries:
        samples, delta, steps = canaries(recipe).training, CANARY_DELTA, recipe.canary_steps
        batch_size, rate = recipe.canary_batch_size, recipe.canary_learning_rate
    began = time.process_time()
    with noise(forgotten=not link.noisy):
        tuned = finetune(
            load_pipeline(MODELS / "base", device="cpu"),
            samples,
            method="full",
            steps=steps,
            batch_size=batch_size,
            learning_rate=rate,
            lr_scheduler="cosine",
            caption_dropout=0.0,
            differential_privacy=DifferentialPrivacy(
                epsilon=link.epsilon or 0.0,
                delta=delta,
                max_grad_norm=recipe.max_grad_norm,
                noise_seed=link.seed,  # of a released model it would be None
            ),
            seed=link.seed,
            progress=False,
        )
    tuned.save(folder)
    print(
        f"{folder.name}: {len(samples)} samples, {steps} steps, states epsilon "
        f"{tuned.epsilon:.2f}, noise multiplier {tuned.noise_multiplier:.2f}, loss "
        f"{np.nanmean(tuned.losses[:50]):.3f} to {np.nanmean(tuned.losses[-50:]):.3f}, "
        f"{time.process_time() - began:.0f} s of CPU",
        flush=True,
    )


# -- what is audited


def target(work: Path, name: str) -> Any:
    """Name a release's model, as an audit file does."""
    from emoji_sets import MODELS
    from privaudit import SavedPipeline

    base = MODELS / "base"
    folder = MODELS / "overfit" if MODELS_MADE[name].epsilon is None else work / name
    return SavedPipeline(base, unet=folder / "unet", device="cpu")


def audited(work: Path, name: str, recipe: Recipe, **what: Any) -> AuditRecord:
    """Audit a release as audits/ do; what was audited before is read."""
    import privaudit
    from emoji_sets import MODELS, twemoji

    file = work / f"{name}.json"
    if file.exists():
        [record] = privaudit.SessionRecord.from_json(file.read_text(encoding="utf-8")).audits
        return record
    began = time.process_time()
    record = privaudit.run_audit(
        target(work, name),
        name=name,
        image_encoder=privaudit.load_encoder("efficientnet-lite0", device="cpu"),
        shadow=(
            privaudit.SavedPipeline(MODELS / "base", lora=MODELS / "shadow", device="cpu"),
            twemoji("shadow_member")[:SHADOWS],
            twemoji("shadow_non_member")[:SHADOWS],
        ),
        max_auc=0.6,
        queries=recipe.queries,
        num_inference_steps=10,
        guidance_scale=3.0,
        batch_size=48,
        store=work / "store",
        json=file,
        **what,
    )
    made = 0 if record.provenance is None else record.provenance.images.generated
    took = time.process_time() - began
    print(f"{name}: audited, {made} images, {took:.0f} s of CPU, {record.verdict}", flush=True)
    return record


def release_audit(work: Path, name: str, recipe: Recipe) -> AuditRecord:
    """Audit a release on members and non-members of audits/."""
    from emoji_sets import twemoji

    return audited(
        work,
        name,
        recipe,
        members=twemoji("member")[: recipe.members],
        non_members=twemoji("non_member")[: recipe.non_members],
        scenarios="III",
        attacks="threshold,distribution",
    )


def claim_audit(work: Path, name: str, recipe: Recipe) -> AuditRecord:
    """Ask the canaries whether the ε that was written beside the weights can be true."""
    from privaudit.record import Claim
    from privaudit.targets.statement import statement_of

    coins = canaries(recipe)
    stated = statement_of(target(work, name))
    if stated is None:
        msg = f"{name} states no epsilon"
        raise RuntimeError(msg)
    return audited(
        work,
        name,
        recipe,
        members=coins.members,
        non_members=coins.non_members,
        coin_split=coins,
        claim=Claim(
            epsilon=stated.epsilon,
            delta=stated.delta,
            mechanism="gaussian",
            attack=f"weights-{CHECKED_BY}",
            guesses=GUESSES,
        ),
        scenarios="I",
        attacks="threshold",
        white_box=CHECKED_BY,
        duplicate_limit=2,  # canaries are fields of colour, and of one kind to an encoder
    )


# -- what is wired


def wiring(recipe: Recipe, *, forgotten: bool) -> tuple[WiringFault, ...]:
    """Check the loop that ``finetune`` trains with, on the U-Net of audits/: no model is trained.

    The bias terms alone are trained here, because what is checked are steps and not models.
    """
    import copy

    import torch

    from emoji_sets import MODELS, twemoji
    from privaudit import load_pipeline
    from privaudit.diffusion.families import family_of
    from privaudit.training import DifferentialPrivacy, check_dp_sgd
    from privaudit.training.dp_sgd import PrivateOptimizer

    family = family_of(load_pipeline(MODELS / "base", device="cpu"))
    samples = twemoji("member")[: recipe.members]
    latents, _ = family.latents(samples, family.size(None))
    with torch.no_grad():
        told = family.texts([sample.caption for sample in samples])
    draws = torch.Generator().manual_seed(0)
    added, levels = family.objective.draw(latents, draws)  # the same of a sample in all calls
    learned = [name for name, _ in family.denoiser.named_parameters() if name.endswith("bias")]

    def loss(unet: Any, part: torch.Tensor) -> torch.Tensor:
        mine = {name: rows[part] for name, rows in told.items()}
        return family.errors(unet, latents[part], mine, added[part], levels[part]).mean()

    def fresh() -> Any:
        unet = copy.deepcopy(family.denoiser).train()
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(name in learned)
        return unet

    def private(unet: Any, seed: int) -> PrivateOptimizer:
        target_ = DifferentialPrivacy(8.0, DELTA, recipe.max_grad_norm, noise_seed=seed)
        weights = [p for p in unet.parameters() if p.requires_grad]
        plain = torch.optim.SGD(weights, lr=1.0)
        return PrivateOptimizer(unet, plain, target_, len(samples), recipe.batch_size, recipe.steps)

    def steps(batches: list[list[int]], seed: int) -> list[list[torch.Tensor]]:
        unet = fresh()
        made, taken = private(unet, seed), []
        for batch in batches:
            weights = [p for p in unet.parameters() if p.requires_grad]
            before = [p.detach().clone() for p in weights]
            made.step(lambda part: loss(made.model, part), torch.tensor(batch, dtype=torch.long))
            taken.append([b - p.detach() for b, p in zip(before, weights, strict=True)])
        return taken

    def gradient(sample: int) -> list[torch.Tensor]:
        unet = fresh()
        weights = [p for p in unet.parameters() if p.requires_grad]
        return list(torch.autograd.grad(loss(unet, torch.tensor([sample])), weights))

    with noise(forgotten=forgotten):
        sampler = private(fresh(), 0)
        return check_dp_sgd(
            steps,
            len(samples),
            max_grad_norm=recipe.max_grad_norm,
            noise_multiplier=sampler.noise_multiplier,
            batch_size=recipe.batch_size,
            gradient=gradient,
            batches=lambda _: (batch.tolist() for batch in sampler.batches()),
        )


# -- the chain


def make(work: Path, recipe: Recipe, names: Iterable[str]) -> None:
    """Fine-tune and audit some models, as far as that was not done."""
    for name in names:
        link = MODELS_MADE[name]
        if link.epsilon is not None and not (work / name).is_dir():
            fine_tuned(work / name, link, recipe)
        (claim_audit if link.on_canaries else release_audit)(work, name, recipe)


def report(work: Path, recipe: Recipe) -> None:
    """Print what became of the releases that were audited, each compared with the one before."""
    import privaudit
    from privaudit.report.terminal import render

    rows, shown, before = [], [], None
    made = [name for name in MODELS_MADE if (work / f"{name}.json").exists()]
    for name in (name for name in CHAIN if name in made):
        record = release_audit(work, name, recipe)
        if not record.results:  # invalid: nothing can be concluded, and nothing compared
            rows.append([name, "", record.verdict, "", ""])
            continue
        highest = max(record.results, key=lambda result: result.auc)
        row = [name, f"{highest.auc:.3f}", record.verdict]
        if before is None:
            row += ["", ""]
        else:
            compared = privaudit.compare(before, record)
            changes = [(r.comparison, r.name) for r in compared.results if r.comparison]
            most, of = max(changes, key=lambda pair: pair[0].bounds.low)
            bounds = f"{most.bounds.low:+.3f} to {most.bounds.high:+.3f}"
            verdicts = {change.verdict for change, _ in changes}
            worst = next(v for v in ("fail", "inconclusive", "pass") if v in verdicts)
            row += [f"{most.change:+.3f} ({bounds}), {of}", worst]
            if name == "noise-forgotten":
                shown = list(render([compared], []))
        rows.append(row)
        before = record
    show(
        rows,
        [
            "release",
            "highest AUC",
            "verdict",
            "change most surely up",
            "comparison",
        ],
    )
    print("\n".join(["", "what the comparison of noise-forgotten says:", *shown, ""]))
    for name in (name for name in CLAIMS if name in made):
        print(f"{name}: {_claimed(work, name, recipe)}")


def check_wiring(recipe: Recipe) -> None:
    """Print what the wiring check says of the loop, and of one that forgets its noise."""
    for forgotten in (False, True):
        faults = wiring(recipe, forgotten=forgotten)
        what = "noise forgotten" if forgotten else "the loop of finetune"
        print(f"wiring check, {what}: {len(faults)} faults", *faults, sep="\n  ", flush=True)


def _claimed(work: Path, name: str, recipe: Recipe) -> str:
    [result] = claim_audit(work, name, recipe).weights
    bound, claim = result.epsilon, result.claim
    if bound is None or claim is None:
        return result.epsilon_refused
    verdict = "REFUTED" if result.claim_exceeded else "not refuted"
    return (
        f"epsilon {claim.epsilon:.2f} {verdict}: at least {bound.epsilon:.2f} "
        f"of {bound.provable:.2f} provable, AUC {result.auc:.3f}"
    )
