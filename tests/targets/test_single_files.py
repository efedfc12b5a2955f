"""Models of each family in one file, whole or the denoiser alone: the model that was written, or an error."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from privaudit import SavedPipeline, load_pipeline
from privaudit.diffusion.weights import compared
from privaudit.errors import GeneratorError
from tests.parts.original_layouts import original_transformer
from tests.parts.shipped import built, denoiser, original_denoiser
from tests.parts.single_files import (
    original,
    original_unet,
    original_vae,
    write_single_file,
    write_weights,
)
from tests.zoo.images import vae
from tests.zoo.registry import ZOO

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = "model.diffusion_model."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Save the base of a family, once for each."""

    @functools.cache
    def saved(name: str) -> Path:
        folder: Path = tmp_path_factory.mktemp("single") / name
        built(name, 0).save_pretrained(folder)
        return folder

    return saved


def picture(pipeline: Any, name: str) -> np.ndarray[Any, Any]:
    drawn = pipeline(
        ["a fox"],
        generator=[torch.Generator().manual_seed(1)],
        output_type="np",
        **ZOO[name].call,
    )
    return np.asarray(drawn.images[0])


def check_pictures(loaded: Any, expected: Any, base: Path, name: str) -> None:
    ours = picture(loaded, name)
    assert (ours == picture(expected, name)).all()
    assert (ours != picture(load_pipeline(base, device="cpu"), name)).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["StableDiffusionXLPipeline", "StableDiffusion3Pipeline"])
def test_a_whole_model_in_one_file_draws_as_the_one_that_was_written(
    base: Any, tmp_path: Path, name: str
) -> None:
    folder, tuned, file = base(name), built(name, 3), tmp_path / "model.safetensors"
    write_single_file(tuned, file)
    check_pictures(load_pipeline(file, config=folder, device="cpu"), tuned, folder, name)
    saved = SavedPipeline(file, config=folder, device="cpu")
    assert saved.describe()["class"] == name
    assert (picture(saved.pipeline, name) == picture(tuned, name)).all()


@pytest.mark.slow
def test_text_encoders_that_a_file_has_not_are_those_of_the_config(
    base: Any, tmp_path: Path
) -> None:
    name = "StableDiffusion3Pipeline"
    folder, tuned, file = base(name), built(name, 3), tmp_path / "model.safetensors"
    write_single_file(tuned, file, without="text_encoders.")
    loaded = load_pipeline(file, config=folder, device="cpu")
    plain = load_pipeline(folder, device="cpu")
    tuned.register_modules(
        **{name: getattr(plain, name) for name in plain.components if "text_encoder" in name}
    )
    check_pictures(loaded, tuned, folder, name)
    # One of three likewise, and none where the config is without weights.
    write_single_file(built(name, 3), file, without="text_encoders.t5xxl.")
    loaded = load_pipeline(file, config=folder, device="cpu")
    assert torch.equal(loaded.text_encoder_3.shared.weight, plain.text_encoder_3.shared.weight)
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(GeneratorError, match="does not hold all of a StableDiffusion3Pipeline"):
        load_pipeline(file, config=bare, device="cpu")


@pytest.mark.parametrize(
    ("name", "names"),
    [
        pytest.param(name, names, marks=[] if fast else [pytest.mark.slow])
        for name, names, fast in (
            ("StableDiffusionPipeline", "authors", False),
            ("StableDiffusionXLPipeline", "whole file", False),
            ("StableDiffusion3Pipeline", "authors", False),
            ("StableDiffusion3Pipeline", "whole file", False),
            ("StableDiffusion3Pipeline", "diffusers", False),
            ("SanaPipeline", "authors", True),
            ("SanaPipeline", "whole file", False),
            ("ZImagePipeline", "authors", False),
            ("ZImagePipeline", "whole file", True),
            ("QwenImagePipeline", "whole file", False),
            ("QwenImagePipeline", "diffusers", False),
            ("PixArtSigmaPipeline", "diffusers", True),
            ("FluxPipeline", "diffusers", False),
            ("ChromaPipeline", "diffusers", False),
        )
    ],
)
def test_a_denoiser_in_one_file_is_put_into_its_pipeline(
    base: Any, tmp_path: Path, name: str, names: str
) -> None:
    folder, tuned, file = base(name), built(name, 3), tmp_path / "part.safetensors"
    part = denoiser(tuned)
    weights = original_denoiser(tuned) if names != "diffusers" else tuned.transformer.state_dict()
    before = BEFORE if names == "whole file" else ""
    write_weights({before + key: value for key, value in weights.items()}, file)
    expected = load_pipeline(folder, device="cpu")
    setattr(expected, part, getattr(tuned, part))
    given: dict[str, Any] = {part: file}
    check_pictures(load_pipeline(folder, device="cpu", **given), expected, folder, name)
    saved = SavedPipeline(folder, device="cpu", **given)
    assert saved.privaudit_fine_tuned == [file]
    assert saved.base is not None
    assert torch.equal(
        next(iter(getattr(saved.pipeline, part).state_dict().values())),
        next(iter(getattr(tuned, part).state_dict().values())),
    )


