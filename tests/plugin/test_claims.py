"""``privacy_claim()`` without numbers: those that the fine-tune wrote beside its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.diffusion.dp_statement import STATEMENT, read_statement
from privaudit.training.fine_tuning import finetune
from tests.parts.audit_folder import AuditFolder
from tests.parts.documents import results
from tests.parts.pipelines import tiny_pipeline

ONE = [
    "-k",
    "attack-III-threshold",
    "--privaudit-json=out.json",
    "--privaudit-num-inference-steps=2",
]
CLAIMED = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.SavedPipeline("base", biases="tuned", device="cpu")

@pytest.fixture(scope="session")
def coin_split():
    return privaudit.split_by_coin(emoji_sets.twemoji("member")[:2 * N], 3)

@pytest.fixture(scope="session")
def members(coin_split):
    return coin_split.members

@pytest.fixture(scope="session")
def non_members(coin_split):
    return coin_split.non_members

@pytest.mark.privacy_budget(1.0)
@pytest.mark.privacy_claim(mechanism="gaussian")
def test_claim(membership_attack):
    pass
"""


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory, emoji: dict[str, list[Any]]) -> Path:
    """A base, and what two DP-SGD steps made of its bias terms."""
    folder = tmp_path_factory.mktemp("private")
    base = tiny_pipeline()
    base.save_pretrained(folder / "base")
    goal = privaudit.training.DifferentialPrivacy(epsilon=1, delta=1e-3, noise_seed=1)
    tuned = finetune(
        base,
        emoji["member"][:8],
        method="bias",
        steps=2,
        learning_rate=0.1,
        differential_privacy=goal,
        progress=False,
    )
    tuned.save(folder / "tuned")
    return folder


@pytest.mark.slow
def test_a_claim_without_numbers_is_what_the_fine_tune_wrote(
    plain_folder: AuditFolder, private: Path
) -> None:
    shutil.copytree(private, plain_folder.path, dirs_exist_ok=True)
    plain_folder.write(CLAIMED)
    plain_folder.run(*ONE).assert_outcomes(passed=1)
    [result] = results(plain_folder).values()
    stated = read_statement(private / "tuned")
    assert stated is not None
    assert result["claim"] == {
        "epsilon": stated.epsilon,
        "delta": stated.delta,
        "mechanism": "gaussian",
        "attack": None,
        "guesses": None,
    }
    (plain_folder.path / "tuned" / STATEMENT).unlink()
    silent = plain_folder.run(*ONE)
    assert silent.ret == pytest.ExitCode.TESTS_FAILED
    silent.stdout.fnmatch_lines(
        ["privacy_claim() names no numbers, and nothing beside the weights*"]
    )
    shutil.copy(private / "tuned" / STATEMENT, plain_folder.path / "tuned")
    weights = plain_folder.path / "tuned" / "unet_biases.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    other = plain_folder.run(*ONE)
    assert other.ret == pytest.ExitCode.TESTS_FAILED
    other.stdout.fnmatch_lines(["*is of other weights than those beside it*"])
