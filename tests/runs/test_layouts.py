"""Runs as trainers leave them behind: each layout is found, ordered, and loaded with every key used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import privaudit
from privaudit.errors import CheckpointError, GeneratorError
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline

BASE = AUDITS / "models" / "base"
ADAPTER = AUDITS / "models" / "shadow"
WEIGHTS = "pytorch_lora_weights.safetensors"


def kohya(target: Path, header: dict[str, str] | None = None) -> None:
    """Write the shadow model's adapter under kohya's keys."""
    renamed = {}
    for key, value in load_file(ADAPTER / WEIGHTS).items():
        path, end = (
            key.removeprefix("unet.").rsplit(".lora.", 1)
            if ".lora." in key
            else key.removeprefix("unet.").rsplit(".lora_", 1)
        )
        end = {
            "A.weight": "lora_down.weight",
            "B.weight": "lora_up.weight",
            "down.weight": "lora_down.weight",
            "up.weight": "lora_up.weight",
        }[end]
        renamed[f"lora_unet_{path.replace('.', '_')}.{end}"] = value.clone()
    save_file(renamed, target, metadata=header)


def names(run: Path, **given: object) -> list[tuple[str, int | None]]:
    return [(one.name, one.step) for one in privaudit.checkpoints(run, base=BASE, **given)]


def test_diffusers_folders_are_sorted_by_step_and_the_final_weights_are_last(
    tmp_path: Path,
) -> None:
    for step in (1000, 500, 20):
        shutil.copytree(ADAPTER, tmp_path / f"checkpoint-{step}")
    shutil.copy(ADAPTER / WEIGHTS, tmp_path / WEIGHTS)
    (tmp_path / "logs").mkdir()
    assert names(tmp_path) == [
        ("checkpoint-20", 20),
        ("checkpoint-500", 500),
        ("checkpoint-1000", 1000),
        ("final", None),
    ]


def test_kohya_counts_epochs_or_steps_in_names_and_steps_in_headers(tmp_path: Path) -> None:
    by_epoch, by_step, by_header, other = (tmp_path / name for name in "abcd")
    for folder in (by_epoch, by_step, by_header, other):
        folder.mkdir()
    for epoch in (2, 10):
        shutil.copy(ADAPTER / WEIGHTS, by_epoch / f"faces-{epoch:06}.safetensors")
        kohya(by_header / f"faces-{epoch:06}.safetensors", {"ss_steps": str(40 * epoch)})
    shutil.copy(ADAPTER / WEIGHTS, by_epoch / "faces.safetensors")
    kohya(by_header / "faces.safetensors", {"ss_steps": "500"})
    for step in (500, 1500):
        shutil.copy(ADAPTER / WEIGHTS, by_step / f"faces-step{step:08}.safetensors")
        shutil.copy(ADAPTER / WEIGHTS, other / f"faces_{step:09}.safetensors")
    assert names(by_epoch) == [("faces-000002", 2), ("faces-000010", 10), ("faces", None)]
    assert names(by_header) == [("faces-000002", 80), ("faces-000010", 400), ("faces", 500)]
    assert names(by_step) == [("faces-step00000500", 500), ("faces-step00001500", 1500)]
    assert names(other) == [("faces_000000500", 500), ("faces_000001500", 1500)]
    assert {one.unit for one in privaudit.checkpoints(by_epoch, BASE)} >= {"epoch"}


@pytest.mark.slow
def test_every_layout_draws_as_the_fine_tune_that_it_is_of(tmp_path: Path) -> None:
    """Through the same loader as any target, which uses all keys or raises."""
    from privaudit.diffusion.fine_tuned import with_parts

    expected = privaudit.load_pipeline(BASE, lora=ADAPTER, device="cpu")
    unet = tmp_path / "unet" / "checkpoint-7" / "unet"
    expected.unet.save_pretrained(unet)
    with_parts(expected).save_pretrained(tmp_path / "whole" / "checkpoint-7")
    (tmp_path / "kohya").mkdir()
    kohya(tmp_path / "kohya" / "faces-000007.safetensors")
    shutil.copytree(ADAPTER, tmp_path / "lora" / "checkpoint-7")
    for run in sorted(tmp_path.iterdir()):
        base = None if run.name == "whole" else BASE
        [one] = privaudit.checkpoints(run, base, device="cpu")
        loaded = one.load().pipeline.unet.state_dict()
        assert one.step == 7
        for name, value in expected.unet.state_dict().items():
            assert torch.allclose(loaded[name], value, atol=2e-3), (run.name, name)


def test_peft_names_its_base_itself(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tmp_path / "base"
    tiny = tiny_pipeline()
    tiny.save_pretrained(base)
    for step in (10, 20):
        torch.manual_seed(step)
        tuned = get_peft_model(
            tiny_pipeline().unet, LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False)
        )
        folder = tmp_path / "run" / f"checkpoint-{step}"
        tuned.save_pretrained(folder)
        # Named before it is saved, peft asks the hub about it.
        config = folder / "adapter_config.json"
        named = json.loads(config.read_text()) | {"base_model_name_or_path": str(base)}
        config.write_text(json.dumps(named))
    first, second = privaudit.checkpoints(tmp_path / "run", device="cpu")
    assert (first.step, second.step) == (10, 20)
    weights = [one.load().pipeline.unet.state_dict() for one in (first, second)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    config = tmp_path / "run" / "checkpoint-10" / "adapter_config.json"
    told = json.loads(config.read_text()) | {"base_model_name_or_path": "someone/else"}
    config.write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="it names 'someone/else', which is no folder here"):
        privaudit.checkpoints(tmp_path / "run")


@pytest.mark.parametrize(
    ("files", "given", "said"),
    [
        ([], {}, "has no checkpoint of a layout that we know .it has nothing.: there must be"),
        (["a-000001", "b-000001"], {}, r"has the files of 2 runs \(a, b\): say which with name=…"),
        (["a-000001", "a-step00000005"], {}, r"\(1 count epochs, 1 count steps\): keep one kind"),
        (["a-000001"], {"base": None}, "a-000001 of .* nothing says of which: name the folder"),
    ],
)
def test_a_run_that_cannot_be_ordered_is_one_line(
    tmp_path: Path, files: list[str], given: dict[str, None], said: str
) -> None:
    for name in files:
        shutil.copy(ADAPTER / WEIGHTS, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=said) as raised:
        privaudit.checkpoints(tmp_path, **{"base": BASE, **given})
    assert "\n" not in str(raised.value)
    if len(files) == 2 and "runs" in said:
        assert names(tmp_path, name="b") == [("b-000001", 1)]


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder: name the one that the trainer"):
        privaudit.checkpoints(tmp_path / "absent", base=BASE)


def test_what_will_not_load_says_so_alone(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        shutil.copytree(ADAPTER, tmp_path / f"checkpoint-{step}")
    file = tmp_path / "checkpoint-2" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    (tmp_path / "checkpoint-3" / WEIGHTS).rename(tmp_path / "checkpoint-3" / "optimizer.bin")
    save_file({"model.diffusion_model.x": torch.zeros(2)}, tmp_path / "checkpoint-4" / WEIGHTS)
    listed = {one.step: one for one in privaudit.checkpoints(tmp_path, BASE)}
    listed[1].load()
    for step, said in (
        (2, "checkpoint-2 of .* does not load: pytorch_lora_weights.safetensors cannot be read"),
        (3, "checkpoint-3 of .* does not load: no adapter, unet, transformer or pipeline is in it"),
        (4, "checkpoint-4 of .* is a whole model in one file: privaudit.load_pipeline"),
    ):
        with pytest.raises(GeneratorError, match=said) as raised:
            listed[step].load()
        assert "\n" not in str(raised.value)
