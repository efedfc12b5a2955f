"""What a DP-SGD fine-tune writes beside its weights, and who believes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.diffusion.dp_statement import STATEMENT, read_statement
from privaudit.errors import StatementError
from privaudit.targets.statement import statement_of
from privaudit.training.fine_tuning import finetune
from tests.parts.pipelines import tiny_pipeline

pytestmark = pytest.mark.slow  # the noise for an ε is searched for, which takes half a minute


@pytest.fixture(scope="module")
def tuned(emoji: dict[str, list[Any]]) -> Any:
    return finetune(
        tiny_pipeline(),
        emoji["member"][:8],
        method="bias",
        steps=3,
        batch_size=4,
        differential_privacy=privaudit.training.DifferentialPrivacy(
            epsilon=8, delta=1e-3, noise_seed=1
        ),
        progress=False,
    )


def test_it_says_all_that_the_accountant_needs(tuned: Any, tmp_path: Path) -> None:
    tuned.save(tmp_path)
    stated = read_statement(tmp_path)
    assert stated == tuned.statement
    assert (stated.epsilon, stated.delta) == (tuned.epsilon, tuned.delta)
    assert (stated.steps, stated.sample_rate, stated.max_grad_norm) == (3, 0.5, 1.0)
    assert stated.accounted() == pytest.approx(stated.epsilon)
    assert not stated.secret_noise
    assert stated.code["privaudit"] == "0.1.0"


def test_it_is_found_from_whatever_the_audit_was_given(tuned: Any, tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "base")
    tuned.save(tmp_path / "run")
    given = {"biases": tmp_path / "run", "device": "cpu"}
    for model in (
        tuned,
        privaudit.SavedPipeline(tmp_path / "base", **given),
        privaudit.load_pipeline(tmp_path / "base", **given),
    ):
        assert statement_of(model) == tuned.statement
    assert statement_of(privaudit.SavedPipeline(tmp_path / "base")) is None
    # Of two parts, one says nothing of what its training spent.
    given["unet"] = tmp_path / "base" / "unet"
    for load in (privaudit.SavedPipeline, privaudit.load_pipeline):
        assert statement_of(load(tmp_path / "base", **given)) is None
    assert statement_of(lambda prompts, seeds: []) is None


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: edited(f / STATEMENT, epsilon=2.0), "says epsilon=2, and its noise multiplier"),
        (lambda f: edited(f / STATEMENT, noise_multiplier=9.0), "sampling rate and steps give"),
        (lambda f: edited(f / STATEMENT, version=2), "has version 2, and this privaudit reads 1"),
        (lambda f: edited(f / STATEMENT, epsilon=float("nan")), "cannot be read as what a fine"),
        (lambda f: (f / STATEMENT).write_text("{"), "cannot be read as what a fine-tune wrote"),
        (lambda f: (f / "other.safetensors").write_bytes(b"x"), "is of other weights than those"),
    ],
)
def test_what_was_changed_is_not_believed(tuned: Any, tmp_path: Path, harm: Any, said: str) -> None:
    tuned.save(tmp_path)
    harm(tmp_path)
    with pytest.raises(StatementError, match=said) as raised:
        read_statement(tmp_path)
    assert "\n" not in str(raised.value)


def test_checkpoints_say_what_was_spent_until_then(
    emoji: dict[str, list[Any]], tmp_path: Path
) -> None:
    finished = finetune(
        tiny_pipeline(),
        emoji["member"][:8],
        method="bias",
        steps=4,
        batch_size=4,
        ema_decay=0.5,
        differential_privacy=privaudit.training.DifferentialPrivacy(
            epsilon=8, delta=1e-3, noise_seed=1
        ),
        checkpoints=(tmp_path, 2),
        progress=False,
    )
    spent = [read_statement(tmp_path / f"checkpoint-{step}") for step in (2, 4)]
    assert [one.steps for one in spent] == [2, 4]
    assert spent[0].epsilon < spent[1].epsilon == finished.epsilon
    run = privaudit.checkpoints(tmp_path, base=tmp_path)
    assert [one.step for one in run] == [2, 4]
