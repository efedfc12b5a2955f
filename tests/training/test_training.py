"""Steps of several batches, half precision, and going on after a stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from privaudit import PipelineTarget
from privaudit.diffusion.families import family_of
from privaudit.diffusion.objective import denoising_loss
from privaudit.errors import FineTuneError, SettingError
from privaudit.fingerprint import fingerprint_module
from privaudit.training import DifferentialPrivacy, fine_tuning
from privaudit.training.dp_sgd import PrivateOptimizer
from privaudit.training.fine_tuning import finetune
from privaudit.training.loop import ShuffledBatches, Training
from privaudit.training.recipe import Recipe
from privaudit.training.resuming import STATE_FILE
from tests.parts.pipelines import tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

SHORT: dict[str, Any] = {"batch_size": 3, "learning_rate": 5e-3, "progress": False}
RECIPE: dict[str, Any] = {
    "method": "full",
    "steps": 4,
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-2,
    "lr_scheduler": "constant",
    "lora_rank": 4,
    "lora_targets": None,
    "resolution": None,
    "gradient_checkpointing": False,
    "train_text_encoder": False,
    "caption_dropout": 0.0,
    "ema_decay": None,
    "differential_privacy": None,
    "seed": 0,
}


# -- several batches a step


def test_the_gradients_of_a_step_are_averaged_over_its_samples() -> None:
    """Two batches of unequal size move the weights as one batch of all of them does."""
    pulls = torch.tensor([1.0, -2.0, 4.0])
    moved = []
    for batches in ([torch.tensor([0, 1, 2])], [torch.tensor([0, 1]), torch.tensor([2])]):
        module = torch.nn.Linear(2, 2, bias=False)
        module.dtype, module.device = torch.float32, torch.device("cpu")  # type: ignore[assignment]
        with torch.no_grad():
            module.weight.fill_(1.0)
        family = family_of(tiny_pipeline())
        training = Training(family, {"unet": module}, Recipe(**RECIPE), torch.Generator())

        def loss_of(part: torch.Tensor, weight: Any = module.weight) -> torch.Tensor:
            return (pulls[part, None, None] * weight).mean()

        training.step(loss_of, batches)  # type: ignore[arg-type]
        # AdamW's first step is of one size whatever the gradient: its moments tell.
        [state] = training.optimizer.state.values()
        moved.append(state["exp_avg"])
        assert training.losses == pytest.approx([1.0])
    assert torch.allclose(*moved)
    assert moved[0].abs().min() > 0


def test_an_epoch_visits_everybody_once() -> None:
    batches = ShuffledBatches(7, 3, torch.Generator().manual_seed(0))
    sizes = [len(next(batches)) for _ in range(6)]
    assert sizes == [3, 3, 1, 3, 3, 1]
    seen = torch.cat([next(batches) for _ in range(3)])
    assert sorted(seen.tolist()) == list(range(7))


def test_a_step_of_several_batches_sees_as_many_samples(
    emoji: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    step = Training.step

    def noted(self: Training, loss_of: Any, batches: Any) -> None:
        seen.append([len(batch) for batch in batches])
        step(self, loss_of, batches)

    monkeypatch.setattr(Training, "step", noted)
    tuned = finetune(
        tiny_pipeline(), emoji["member"][:8], steps=3, gradient_accumulation_steps=2, **SHORT
    )
    assert seen == [[3, 3], [2, 3], [3, 2]]
    assert len(tuned.losses) == 3


# -- half precision


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_pipeline_in_half_precision_is_trained_and_stays_so(
    method: Any, emoji: dict[str, Any]
) -> None:
    pipeline = tiny_pipeline().to(torch.bfloat16)
    before, samples = fingerprint_module(pipeline.unet), emoji["member"][:6]
    more = {"steps": 20, **SHORT, "batch_size": 6}
    tuned = finetune(pipeline, samples, method=method, **more)
    assert fingerprint_module(pipeline.unet) == before
    assert {p.dtype for p in tuned.pipeline.unet.parameters()} == {torch.bfloat16}
    assert np.mean(tuned.losses[-5:]) < 0.9 * np.mean(tuned.losses[:5])
    assert denoising_loss(tuned.pipeline, samples) < 0.9 * denoising_loss(pipeline, samples)
    tuned.pipeline.set_progress_bar_config(disable=True)
    [picture] = PipelineTarget(tuned.pipeline, num_inference_steps=2).generate(["a bear"], [1])
    assert picture.mode == "RGB"


def test_what_is_trained_of_a_half_precision_model_is_float32() -> None:
    family = family_of(tiny_pipeline().to(torch.bfloat16))
    dp = DifferentialPrivacy(4.0, 1e-3)
    for given, frozen in (
        ({"method": "lora"}, torch.bfloat16),
        ({"method": "lora", "differential_privacy": dp}, torch.float32),
    ):
        recipe = Recipe(**RECIPE | given)
        unet = fine_tuning._trainable_copies(family, recipe)["unet"]
        kinds = {p.requires_grad: p.dtype for p in unet.parameters()}
        assert kinds == {True: torch.float32, False: frozen}


# -- a stop


class StoppedError(Exception):
    """In the place of a kill."""


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check = fine_tuning.check_loss

    def checked(losses: Any, *given: Any) -> None:
        check(losses, *given)
        if len(losses) == steps:
            raise StoppedError

    monkeypatch.setattr(fine_tuning, "check_loss", checked)


@pytest.mark.parametrize(
    "given",
    [
        {"method": "lora", "lora_rank": 2, "lr_scheduler": "cosine", "caption_dropout": 0.5},
        {"method": "bias", "ema_decay": 0.9, "gradient_accumulation_steps": 2},
        pytest.param(
            {"method": "full", "train_text_encoder": True, "ema_decay": 0.9},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["lora", "bias", "full"],
)
def test_a_stop_changes_nothing(
    given: dict[str, Any], emoji: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = emoji["member"][:8]
    given = {"steps": 6, **SHORT, **given}
    whole = finetune(tiny_pipeline(), samples, **given)
    kept = {"checkpoints": (tmp_path, 2), "resume": True}
    with monkeypatch.context() as stopping:
        stop_after(5, stopping)
        with pytest.raises(StoppedError):
            finetune(tiny_pipeline(), samples, **given, **kept)
    # Only the newest says how to go on; the fifth step was lost.
    assert [file.parent.name for file in tmp_path.rglob(STATE_FILE)] == ["checkpoint-4"]
    taken: list[int] = []
    step = Training.step
    with monkeypatch.context() as counting:
        counting.setattr(Training, "step", lambda self, *args: (taken.append(1), step(self, *args)))
        resumed = finetune(tiny_pipeline(), samples, **given, **kept)
    assert len(taken) == 2
    assert resumed.losses == whole.losses
    for part in ("unet", "text_encoder"):
        one, other = (fingerprint_module(getattr(t.pipeline, part)) for t in (whole, resumed))
        assert one == other


@pytest.mark.slow  # the noise for an ε is searched for
def test_what_was_spent_before_a_stop_is_counted_and_no_noise_comes_twice(
    emoji: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    privacy = DifferentialPrivacy(8.0, 1e-3, noise_seed=3)
    given = {"steps": 4, "method": "bias", "differential_privacy": privacy, **SHORT}
    samples = emoji["member"][:8]
    whole = finetune(tiny_pipeline(), samples, **given)
    kept = {"checkpoints": (tmp_path, 2), "resume": True}
    with monkeypatch.context() as stopping:
        stop_after(3, stopping)
        with pytest.raises(StoppedError):
            finetune(tiny_pipeline(), samples, **given, **kept)
    seeds: list[int] = []
    resume = PrivateOptimizer.resume

    def noted(self: PrivateOptimizer, history: Any) -> None:
        seeds.extend(generator.initial_seed() for generator in self._generators)
        resume(self, history)
        seeds.extend(generator.initial_seed() for generator in self._generators)

    monkeypatch.setattr(PrivateOptimizer, "resume", noted)
    resumed = finetune(tiny_pipeline(), samples, **given, **kept)
    assert resumed.statement is not None
    assert resumed.statement.steps == 4
    assert resumed.epsilon == whole.epsilon
    assert seeds[:2] == [3, 3]
    assert seeds[2] == seeds[3] != 3


def test_a_checkpoint_of_another_training_or_of_half_a_file_is_not_gone_on_from(
    emoji: dict[str, Any], tmp_path: Path
) -> None:
    given: dict[str, Any] = {"method": "bias", "steps": 2, **SHORT, "checkpoints": (tmp_path, 2)}
    finetune(tiny_pipeline(), emoji["member"][:4], **given)
    for change in ({"learning_rate": 1e-4}, {"seed": 1}):
        with pytest.raises(FineTuneError, match="is of another training: another base"):
            finetune(tiny_pipeline(), emoji["member"][:4], **{**given, **change}, resume=True)
    with pytest.raises(FineTuneError, match="is of another training"):
        finetune(tiny_pipeline(), emoji["member"][:5], **given, resume=True)
    [file] = tmp_path.rglob(STATE_FILE)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FineTuneError, match=f"{STATE_FILE} cannot be read .*: delete it to go on"):
        finetune(tiny_pipeline(), emoji["member"][:4], **given, resume=True)
    finetune(tiny_pipeline(), emoji["member"][:4], **given)  # from the beginning


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resume": True}, "resume=True has nothing to go on from"),
        ({"checkpoints": ("runs", 0)}, r"checkpoints=\(…, 0\) is below 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0 is below 1"),
        (
            {
                "gradient_accumulation_steps": 2,
                "differential_privacy": DifferentialPrivacy(1.0, 1e-3),
            },
            "under DP-SGD: a step is one Poisson sample",
        ),
    ],
)
def test_bad_settings_are_refused(given: Any, said: str, emoji: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=said):
        finetune(tiny_pipeline(), emoji["member"][:2], progress=False, **given)