@pytest.fixture(scope="module")
def sana(base: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a base, and the weights of a transformer for it in its authors' names."""
    return base("SanaPipeline"), original_transformer(built("SanaPipeline", 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # diffusers' own conversion passes over these without a word
        (lambda w: w | {"blocks.0.attn.q_norm.weight": torch.ones(8)}, "1 of its weights were not"),
        (lambda w: w | {"blocks.0.attn.qkv.bias": torch.ones(24)}, r"not used, the first blocks\.0"),
        (lambda w: {k: v for k, v in w.items() if "proj_conv" not in k and "t_block" not in k},
         "no weight 't_block.1.weight'"),
        (lambda w: w | {"blocks.0.attn.proj.bias": torch.ones(9)}, "is not the SanaTransformer2D"),
        (lambda w: w | {"vae.encoder.conv_in.weight": torch.ones(1)}, "that are none of a transf"),
        (lambda w: {"transformer.x.lora_A.weight": torch.ones(1)}, "give it by lora="),
        (lambda w: w | {"blocks.0.attn.qkv.scale_weight": torch.ones(1)}, "holds a quantised model"),
        (lambda w: w | {"x_embedder.proj.weight": torch.ones(8, dtype=torch.int8)}, "quantised"),
        (lambda w: {f"{k}.other": v for k, v in w.items()}, "is not the SanaTransformer2DModel of"),
    ],
)  # fmt: skip
def test_a_file_of_anything_else_is_an_error(
    sana: Any, tmp_path: Path, change: Any, reason: str
) -> None:
    folder, weights = sana
    file = tmp_path / "part.safetensors"
    write_weights(change(dict(weights)), file)
    with pytest.raises(GeneratorError, match=reason):
        load_pipeline(folder, transformer=file, device="cpu")


def test_where_diffusers_cannot_load_a_file_the_way_out_is_named(
    base: Any, sana: Any, tmp_path: Path
) -> None:
    folder, weights = sana
    file = tmp_path / "model.safetensors"
    write_weights(weights, file)
    with pytest.raises(GeneratorError, match=r"loaded from no single file .* by transformer="):
        load_pipeline(file, config=folder, device="cpu")
    pixart = base("PixArtSigmaPipeline")
    with pytest.raises(GeneratorError, match=r"converts no other: convert it with the script"):
        load_pipeline(pixart, transformer=file, device="cpu")
    with pytest.raises(GeneratorError, match=r"has no place in .* whose parts are"):
        load_pipeline(folder, unet=file, device="cpu")
    write_weights({"lora_unet_x.lora_down.weight": torch.ones(1)}, file)
    with pytest.raises(GeneratorError, match="give it by lora="):
        load_pipeline(file, config=base("StableDiffusionXLPipeline"), device="cpu")
    # diffusers leaves the autoencoder nothing to read once it has read the transformer
    write_single_file(built("ZImagePipeline", 3), file)
    with pytest.raises(
        GeneratorError, match=r"does not hold all of a ZImagePipeline .*transformer="
    ):
        load_pipeline(file, config=base("ZImagePipeline"), device="cpu")
    (other := tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(GeneratorError, match=r"is no \.safetensors file"):
        load_pipeline(folder, transformer=other, device="cpu")
    (torn := tmp_path / "torn.safetensors").write_bytes(b"\0" * 9)
    with pytest.raises(GeneratorError, match="cannot be read"):
        load_pipeline(folder, transformer=torn, device="cpu")


def test_half_a_models_numbers_are_compared_in_the_dtype_they_are_loaded_in(
    sana: Any, tmp_path: Path
) -> None:
    folder, weights = sana
    file = tmp_path / "part.safetensors"
    write_weights({k: v.to(torch.float8_e4m3fn) for k, v in weights.items()}, file)
    found = load_pipeline(folder, transformer=file, device="cpu", dtype="bfloat16").transformer
    [key] = [k for k in weights if k.endswith("final_layer.linear.weight")]
    expected = weights[key].to(torch.float8_e4m3fn).to(torch.bfloat16)
    assert torch.equal(found.proj_out.weight, expected)


@pytest.mark.slow
def test_a_schedule_that_the_file_asks_for_and_the_config_has_not_is_an_error(
    base: Any, tmp_path: Path
) -> None:
    name = "StableDiffusionXLPipeline"
    folder, file = base(name), tmp_path / "model.safetensors"
    write_weights(original(built(name, 3)) | {"v_pred": torch.empty(0)}, file)
    with pytest.raises(GeneratorError, match="v_pred asks for a scheduler of prediction_type="):
        load_pipeline(file, config=folder, device="cpu")
    fit = tmp_path / "fit"
    shutil.copytree(folder, fit)
    config = fit / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"epsilon"', '"v_prediction"'))
    loaded = load_pipeline(file, config=fit, device="cpu")
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    with pytest.raises(GeneratorError, match="all its parts get one"):
        load_pipeline(file, config=fit, device="cpu", dtype={"default": torch.float32})


@pytest.mark.slow
def test_a_part_can_be_put_into_a_whole_model_in_one_file(base: Any, tmp_path: Path) -> None:
    name = "StableDiffusionXLPipeline"
    folder, whole, part = base(name), tmp_path / "model.safetensors", tmp_path / "unet.safetensors"
    write_single_file(built(name, 3), whole)
    write_weights(original_unet(built(name, 4)), part)
    loaded = load_pipeline(whole, config=folder, unet=part, device="cpu")
    expected = built(name, 3)
    expected.unet = built(name, 4).unet
    check_pictures(loaded, expected, folder, name)


def large(name: str, seed: int) -> Any:
    """Build a transformer of the one width that diffusers converts, 0.5 billion weights."""
    pipeline = ZOO[name].build(seed)
    config = dict(pipeline.transformer.config)
    config |= {"attention_head_dim": 128, "num_attention_heads": 24, "axes_dims_rope": (16, 56, 56)}
    with torch.device("meta"):
        transformer = type(pipeline.transformer).from_config(config)
    transformer = transformer.to(torch.bfloat16).to_empty(device="cpu").eval()
    for key, value in pipeline.transformer.named_buffers():  # computed, and of no width
        transformer.get_buffer(key).copy_(value)
    random = torch.Generator().manual_seed(seed)
    row = torch.randn(2**16, generator=random).to(torch.bfloat16)
    for n, (key, value) in enumerate(transformer.state_dict().items()):
        if "norm" in key:
            value.fill_(1.0)
        else:  # each row of another part of one list of numbers: they need only be told apart
            flat = value.view(-1)
            for start in range(0, len(flat), 2**16):
                end = min(start + 2**16, len(flat))
                flat[start:end] = row.roll(n + start // 2**16)[: end - start] * 0.02
    pipeline.register_modules(transformer=transformer)
    return pipeline.to(torch.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FluxPipeline", "ChromaPipeline"])
def test_flux_and_chroma_in_their_authors_names_are_of_one_width(
    base: Any, tmp_path: Path, name: str
) -> None:
    tuned, file = large(name, 3), tmp_path / "model.safetensors"
    folder = tmp_path / "base"
    shutil.copytree(base(name), folder, ignore=shutil.ignore_patterns("transformer"))
    tuned.transformer.save_config(folder / "transformer")  # its weights there are not read
    half = {"device": "cpu", "dtype": torch.bfloat16}
    tuned.register_modules(
        **load_pipeline(folder, transformer=tuned.transformer, **half).components
    )
    save_file(original_transformer(tuned), file)
    loaded = load_pipeline(folder, transformer=file, **half)
    weights = loaded.transformer.state_dict()
    for key, value in tuned.transformer.state_dict().items():
        assert torch.equal(weights[key], value), key
    if name == "FluxPipeline":  # with its autoencoder and text encoders too
        del loaded, weights
        write_single_file(tuned, file)
        loaded = load_pipeline(file, config=folder, **half)
    assert (picture(loaded, name) == picture(tuned, name)).all()


def test_a_narrow_flux_in_its_authors_names_is_an_error(base: Any, tmp_path: Path) -> None:
    file = tmp_path / "part.safetensors"
    write_weights(original_transformer(built("FluxPipeline", 3)), file)
    with pytest.raises(GeneratorError, match=r"is not the FluxTransformer2DModel of .*3072"):
        load_pipeline(base("FluxPipeline"), transformer=file, device="cpu")


def test_accounts_name_what_is_not_there_and_what_came_from_elsewhere() -> None:
    model = vae()
    weights = dict(model.state_dict())
    assert compared(weights, {"vae": model}).sentence() == ""
    first, *_, last = weights
    extra = compared(weights | {"twice": weights[first].clone()}, {"vae": model})
    assert extra.unused == ["twice"]
    assert not extra.missing
    less = compared({k: v for k, v in weights.items() if k != last}, {"vae": model})
    assert not less.unused
    assert less.missing == [f"vae.{last}"]
    assert less.sentence() == f"1 weights are missing, the first vae.{last}"
    turned = torch.nn.Linear(3, 3, bias=False)
    assert not compared({"w": turned.weight.data.T}, {"it": turned}).sentence()
    with torch.device("meta"):
        empty = torch.nn.Linear(3, 3, bias=False)
    assert compared({}, {"it": empty}).missing == ["it.weight"]


def test_an_autoencoder_in_its_authors_names_is_taken_whole() -> None:
    from diffusers import AutoencoderKL

    pipeline = ZOO["StableDiffusionPipeline"].build()
    weights = original_vae(pipeline)
    described = {"vae": pipeline.vae}
    assert isinstance(pipeline.vae, AutoencoderKL)
    assert not compared(weights, described).sentence()
