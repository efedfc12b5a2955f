"""Models of pictures and texts: as the libraries have them, known again, and refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from privaudit import load_encoder
from privaudit.encoders.base import encode_in_batches
from privaudit.encoders.clip import Clip, load_clip
from privaudit.errors import EncoderError
from tests.parts.clips import (
    WIDTH,
    tiny_clip,
    tiny_open_clip,
    tiny_siglip,
    tiny_siglip_of_any_shape,
)
from tests.parts.encoders import tiny_vit

TEXTS = ["a dog", "two red houses by the sea", "a dog"]


def pictures() -> list[Image.Image]:
    draws = np.random.default_rng(0)
    sizes = [(32, 32), (48, 32), (20, 20)]
    return [Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "transformers": tiny_clip(folder / "transformers"),
        "siglip": tiny_siglip(folder / "siglip"),
        "open_clip": tiny_open_clip(folder / "open_clip"),
    }


def loaded(folders: dict[str, Path], library: str) -> Clip:
    before = "open_clip:local-dir:" if library == "open_clip" else ""
    return load_clip(f"{before}{folders[library]}", device="cpu")


@pytest.mark.parametrize("kind", ["transformers", "siglip"])
def test_vectors_are_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    from transformers import AutoModel, AutoProcessor

    clip = loaded(folders, kind)
    model = AutoModel.from_pretrained(folders[kind]).eval()
    processor = AutoProcessor.from_pretrained(folders[kind])
    padded = {"padding": "max_length", "max_length": 16, "truncation": True}
    given = processor(text=TEXTS, images=pictures(), return_tensors="pt", **padded)
    with torch.inference_mode():
        wanted = model(**given)
    images = encode_in_batches(clip.images, pictures(), 2)
    assert images.shape == (3, 1, WIDTH)
    both = ((images[:, 0], wanted.image_embeds), (clip.texts(TEXTS), wanted.text_embeds))
    for found, expected in both:  # the library's are unit vectors
        unit = found / np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(unit, expected, atol=1e-5)


def test_vectors_are_those_of_open_clip(folders: dict[str, Path]) -> None:
    import open_clip

    name = f"local-dir:{folders['open_clip']}"
    clip = loaded(folders, "open_clip")
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    batch = torch.stack([preprocess(image) for image in pictures()])
    with torch.inference_mode():
        wanted = model.eval().encode_image(batch)
        told = model.encode_text(open_clip.get_tokenizer(name)(TEXTS))
    np.testing.assert_allclose(clip.images.encode(pictures())[:, 0], wanted, atol=1e-5)
    np.testing.assert_allclose(clip.texts(TEXTS), told, atol=1e-5)


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_a_text_has_one_vector_whatever_else_is_asked(
    folders: dict[str, Path], library: str
) -> None:
    clip = loaded(folders, library)
    together = clip.texts(TEXTS)
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1], clip.texts(TEXTS[1:2])[0])
    assert np.abs(together[0] - together[1]).max() > 1e-3
    long = " ".join(["house"] * 200)  # cut off, not refused
    assert np.isfinite(clip.texts([long])).all()


@pytest.mark.parametrize(
    ("library", "make"), [("transformers", tiny_clip), ("open_clip", tiny_open_clip)]
)
def test_it_is_known_again_and_other_weights_are_another(
    folders: dict[str, Path], library: str, make: Any, tmp_path: Path
) -> None:
    first, again = loaded(folders, library).fingerprint, loaded(folders, library).fingerprint
    assert first is not None
    assert first == again
    assert loaded({library: make(tmp_path / "other", seed=1)}, library).fingerprint != first


def test_other_words_for_the_same_weights_are_another(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(folders["transformers"], moved)
    file = moved / "tokenizer.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    words = written["model"]["vocab"]
    words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]
    file.write_text(json.dumps(written), encoding="utf-8")
    before = loaded(folders, "transformers").fingerprint
    assert loaded({"transformers": moved}, "transformers").fingerprint != before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("open_clip:ViT-B-32", "names no weights"),
        ("open_clip:local-dir:/nowhere", "cannot be loaded"),
        ("/nowhere/at/all", "cannot be loaded"),
    ],
)
def test_a_name_that_leads_nowhere_is_said(name: str, says: str) -> None:
    with pytest.raises(EncoderError, match=says) as raised:
        load_clip(name, device="cpu")
    assert "--privaudit-clip" in str(raised.value)


def test_a_model_that_reads_no_text_is_refused(tmp_path: Path) -> None:
    model, processor = tiny_vit()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="a tower for texts"):
        load_clip(str(tmp_path), device="cpu")


@pytest.mark.parametrize("load", [load_clip, load_encoder])
def test_a_model_that_takes_more_than_pixels_is_refused_before_it_is_asked(
    tmp_path: Path, load: Any
) -> None:
    where = tiny_siglip_of_any_shape(tmp_path)
    with pytest.raises(EncoderError, match="takes pixel_attention_mask and spatial_shapes beside"):
        load(str(where), device="cpu")


def test_broken_weights_are_said(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import CLIPModel

    broken = tmp_path / "broken"
    shutil.copytree(folders["transformers"], broken)
    model = CLIPModel.from_pretrained(broken)
    model.text_projection.weight.data.fill_(float("nan"))
    model.save_pretrained(broken)
    with pytest.raises(EncoderError, match="2 of 2 texts got non-finite"):
        load_clip(str(broken), device="cpu").texts(["a", "b"])
