"""Pictures are seen as they are meant to be, whatever the file or the model made of them."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

import privaudit
from privaudit import Sample, load_samples
from privaudit.errors import GeneratorError, PictureError, SampleError
from privaudit.samples import PICTURE_FORMATS, FileFacts, as_rgb, open_picture
from privaudit.targets import as_target

ORIENTATION = 0x0112
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def picture() -> Image.Image:
    """Return a picture that is another one when turned or mirrored."""
    pixels = np.random.default_rng(3).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def grey() -> np.ndarray:
    return np.arange(24, dtype=np.float64).reshape(6, 4) * 11


def pixels(image: Image.Image) -> list[object]:
    return np.asarray(as_rgb(image)).tolist()


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_photograph_is_upright(orientation: int, undo: Image.Transpose | None) -> None:
    lying = picture() if undo is None else picture().transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    opened = saved(lying, "PNG", exif=exif)
    assert pixels(opened) == pixels(picture())
    assert pixels(as_rgb(opened)) == pixels(picture())  # a second call does not turn it again
    assert Sample(opened, "x").digest == Sample(picture(), "x").digest


def test_a_damaged_exif_block_turns_nothing() -> None:
    cut = b"Exif\0\0MM\0*\0\0\0\x08\0\xff\x01\x12"
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):  # PIL, as it opens the file
        opened = saved(picture(), "JPEG", exif=cut, quality=100)
    assert as_rgb(opened).size == picture().size


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F, 0 to 1", "F, 0 to 255"])
def test_wide_pixels_are_scaled(mode: str) -> None:
    wide = {
        "I;16": Image.fromarray((grey() * 257).astype(np.uint16)),
        "I;16B": Image.fromarray((grey() * 257).astype(">u2")),
        "I": Image.fromarray((grey() * 257).astype(np.int32)),
        "F, 0 to 1": Image.fromarray((grey() / 255).astype(np.float32)),
        "F, 0 to 255": Image.fromarray(grey().astype(np.float32)),
    }[mode]
    assert wide.mode == mode.split(",", maxsplit=1)[0]
    assert np.asarray(as_rgb(wide))[..., 1].tolist() == grey().tolist()


def test_a_16_bit_file_is_scaled() -> None:
    file = saved(Image.fromarray((grey() * 257).astype(np.uint16)))
    assert file.mode == "I;16"
    assert np.asarray(as_rgb(file))[..., 0].tolist() == grey().tolist()


@given(st.integers(256, 65535))
def test_scaling_rounds_to_the_nearest(value: int) -> None:
    image = Image.fromarray(np.full((1, 1), value, np.uint16))
    assert as_rgb(image).getpixel((0, 0)) == (round(value / 65535 * 255),) * 3


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.new("F", (2, 2), -0.5), "mode F image with values from -0.5 to -0.5, neither 0 to"),
        (Image.new("F", (2, 2), 256.0), "mode F image with values from 256 to 256"),
        (Image.new("F", (2, 2), float("nan")), "mode F image with 4 NaN or infinite values of 4"),
        (Image.new("F", (2, 2), float("inf")), "4 NaN or infinite"),
        (Image.new("I", (2, 2), 70000), "mode I image with values from 70000 to 70000"),
        (Image.new("I", (2, 2), -1), "mode I image with values from -1 to -1"),
        (Image.new("I;16", (2, 2), 200), "values from 200 to 200: 8-bit values in 16-bit pixels"),
        (Image.new("RGB", (0, 2)), "image of 0×2 pixels"),
    ],
)
def test_what_does_not_say_how_it_looks_is_refused(image: Image.Image, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        as_rgb(image)
    with pytest.raises(SampleError, match=f"sample 'seven' cannot be read as an image .*{said}"):
        Sample(image, "x", id="seven")
    with pytest.raises(GeneratorError, match=f"for prompt 'a' a .*{said}"):
        as_target(lambda prompts, seeds: [image]).generate(["a"], [0])


def hidden(mode: str) -> Image.Image:
    """Return a picture with a red pixel, and beside it a green one that is transparent."""
    if mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((1, 0), 1)
        return saved(image, transparency=1)
    if mode == "RGB":
        image = Image.new("RGB", (2, 1), (255, 0, 0))
        image.putpixel((1, 0), (0, 255, 0))
        return saved(image, transparency=(0, 255, 0))
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 255, 0, 0))
    return image.convert("PA") if mode == "PA" else image


@pytest.mark.parametrize("mode", ["P", "PA", "RGB", "RGBA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = hidden(mode)
    assert image.mode == mode
    assert pixels(image) == [[[255, 0, 0], [255, 255, 255]]]
    blue = as_rgb(image, background="blue")
    assert np.asarray(blue).tolist() == [[[255, 0, 0], [0, 0, 255]]]


@pytest.mark.parametrize("mode", ["LA", "La"])
def test_a_transparent_grey_pixel_is_white(mode: str) -> None:
    image = Image.new("LA", (2, 1), (50, 255))
    image.putpixel((1, 0), (50, 0))
    assert pixels(image.convert(mode)) == [[[50, 50, 50], [255, 255, 255]]]


def test_a_transparent_colour_of_a_16_bit_file_is_white() -> None:
    values = np.array([[1000, 40000]], np.uint16)
    image = saved(Image.fromarray(values), transparency=1000)
    assert pixels(image) == [[[255] * 3, [156] * 3]]


@given(st.sampled_from((*MODES, *WIDE)), st.integers(1, 3), st.integers(1, 3))
def test_every_mode_becomes_rgb_once_and_for_all(mode: str, width: int, height: int) -> None:
    image = Image.new(mode, (width, height))
    rgb = as_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", image.size)
    assert as_rgb(rgb) is rgb
    assert image.mode == mode


def test_samples_and_answers_are_the_same_picture() -> None:
    """A model that answers with its training picture is at a distance of nothing."""
    wide = Image.fromarray((grey() / 255).astype(np.float32))
    sample = Sample(wide, "a")
    (answer,) = as_target(lambda prompts, seeds: [wide]).generate(["a"], [0])
    assert Sample(answer, "a").digest == sample.digest
    assert sample.image.tobytes() == answer.tobytes()


def test_the_facts_of_a_file_are_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture().save(tmp_path / "a.jpg", quality=80, exif=exif)
    picture().save(tmp_path / "b.jpg", quality=60)
    picture().convert("P").save(tmp_path / "c.png")
    (tmp_path / "metadata.jsonl").write_text(
        "\n".join(f'{{"file_name": "{name}", "text": "x"}}' for name in ("a.jpg", "b.jpg", "c.png"))
    )
    a, b, c = (sample.facts for sample in load_samples(tmp_path))
    assert (a.format, a.size, a.mode, a.has_exif) == ("JPEG", (4, 6), "RGB", True)
    assert (b.format, b.has_exif) == ("JPEG", False)
    assert a.jpeg_tables != b.jpeg_tables
    assert c == FileFacts("PNG", (4, 6), "P", None, has_exif=False)
    assert load_samples(tmp_path)[0].image.size == (6, 4)
    assert Sample(picture(), "x").facts == FileFacts(None, (4, 6), "RGB", None, has_exif=False)


def test_one_function_makes_rgb() -> None:
    package = Path(privaudit.__file__).parent
    straight = re.compile(r"convert\(\s*[\"']RGB[\"']")
    found = [
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if straight.search(file.read_text(encoding="utf-8"))
    ]
    assert found == ["samples/pictures.py"]


def test_a_picture_of_no_file_is_turned_where_somebody_wrote_that_into_it() -> None:
    lying = Image.new("RGB", (3, 2))
    assert as_rgb(lying) is lying
    lying.getexif()[ORIENTATION] = 6
    assert as_rgb(lying).size == (2, 3)


def header(width: int, height: int, bits: int = 8, kind: int = 6) -> bytes:
    """Return a PNG that states its size and holds hardly a pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    stated = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 9))
    return b"\x89PNG\r\n\x1a\n" + stated + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_the_formats_that_users_have_are_opened(kind: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    picture().save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    (tmp_path / "a").write_bytes(file.getvalue())
    for source in (file.getvalue(), tmp_path / "a", str(tmp_path / "a")):
        opened = open_picture(source)
        assert opened.size == (4, 6)
        assert opened.format == kind
        assert as_rgb(opened).size == (4, 6)


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "TGA", "PCX", "JPEG2000", "PDF"])
def test_no_other_format_is_opened(kind: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    picture().save(file, kind)
    with pytest.raises(PictureError, match=r"not a PNG, .* or BMP picture: save it as PNG"):
        open_picture(file.getvalue())


@pytest.mark.parametrize("size", [(8193, 8192), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_size_is_refused_before_anything_is_decoded(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    (tmp_path / "a.png").write_bytes(header(*size))
    for source in (header(*size), tmp_path / "a.png"):
        with pytest.raises(PictureError, match=r"make it smaller"):
            open_picture(source)
    if size[0] < 9000:
        with pytest.raises(PictureError, match="8193×8192 pixels, and at most 67,108,864 are dec"):
            as_rgb(Image.open(io.BytesIO(header(*size))))
    assert not decoded


def test_a_caller_may_want_fewer_pixels_and_a_cut_file_is_one_error() -> None:
    file = io.BytesIO()
    picture().save(file, "PNG")
    with pytest.raises(PictureError, match="4×6 pixels, and at most 23 are decoded"):
        open_picture(file.getvalue(), max_pixels=23)
    for content, message in (
        (file.getvalue()[:50], "damaged"),
        (header(8, 8), "damaged"),
        (b"", "not a PNG"),
    ):
        with pytest.raises(PictureError, match=message):
            open_picture(content)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I", "F"])
def test_a_picture_of_many_rows_is_seen_as_its_rows_are(mode: str) -> None:
    """Tall pictures are flattened and scaled a part at a time."""
    draws = np.random.default_rng(0)
    if mode in ("I;16", "I"):
        values = draws.integers(300, 65536, (1100, 3)).astype(
            np.uint16 if ";" in mode else np.int32
        )
        tall = Image.fromarray(values)
    elif mode == "F":
        tall = Image.fromarray(draws.random((1100, 3), dtype=np.float32))
    else:
        channels = {"RGBA": 4, "LA": 2, "P": 3}[mode]
        tall = Image.fromarray(draws.integers(0, 256, (1100, 3, channels), dtype=np.uint8))
        tall = tall.quantize(200) if mode == "P" else tall
        if mode == "P":
            tall.info["transparency"] = 5
    assert tall.mode == mode
    whole = np.asarray(as_rgb(tall))
    for top in (0, 511, 512, 1023, 1024, 1099):
        row = tall.crop((0, top, 3, top + 1))
        row.info = dict(tall.info)
        if mode in ("I", "I;16", "F"):
            scale = 255 if mode == "F" else 1 / 257
            expected = np.rint(np.asarray(row, np.float64) * scale).astype(int)
            assert np.abs(whole[top, :, 0].astype(int) - expected[0]).max() <= 1
        else:
            assert (whole[top] == np.asarray(as_rgb(row))[0]).all()
