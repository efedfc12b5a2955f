"""Every family is trained as diffusers' own script trains it, learns, and keeps DP's promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import tests.zoo.families  # noqa: F401
from privaudit import PipelineTarget, Sample, checkpoints, run_audit, statistics
from privaudit.attacks import registry
from privaudit.diffusion.adapters import fuse_adapter
from privaudit.diffusion.families import family_of
from privaudit.diffusion.fine_tuned import FineTuned, with_parts
from privaudit.errors import FineTuneError, SettingError
from privaudit.fingerprint import fingerprint_module
from privaudit.measurements.denoising import DenoisingLoss
from privaudit.targets.queries import plan_queries
from privaudit.training import DifferentialPrivacy
from privaudit.training.dp_sgd import PrivateOptimizer
from privaudit.training.fine_tuning import finetune
from tests.diffusion.scripts import LOSSES
from tests.parts.encoders import PixelEncoder
from tests.zoo.pixart import sana_transformer
from tests.zoo.registry import ZOO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FAMILIES = list(LOSSES)


def size_of(name: str) -> tuple[int, int]:
    call = ZOO[name].call
    return call.get("height", 16), call.get("width", 16)


def rectangle_of(name: str) -> tuple[int, int]:
    """Height and width that differ, so that rows taken for columns are seen."""
    height, width = size_of(name)
    return height, 2 * width


def small(samples: list[Any], name: str) -> list[Any]:
    return [Sample(s.image.resize(size_of(name)[::-1]), s.caption, id=s.id) for s in samples]


def quick(name: str, **given: Any) -> dict[str, Any]:
    plain = {"steps": 3, "batch_size": 2, "progress": False, "resolution": size_of(name)}
    return plain | given


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_is_that_of_diffusers_script_on_the_same_draws(
    name: str, emoji: dict[str, Any]
) -> None:
    samples = [Sample(s.image.resize((48, 32)), s.caption) for s in emoji["member"][:3]]
    pipeline = ZOO[name].build()
    family, size = family_of(pipeline), rectangle_of(name)
    latents, _ = family.latents(samples, size)
    draws = torch.Generator().manual_seed(0)
    noise, where = torch.randn(latents.shape, generator=draws), torch.tensor([0.1, 0.5, 0.9])
    levels = (where * family.objective.levels).long()
    with torch.no_grad():
        told = family.conditions(samples, size)
        ours = family.errors(family.denoiser, latents, told, noise, levels).mean()
        theirs = LOSSES[name](pipeline, latents, noise, where, samples, size)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_latents_are_those_that_the_pipeline_decodes(name: str, emoji: dict[str, Any]) -> None:
    """What a pipeline would make of clean latents is what the autoencoder makes of the image."""
    pipeline = ZOO[name].build()
    family, size = family_of(pipeline), size_of(name)
    latents, std = family.latents(emoji["member"][:1], size)
    config = pipeline.vae.config
    image = pipeline.image_processor.preprocess(emoji["member"][0].image, *size)
    with torch.no_grad():
        if name == "QwenImagePipeline":
            plain = pipeline.vae.encode(image[:, :, None]).latent_dist.mean[:, :, 0]
            scale, shift = (
                torch.tensor(values).reshape(1, -1, 1, 1)
                for values in (config.latents_std, config.latents_mean)
            )
            back = latents * scale + shift
        elif name == "SanaPipeline":
            plain, back = pipeline.vae.encode(image).latent, latents / config.scaling_factor
            assert not std.any()
        else:
            plain = pipeline.vae.encode(image).latent_dist.mean
            back = latents / config.scaling_factor + (config.get("shift_factor") or 0)
    torch.testing.assert_close(back, plain)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.slow
def test_an_adapter_is_trained_saved_and_loaded_with_every_key(
    name: str, tmp_path: Path, emoji: dict[str, Any]
) -> None:
    pipeline = ZOO[name].build()
    part = family_of(pipeline).part
    before = fingerprint_module(getattr(pipeline, part))
    tuned = finetune(
        pipeline, small(emoji["member"][:4], name), **quick(name, learning_rate=5e-2)
    ).pipeline
    assert fingerprint_module(getattr(pipeline, part)) == before
    call = {k: v for k, v in ZOO[name].call.items() if k != "num_inference_steps"}

    def draw(model: Any) -> Any:
        target = PipelineTarget(model, num_inference_steps=2, **call)
        return np.asarray(target.generate(["a fox"], [3])[0], dtype=int)

    assert abs(draw(tuned) - draw(pipeline)).max() > 2
    if name.startswith("PixArt"):
        return
    restored = ZOO[name].build()
    FineTuned(tuned, (), 0).save_lora(tmp_path)
    assert fuse_adapter(restored, tmp_path)
    assert abs(draw(tuned) - draw(restored)).max() <= 2  # float16 on disk


def test_checkpoints_of_a_transformers_biases_are_found_and_loaded(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    name = "PixArtAlphaPipeline"
    ZOO[name].build().save_pretrained(tmp_path / "base")
    tuned = finetune(
        ZOO[name].build(),
        small(emoji["member"][:2], name),
        **quick(name, method="bias", learning_rate=1e-1, checkpoints=(tmp_path / "run", 3)),
    ).pipeline
    [checkpoint] = checkpoints(tmp_path / "run", tmp_path / "base", device="cpu")
    loaded = checkpoint.load().pipeline.transformer.state_dict()
    for key, value in tuned.transformer.state_dict().items():
        torch.testing.assert_close(loaded[key], value, atol=2e-3, rtol=2e-3, msg=key)


def test_where_diffusers_reads_no_adapter_file_saving_one_says_so(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    name = "PixArtAlphaPipeline"
    tuned = finetune(ZOO[name].build(), small(emoji["member"][:2], name), **quick(name))
    with pytest.raises(FineTuneError, match="reads no LoRA file into a PixArtAlphaPipeline: save"):
        tuned.save_lora(tmp_path)
    long = quick(name, steps=10**9, checkpoints=(tmp_path, 1))
    with pytest.raises(FineTuneError, match="reads no LoRA file into a PixArtAlphaPipeline"):
        finetune(ZOO[name].build(), small(emoji["member"][:2], name), **long)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_attacker_with_the_weights_measures_each_family(
    family: str, emoji: dict[str, Any]
) -> None:
    target = PipelineTarget(ZOO[family].build(), num_inference_steps=2)
    samples = small(emoji["member"][:2], family)
    queries = dict(enumerate(plan_queries(samples, [s.caption for s in samples], 1, 0)))
    for name in registry.white_box_names():
        kind = type(registry.make_with_access(registry.WEIGHTS, name))
        found = np.stack(kind(resolution=size_of(family)).rows(target, queries, {}))
        assert found.shape[0] == 2
        assert np.isfinite(found).all()


def losses(pipeline: Any, samples: list[Any], name: str) -> Any:
    """Score samples as an attacker with the weights does, averaged over three draws of noise."""
    target = PipelineTarget(pipeline, num_inference_steps=2)
    queries = plan_queries(samples, [sample.caption for sample in samples], 3, 0)
    measurement = DenoisingLoss(resolution=size_of(name))
    rows = np.stack(measurement.rows(target, dict(enumerate(queries)), {}))
    return measurement.features(rows.reshape(len(samples), 3, -1), "mean").similarity


def with_sharp_latents(name: str, samples: Sequence[Sample]) -> Any:
    """Build a pipeline whose autoencoder is as sure of a picture as a trained one is.

    One of random weights gives all pictures nearly one mean and a wide posterior: noise, of which
    nothing can be learned.
    """
    pipeline = ZOO[name].build()
    if name == "SanaPipeline":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            wider = {"attention_head_dim": 16, "cross_attention_head_dim": 16}
            pipeline.register_modules(
                transformer=sana_transformer(**wider, cross_attention_dim=32).eval()
            )
    vae, family = pipeline.vae, family_of(pipeline)
    if hasattr(vae, "quant_conv"):
        with torch.no_grad():
            half = len(vae.quant_conv.bias) // 2
            vae.quant_conv.weight[half:] = 0
            vae.quant_conv.bias[half:] = -20
    mean, _ = family.latents(samples, size_of(name))
    if name == "QwenImagePipeline":
        old = [torch.tensor(vae.config[key]) for key in ("latents_mean", "latents_std")]
        raw = mean * old[1].reshape(1, -1, 1, 1) + old[0].reshape(1, -1, 1, 1)
        vae.register_to_config(
            latents_mean=raw.mean((0, 2, 3)).tolist(), latents_std=raw.std((0, 2, 3)).tolist()
        )
    else:
        raw = mean / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0)
        vae.register_to_config(shift_factor=float(raw.mean()), scaling_factor=1 / float(raw.std()))
    return pipeline


def tuned_on(samples: Sequence[Sample], name: str, **given: Any) -> Any:
    given = {"method": "full", "steps": 800, "learning_rate": 1e-2} | given
    return finetune(
        with_sharp_latents(name, samples),
        samples,
        batch_size=6,
        lr_scheduler="cosine",
        resolution=size_of(name),
        progress=False,
        **given,
    ).pipeline


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_memorises_and_is_audited_and_dp_sgd_keeps_it_from_that(
    name: str, emoji: dict[str, Any]
) -> None:
    members, others, auxiliary = (
        small(emoji[role][part], name)
        for role, part in (
            ("member", slice(6)),
            ("non_member", slice(24)),
            ("non_member", slice(24, 48)),
        )
    )

    def leak(pipeline: Any) -> float:
        scores = (losses(pipeline, part, name) for part in (members, others))
        return statistics.auc(*scores)

    memorised = tuned_on(members, name)
    assert leak(memorised) >= 0.9
    private = tuned_on(
        members,
        name,
        method="lora",
        steps=60,
        learning_rate=1e-2,
        differential_privacy=DifferentialPrivacy(2.0, 1e-3, noise_seed=0),
    )
    assert abs(leak(private) - leak(with_sharp_latents(name, members))) < 0.1

    def asked(pipeline: Any) -> Any:
        return PipelineTarget(pipeline, **ZOO[name].call)

    record = run_audit(
        asked(memorised),
        members,
        others,
        auxiliary_samples=auxiliary,
        fine_tune=lambda samples: asked(tuned_on(samples, name)),
        image_encoder=PixelEncoder(),
        scenarios=["III"],
        queries=1,
        duplicate_limit=2,  # to raw pixels the phases of the moon are one picture
    )
    if name == "QwenImagePipeline":
        # A transformer so small hardly reads its texts, whatever it has learned of pictures.
        assert "the same picture as the answer to another prompt" in record.not_completed[0].reason
        return
    assert {result.scenario for result in record.results} == {"attack-III"}, record.not_completed
    print(name, [round(result.auc, 2) for result in record.results])


def test_what_a_family_cannot_be_asked_is_refused(emoji: dict[str, Any]) -> None:
    name = "FluxPipeline"
    samples = small(emoji["member"][:2], name)
    pipeline = ZOO[name].build()
    private = DifferentialPrivacy(8.0, 1e-3)
    for given, said in (
        ({"method": "full", "differential_privacy": private}, "method='full' under DP-SGD: Opacus"),
        ({"method": "full", "train_text_encoder": True}, "the text encoders of Flux are not"),
        ({"resolution": 17}, "resolution=17 is not made of multiples of 4"),
        ({"resolution": (16, 2)}, "is not made of multiples of 4"),
    ):
        with pytest.raises(SettingError, match=said):
            finetune(pipeline, samples, **quick(name, **given))
    with pytest.raises(FineTuneError, match="no adapter fits lora_targets=\\['nowhere'\\]"):
        finetune(pipeline, samples, **quick(name, lora_targets=["nowhere"]))
    with pytest.raises(FineTuneError, match="AuraFlowPipeline has a AuraFlowTransformer2DModel"):
        finetune(ZOO["AuraFlowPipeline"].build(), samples)


def test_checkpointing_changes_no_loss_and_is_done(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "StableDiffusion3Pipeline"
    samples, calls, real = small(emoji["member"][:4], name), [0], torch.utils.checkpoint.checkpoint

    def counted(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        return real(*given, **named)

    monkeypatch.setattr(torch.utils.checkpoint, "checkpoint", counted)
    losses = {}
    for asked in (False, True):
        tuned = finetune(ZOO[name].build(), samples, **quick(name, gradient_checkpointing=asked))
        losses[asked] = tuned.losses
        assert bool(calls[0]) is asked
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    assert not tuned.pipeline.transformer.is_gradient_checkpointing


def test_the_layers_that_are_named_get_an_adapter(emoji: dict[str, Any]) -> None:
    name = "SanaPipeline"
    tuned = finetune(
        ZOO[name].build(), small(emoji["member"][:2], name), **quick(name, lora_targets=["to_q"])
    )
    names = [n for n, _ in tuned.pipeline.transformer.named_parameters() if ".lora_A." in n]
    assert names
    assert {n.partition(".lora_A.")[0].rpartition(".")[2] for n in names} == {"to_q"}


@pytest.mark.parametrize(
    ("name", "density"), [("StableDiffusion3Pipeline", "logit_normal"), ("FluxPipeline", "none")]
)
def test_noise_levels_are_drawn_as_diffusers_script_draws_them(name: str, density: str) -> None:
    from diffusers.training_utils import compute_density_for_timestep_sampling

    objective = family_of(ZOO[name].build()).objective
    latents = torch.zeros(500, 1, 1, 1)
    _, levels = objective.draw(latents, torch.Generator().manual_seed(3))
    draws = torch.Generator().manual_seed(3)
    torch.randn(latents.shape, generator=draws)
    where = compute_density_for_timestep_sampling(
        density, 500, logit_mean=0.0, logit_std=1.0, generator=draws
    )
    assert torch.equal(levels, (where * 1000).long())
    in_the_middle = float(((levels > 250) & (levels < 750)).float().mean())
    assert in_the_middle == pytest.approx(0.73 if density == "logit_normal" else 0.5, abs=0.06)


def test_an_empty_prompt_means_what_it_meant_to_the_original() -> None:
    """SDXL's ``force_zeros_for_empty_prompt`` is no component, and was lost."""
    pipeline = ZOO["StableDiffusionXLPipeline"].build()
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert with_parts(pipeline).config.force_zeros_for_empty_prompt is False


