"""A green about the right model: what is drawn is looked at, not believed."""

from __future__ import annotations

import pytest

from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

ONE = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold", "--privaudit-json=out.json")

SAME_AS_BASE = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.testing.ObliviousTarget().generate

@pytest.fixture(scope="session")
def base_model():
    return privaudit.testing.ObliviousTarget()
"""
OTHER_THAN_BASE = SAME_AS_BASE.replace(
    "return privaudit.testing.ObliviousTarget().generate",
    "return privaudit.testing.MemorizingTarget(emoji_sets.twemoji('member')[:1]).generate",
)


def test_a_target_that_draws_what_its_base_draws_is_invalid(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAME_AS_BASE, GATED)
    result = plain_folder.run(*ONE, "--privaudit-budget=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the target draws exactly what its base model draws*"])
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert [item.outcome for item in audit.not_completed] == ["invalid"]


def test_a_target_that_draws_something_else_is_audited(plain_folder: AuditFolder) -> None:
    plain_folder.write(OTHER_THAN_BASE, GATED)
    plain_folder.run(*ONE, "--privaudit-budget=1").assert_outcomes(passed=1)
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert audit.provenance is not None
    assert audit.provenance.models["base_model"]["class"].endswith("ObliviousTarget")


BLACK = """
from PIL import Image

@pytest.fixture(scope="session")
def target_model():
    return lambda prompts, seeds: [Image.new("RGB", (32, 32))] * len(prompts)
"""
ALWAYS_ONE = """
@pytest.fixture(scope="session")
def target_model(members):
    return lambda prompts, seeds: [members[0].image] * len(prompts)
"""
NEARLY_ONE = """
import numpy as np
from PIL import Image

@pytest.fixture(scope="session")
def target_model(members):
    def draw(seed):
        noise = np.random.default_rng(seed).integers(-2, 3, (32, 32, 3))
        return Image.fromarray(np.uint8(np.clip(np.int64(members[0].image) + noise, 0, 255)))

    return lambda prompts, seeds: [draw(hash(pair) % 2**32) for pair in zip(prompts, seeds)]
"""
SOME_BLACK = """
from PIL import Image

@pytest.fixture(scope="session")
def target_model(members):
    control = privaudit.testing.MemorizingTarget(members)

    def generate(prompts, seeds):
        images = control.generate(prompts, seeds)
        return [
            Image.new("RGB", (32, 32)) if prompt == members[0].caption else image
            for prompt, image in zip(prompts, images)
        ]

    return generate
"""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (BLACK, "* of 12 answers of target_model are of one colour"),
        (
            ALWAYS_ONE,
            "* of * pairs of prompts, each with one seed, got one picture of target_model*",
        ),
        (NEARLY_ONE, "* of 12 answers of target_model are the same picture as the answer to *"),
        (SOME_BLACK, "* of 12 answers of target_model are of one colour"),
    ],
)
def test_answers_that_are_no_pictures_make_an_audit_invalid(
    plain_folder: AuditFolder, target: str, said: str
) -> None:
    plain_folder.write(target, GATED)
    result = plain_folder.run(*ONE, "--privaudit-budget=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([said])
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert [item.outcome for item in audit.not_completed] == ["invalid"]


def test_a_sequential_audit_looks_at_its_answers_too(plain_folder: AuditFolder) -> None:
    plain_folder.write(BLACK, GATED)
    result = plain_folder.run(*ONE, "--privaudit-sequential", "--privaudit-gate=evidence")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["* of 12 answers of target_model are of one colour"])


def test_pictures_are_counted_in_the_record(plain_folder: AuditFolder) -> None:
    plain_folder.write(LEAKING, GATED)
    plain_folder.run(*ONE)
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert audit.validity is not None
    assert {name: (a.n, a.flat, a.repeated) for name, a in audit.validity.answers.items()} == {
        "target_model by caption, calibration": (12, 0, 0),
        "target_model by caption, evaluation": (12, 0, 0),
    }


def test_a_marker_that_reaches_nothing_is_an_error(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, "@pytest.mark.privacy_budget(guidance_scale=4.0)", GATED)
    result = plain_folder.run(*ONE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["guidance_scale of privacy_budget(…) cannot reach*"])
    plain_folder.write(SAFE, GATED)
    plain_folder.run(*ONE, "--privaudit-guidance-scale=4", "--privaudit-budget=1")
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert audit.settings["guidance_scale"] is None
    assert "guidance_scale" in audit.settings["without_effect"]


ADAPTER_OF_ANOTHER = """
import torch
from pathlib import Path
from safetensors.torch import save_file
from tests.parts.pipelines import tiny_pipeline

@pytest.fixture(scope="session")
def target_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder / "base")
    tuned = privaudit.finetune(tiny_pipeline(), MEMBERS, steps=1, progress=False)
    tuned.save_lora(folder / "lora")
    file = folder / "lora" / "pytorch_lora_weights.safetensors"
    from safetensors.torch import load_file
    save_file({f"surplus.{key}": value for key, value in load_file(file).items()}, file)
    return privaudit.SavedPipeline(folder / "base", lora=folder / "lora", device="cpu")

MEMBERS = emoji_sets.twemoji("member")[:4]
"""


@pytest.mark.slow
def test_an_adapter_that_does_not_fit_is_an_error_not_the_base(plain_folder: AuditFolder) -> None:
    plain_folder.write(ADAPTER_OF_ANOTHER, GATED)
    # A process of its own: what training imports cannot be imported twice in one.
    result = plain_folder.run(
        *ONE, "--privaudit-num-inference-steps=2", "--privaudit-budget=1", subprocess=True
    )
    result.assert_outcomes(errors=1)
    assert "surplus" in result.stdout.str()
