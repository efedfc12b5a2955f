"""What trainers write into the header of an adapter, found and taken out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from privaudit.__main__ import main
from privaudit.diffusion.disclosure import inspect_header, write_clean_copy
from privaudit.errors import DisclosureError

if TYPE_CHECKING:
    from pathlib import Path

KOHYA = {
    "ss_sd_model_name": "/home/bob/models/base.safetensors",
    "ss_num_train_images": "600",
    "ss_dataset_dirs": json.dumps({"10_ann smith": {"n_repeats": 10, "img_count": 60}}),
    "ss_tag_frequency": json.dumps({"10_ann smith": {"ann smith": 60, "beach": 4}}),
    "ss_datasets": json.dumps([{"subsets": [{"image_dir": "D:\\faces\\ann", "img_count": 60}]}]),
    "ss_training_started_at": "1700000000.5",
    "ss_network_dim": "16",
    "modelspec.architecture": "stable-diffusion-v1/lora",
    "modelspec.trigger_phrase": "sks ann",
    "modelspec.author": "Bob",
    "modelspec.thumbnail": "data:image/jpeg;base64,/9j/4AAQ",
}
ONETRAINER = {
    "ot_branch": "master",
    "ot_config": json.dumps(
        {
            "base_model_name": "stabilityai/sdxl",
            "concepts": [{"name": "ann", "path": "/data/ann", "text": {"prompt_path": ""}}],
        }
    ),
}
PLAIN = {"format": "pt", "software": json.dumps({"name": "ai-toolkit"}), "step": "1000"}


def adapter(folder: Path, metadata: dict[str, str]) -> Path:
    draws = np.random.default_rng(0)
    tensors = {f"layer.{i}": draws.normal(size=(3, i + 1)).astype(np.float32) for i in range(4)}
    save_file(tensors, folder / "a.safetensors", metadata=metadata)
    return folder / "a.safetensors"


def found(file: Path) -> dict[str, tuple[str, ...]]:
    return {finding.what: finding.values for finding in inspect_header(file)}


def test_what_kohyas_trainer_tells(tmp_path: Path) -> None:
    assert found(adapter(tmp_path, KOHYA)) == {
        "captions": ("ann smith (60)", "beach (4)", "sks ann"),
        "counts": ("img_count = 60", "n_repeats = 10", "ss_num_train_images = 600"),
        "folders": ("10_ann smith",),
        "names": ("Bob",),
        "paths": ("/home/bob/models/base.safetensors", "D:\\faces\\ann"),
        "pictures": ("data:image/jpeg;base64,/9j/4AA…",),
        "times": ("1700000000.5",),
        "users": ("bob",),
    }


def test_what_onetrainers_configuration_tells(tmp_path: Path) -> None:
    told = found(adapter(tmp_path, ONETRAINER))
    assert told["paths"] == ("/data/ann",)
    assert "ann" in told["folders"]


def test_how_to_load_it_is_nothing_of_the_data(tmp_path: Path) -> None:
    plain = {"format": "pt", "ss_network_dim": "16", "modelspec.architecture": "sdxl/lora"}
    assert found(adapter(tmp_path, plain)) == {}
    looks_like_a_file = {"modelspec.architecture": "stable-diffusion-xl/lora.v1"}
    assert found(adapter(tmp_path, looks_like_a_file)) == {}
    assert found(adapter(tmp_path, {})) == {}


@pytest.mark.parametrize("metadata", [KOHYA, ONETRAINER, PLAIN, {}])
def test_a_clean_copy_has_the_weights_alone(tmp_path: Path, metadata: dict[str, str]) -> None:
    file, copy = adapter(tmp_path, metadata), tmp_path / "clean.safetensors"
    write_clean_copy(file, copy)
    assert found(copy) == {}
    before, after = load_file(file), load_file(copy)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with safe_open(copy, framework="numpy") as opened:
        left = opened.metadata() or {}
    assert left.keys() <= {"format", "modelspec.architecture"}
    with pytest.raises(DisclosureError, match="exists: name a new file"):
        write_clean_copy(file, copy)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_what_is_no_file_of_weights_is_one_line(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    assert main(["inspect", str(file)]) == 1
    said = capsys.readouterr().err
    assert "cannot be read as .safetensors" in said
    assert said.count("\n") == 1
    assert main(["inspect", str(tmp_path / "none")]) == 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = adapter(tmp_path, KOHYA)
    assert main(["inspect", str(file)]) == 1
    told = capsys.readouterr().out
    assert f"{file} tells whoever downloads it:\n  captions: 'ann smith (60)', 'beach (4)'" in told
    assert "--clean NEW.safetensors" in told
    assert main(["inspect", str(file), "--clean", str(tmp_path / "b.safetensors")]) == 0
    assert main(["inspect", str(tmp_path / "b.safetensors")]) == 0
    assert "says nothing of the training data" in capsys.readouterr().out


def test_no_library_of_models_is_imported(tmp_path: Path) -> None:
    file = adapter(tmp_path, KOHYA)
    program = (
        "import sys; from privaudit.__main__ import main; "
        f"main(['inspect', {str(file)!r}]); print(sorted({{'torch', 'diffusers'}} & {{*sys.modules}}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines()[-1] == "[]"


LONG = 1_000_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ss_note", "a" * LONG),
        ("ss_note", "a/" * (LONG // 2) + "." + "w" * LONG),
        ("ss_note", '{"' + "n_" * LONG + '": 3}'),
        ("ss_note", '{"' + "dataset" * LONG + '": "x"}'),
        ("ss_tag_frequency", "[" * 5_000 + "]" * 5_000),
    ],
)
def test_no_header_takes_longer_than_it_is_long(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / "lora.safetensors"
    save_file({"a": np.zeros(1)}, file, metadata={key: value})
    started = time.perf_counter()
    inspect_header(file)
    assert time.perf_counter() - started < 10  # an expression of quadratic time takes hours


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/data/cats/1.png", True),
        ("see C:\\cats\\dogs", True),
        ("~/cats/", True),
        ("cats/1.png", True),
        ("cats/1.png\n", True),
        ("a 1/2 scale", False),
        ("cats/1.png'", False),
        ("no folder.png", False),
        ('"cats/" x.png', False),
    ],
)
def test_a_path_is_told_from_a_text(tmp_path: Path, value: str, path: bool) -> None:
    file = tmp_path / "lora.safetensors"
    save_file({"a": np.zeros(1)}, file, metadata={"note": value})
    assert [one.what for one in inspect_header(file)] == ["paths"] * path