class Reads(torch.nn.Module):
    """Two layers, of which the second may go unread."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.read, self.unread = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.read(given)


def test_dp_sgd_goes_on_where_no_loss_depends_on_a_layer_and_stops_where_no_hook_sees_it() -> None:
    """The last block of Qwen-Image and its like says something of the text, which is not read."""
    module = Reads()
    private = PrivateOptimizer(
        module,
        torch.optim.SGD(module.parameters(), lr=0.0),
        DifferentialPrivacy(8.0, 1e-3, noise_seed=0),
        n_samples=4,
        batch_size=4,
        steps=2,
    )
    given, everyone = torch.randn(4, 2), torch.arange(4)

    def loss_of(indices: torch.Tensor) -> torch.Tensor:
        return private.model(given[indices]).square().mean()

    for _ in range(2):
        assert private.step(loss_of, everyone) > 0
    assert module.unread.weight.grad is None or not module.unread.weight.grad.any()

    def past_the_hooks(indices: torch.Tensor) -> torch.Tensor:
        return loss_of(indices) + module.unread.weight.square().sum()

    with pytest.raises(ValueError, match="Per sample gradient is not initialized"):
        private.step(past_the_hooks, everyone)


def test_dp_sgd_of_a_transformer_with_an_unread_last_block(emoji: dict[str, Any]) -> None:
    name = "QwenImagePipeline"
    private = DifferentialPrivacy(8.0, 1e-3, noise_seed=0)
    tuned = finetune(
        ZOO[name].build(),
        small(emoji["member"][:4], name),
        **quick(name, steps=2, batch_size=4, differential_privacy=private),
    )
    assert all(np.isfinite(tuned.losses))
