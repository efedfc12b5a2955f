"""Textual inversions as trainers write them: the words are taught, or the file is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from privaudit import load_pipeline
from privaudit.errors import GeneratorError
from tests.parts.pipelines import tiny_pipeline, tiny_sdxl

WIDTH = 16


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inversions") / "one"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a pipeline of two text encoders."""
    folder = tmp_path_factory.mktemp("inversions") / "two"
    tiny_sdxl().save_pretrained(folder)
    return folder


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(content, file)
    else:
        torch.save(content, file)
    return file


def taught(base: Path, file: Path) -> Any:
    return load_pipeline(base, textual_inversion=file, device="cpu")


def embedding(pipeline: Any, word: str, part: str = "") -> torch.Tensor:
    tokenizer = getattr(pipeline, f"tokenizer{part}")
    weight = getattr(pipeline, f"text_encoder{part}").get_input_embeddings().weight
    return weight[tokenizer.convert_tokens_to_ids(word)].detach()


def test_of_two_text_encoders_each_learns_the_word_that_the_file_is_called(
    two: Path, tmp_path: Path
) -> None:
    values = {"clip_l": torch.randn(2, WIDTH), "clip_g": torch.randn(2, WIDTH)}
    pipeline = taught(two, write(tmp_path / "mytoken.safetensors", values))
    assert pipeline.privaudit_fused[0]["tokens"] == ["mytoken", "mytoken_1"]
    for part, key in (("", "clip_l"), ("_2", "clip_g")):
        for n, word in enumerate(("mytoken", "mytoken_1")):
            assert torch.equal(embedding(pipeline, word, part), values[key][n])


ROW = torch.arange(WIDTH).float()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.safetensors", {"<toy>": ROW[None]}, ["<toy>"]),
        ("a.bin", {"<toy>": ROW}, ["<toy>"]),
        ("two.bin", {"<a>": ROW, "<b>": ROW + 1}, ["<a>", "<b>"]),
        ("ownword.safetensors", {"emb_params": ROW[None]}, ["ownword"]),
        ("x.pt", {"string_to_param": {"*": ROW[None]}, "name": "webui", "step": 3}, ["webui"]),
        ("folder/learned_embeds.bin", {"<toy>": ROW}, ["<toy>"]),
    ],
)
def test_a_file_of_each_trainer_teaches_its_words(
    one: Path, tmp_path: Path, name: str, content: Any, words: list[str]
) -> None:
    file = write(tmp_path / name, content)
    pipeline = taught(one, file.parent if "/" in name else file)
    assert pipeline.privaudit_fused[0]["tokens"] == words
    assert torch.equal(embedding(pipeline, words[0]), ROW)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.bin", {"<a>": torch.ones(24)}, r"w\.bin' holds '<a>', 24 numbers wide, .* is 16 wide"),
        ("w.safetensors", {"clip_g": torch.ones(1, 16)}, r"text_encoder_2 of StableDiff.* not have"),
        ("a.safetensors", {"emb_params": torch.ones(1, 16)}, "the word 'a' .* is known to"),
        ("w.safetensors", {"w.weight": torch.ones(1, 2, 3)}, "no textual inversion: its key 'w.we"),
        ("w.bin", {}, "holds no word"),
        ("w.bin", [1], "is a pickle of a list"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_an_error_with_its_words_and_widths(
    one: Path, tmp_path: Path, name: str, content: Any, said: str
) -> None:
    with pytest.raises(GeneratorError, match=said):
        taught(one, write(tmp_path / name, content))


class Evil:
    """Runs code when it is loaded."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("never"),))


@pytest.mark.parametrize("argument", ["lora", "textual_inversion"])
@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt"])
def test_a_pickle_of_more_than_tensors_is_refused_in_our_words(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"x{suffix}"
    file.write_bytes(pickle.dumps({"a": Evil()}))
    options: dict[str, Any] = {argument: file}
    with pytest.raises(GeneratorError, match="a pickle that holds more than tensors") as caught:
        load_pipeline(one, device="cpu", **options)
    assert "weights_only" not in str(caught.value)
    assert not Path("never").exists()
