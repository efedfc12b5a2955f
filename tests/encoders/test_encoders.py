"""Encoders of every library, by name from local folders, by object, and what they may do wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from privaudit.encoders import as_encoder, load_encoder
from privaudit.encoders.base import encode_in_batches
from privaudit.encoders.load import _fold_batch_norms
from privaudit.encoders.torchscript import MEAN, SPREAD
from privaudit.errors import EncoderError
from tests.parts.encoders import tiny_vit


def pictures(n: int = 3) -> list[Image.Image]:
    draws = np.random.default_rng(0)
    return [Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(n)]


def deit() -> tuple[Any, Any]:
    from transformers import DeiTConfig, DeiTImageProcessor, DeiTModel

    config = DeiTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    size = {"height": 32, "width": 32}
    return DeiTModel(config, add_pooling_layer=False), DeiTImageProcessor(size=size, crop_size=size)


def beit() -> tuple[Any, Any]:
    from transformers import BeitConfig, BeitImageProcessor, BeitModel

    config = BeitConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    size = {"height": 32, "width": 32}
    return BeitModel(config), BeitImageProcessor(size=size, crop_size=size)


@pytest.mark.parametrize(("make", "tokens"), [(deit, 18), (beit, 17), (tiny_vit, 17)])
def test_transformers_models_load_from_a_folder_and_by_object(
    make: Any, tokens: int, tmp_path: Path
) -> None:
    model, processor = make()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    named = load_encoder(str(tmp_path), device="cpu")
    given = as_encoder((model, processor), device="cpu")
    features = named.encode(pictures())
    assert features.shape == (3, tokens, model.config.hidden_size)
    assert features.dtype == np.float32
    assert named.n_special_tokens == given.n_special_tokens == tokens - 16  # of 32 px in 8s
    np.testing.assert_allclose(features, given.encode(pictures()), atol=1e-6)
    inputs = processor(images=pictures(), return_tensors="pt")
    with torch.inference_mode():
        expected = model.eval()(**inputs).last_hidden_state
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_timm_models_are_given_as_they_are() -> None:
    import timm

    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    assert as_encoder(vit, device="cpu").encode(pictures()).shape == (3, 197, 192)
    assert as_encoder(vit, device="cpu").n_special_tokens == 197 - 14**2
    convolutional = timm.create_model("resnet10t", num_classes=0)
    assert as_encoder(convolutional, device="cpu").encode(pictures()).shape[2] == 512
    assert as_encoder(convolutional, device="cpu").n_special_tokens == 0


def test_open_clip_models_are_given_with_their_preprocessing() -> None:
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32")
    features = as_encoder((model, preprocess), device="cpu").encode(pictures())
    assert features.shape == (3, 49, 384)


def test_real_weights_come_without_a_hub() -> None:
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    assert encoder.encode(pictures()).shape == (3, 16, 1280)


def script(path: Path, *, spatial: bool = False) -> Path:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 6, 3)]
    if not spatial:
        layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Sequential(*layers), torch.zeros(1, 3, 8, 8)).save(str(path))
    return path


def test_a_torchscript_file_is_an_encoder_known_by_all_of_it(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    images = [sample.image for sample in emoji["member"][:3]]
    file = script(tmp_path / "sscd.pt")
    encoder = load_encoder(f"torchscript:{file}:32", device="cpu")
    found = encoder.encode(images)
    assert found.shape == (3, 1, 6)
    plain = np.asarray(images[0].convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255
    mean, spread = (np.array(v)[:, None, None] for v in (MEAN, SPREAD))
    with torch.inference_mode():
        seen = torch.jit.load(str(file))(torch.tensor((plain - mean) / spread)[None].float())
    np.testing.assert_allclose(found[0, 0], seen[0], rtol=1e-4, atol=1e-6)
    sizes = {load_encoder(f"torchscript:{file}{s}").fingerprint for s in ("", ":288", ":32")}
    assert len(sizes) == 2
    other = script(tmp_path / "map.pt", spatial=True)  # of equal weights
    assert load_encoder(f"torchscript:{other}:32", device="cpu").encode(images).shape == (3, 900, 6)
    assert load_encoder(f"torchscript:{other}:32").fingerprint not in sizes
    with pytest.raises(EncoderError, match=r"there is no file .*nowhere\.pt"):
        load_encoder("torchscript:nowhere.pt")
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(f"torchscript:{tmp_path / 'text.pt'}")


def test_folding_batch_norms_changes_no_feature_by_more_than_rounding() -> None:
    import timm

    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            torch.nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            torch.nn.init.normal_(module.bias)
    batch = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_features(batch)
        _fold_batch_norms(model)
        folded = model.forward_features(batch)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert float((folded - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_the_fingerprint_tells_weights_and_preprocessing() -> None:
    prints = set()
    for size, change in ((32, 0.0), (32, 1.0), (64, 0.0)):
        model, processor = tiny_vit(size)
        with torch.no_grad():
            model.layernorm.bias += change
        prints.add(as_encoder((model, processor), device="cpu").fingerprint)  # type: ignore[attr-defined]
    assert len(prints) == 3


def test_company_in_a_batch_changes_nothing() -> None:
    encoder = as_encoder(tiny_vit(), device="cpu")
    images = pictures(40)
    whole = encode_in_batches(encoder, images, 40)
    for size in (1, 7, 16):
        np.testing.assert_array_equal(encode_in_batches(encoder, images, size), whole)


def test_names_that_lead_nowhere_and_objects_that_are_no_encoder() -> None:
    with pytest.raises(EncoderError, match="'/no/such/folder' cannot be loaded"):
        load_encoder("/no/such/folder")
    with pytest.raises(EncoderError, match="did you mean 'efficientnet-lite0'"):
        load_encoder("efficientnet")  # no hub is asked: its names have an owner
    with pytest.raises(EncoderError, match="names no weights"):
        load_encoder("open_clip:ViT-B-32")
    with pytest.raises(EncoderError, match="int is not an image encoder"):
        as_encoder(3)


def test_non_finite_features_are_counted() -> None:
    model, processor = tiny_vit()
    with torch.no_grad():
        model.layernorm.bias.fill_(float("nan"))
    with pytest.raises(EncoderError, match="3 of 3 images got non-finite features"):
        encode_in_batches(as_encoder((model, processor), device="cpu"), pictures(), 16)
