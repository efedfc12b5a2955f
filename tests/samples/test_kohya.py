"""kohya's data sets are read as its trainer reads them: what it did not train on is no member."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from PIL import Image

from privaudit import load_samples
from privaudit.errors import SampleError

HEAD = "[[datasets]]\n[[datasets.subsets]]\n"


def put(folder: Path, name: str, caption: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draws = sum(map(ord, str(folder / name))) % 255
    Image.new("RGB", (4, 4), (draws, 0, 0)).save(folder / name)
    if caption is not None:
        (folder / name).with_suffix(".txt").write_text(caption)
    return folder


def toml(folder: Path, text: str) -> Path:
    file = folder / "dataset.toml"
    file.write_text(text)
    return file


def captions(file: Path) -> list[str]:
    return sorted(s.caption for s in load_samples(file))


def test_only_the_named_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png", "trained")
    put(tmp_path / "img" / "rejected", "2.png", "not trained")
    put(tmp_path / "img" / ".hidden", "3.png", "not trained")
    assert captions(toml(tmp_path, HEAD + 'image_dir = "img"')) == ["trained"]
    assert len(load_samples(tmp_path / "img")) == 2  # a plain folder has folders below


def test_a_subset_of_no_repeats_is_left_out_and_none_is_read_twice(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png", "one")
    put(tmp_path / "img" / "old", "2.png", "two")
    named = 'image_dir = "img"\nnum_repeats = 0\n[[datasets.subsets]]\nimage_dir = "img/old"'
    assert captions(toml(tmp_path, HEAD + named)) == ["two"]
    for again in ("img", "./img/../img", str(tmp_path / "img")):
        named = f'image_dir = "img"\n[[datasets.subsets]]\nimage_dir = {again!r}\n'
        both = HEAD + named + '[[datasets.subsets]]\nimage_dir = "img/old"'
        assert captions(toml(tmp_path, both)) == ["one", "two"]
    with pytest.raises(SampleError, match="names no pictures to train on"):
        load_samples(toml(tmp_path, HEAD + 'image_dir = "img"\nnum_repeats = -1'))


def test_only_pictures_that_the_trainer_opens_are_read(tmp_path: Path) -> None:
    for name in ("1.png", "2.JPG", "3.webp"):
        put(tmp_path / "img", name, name)
    put(tmp_path / "img", "4.gif")
    put(tmp_path / "img", "5.Png")
    file = toml(tmp_path, HEAD + 'image_dir = "img"')
    assert captions(file) == ["1.png", "2.JPG", "3.webp"]
    put(tmp_path / "img", "4.gif", "a caption of nothing")
    with pytest.raises(SampleError, match=r"1 caption files .* 4.txt: 4.gif is of a format that"):
        load_samples(file)


def test_the_first_line_is_the_caption_and_nothing_is_said(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png", "sks\nA cat on a mat\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert captions(toml(tmp_path, HEAD + 'image_dir = "img"')) == ["sks"]


def test_a_drawn_caption_is_none(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png", "a {red|blue} cat\nsecond line")
    for text in (
        f'{HEAD}image_dir = "img"\nenable_wildcard = true',
        f'[general]\nenable_wildcard = true\n{HEAD}image_dir = "img"',
        '[[datasets]]\nenable_wildcard = true\n[[datasets.subsets]]\nimage_dir = "img"',
    ):
        with pytest.raises(SampleError, match="has enable_wildcard, with which the trainer draws"):
            load_samples(toml(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("general = 1", "a number as general, where kohya's trainer reads a table"),
        ("datasets = 3", "a number as datasets, where .* list of tables"),
        ("datasets = [3]", r"a number as datasets\[0\], where"),
        ('[[datasets]]\nsubsets = "x"', r"a str as datasets\[0\].subsets"),
        ("[datasets]\nx = 1", "an object as datasets"),
        ("[[datasets]]\nsubsets = [1]", r"a number as datasets\[0\].subsets\[0\]"),
        (HEAD + "image_dir = 3", "data set 0, has a number as image_dir, not a text in quotes"),
        (HEAD + 'image_dir = ""', "names no pictures|holds no picture|has no"),
        (HEAD + 'image_dir = "a\\u0000b"', "has a NUL in image_dir"),
        (HEAD + 'image_dir = "."\ncaption_extension = 1.5', "a number as caption_extension"),
        (HEAD + 'image_dir = "."\nmetadata_file = 3', "a number as metadata_file"),
        (HEAD + 'image_dir = "."\nclass_tokens = ["a"]', "a list of 1 as class_tokens"),
        (HEAD + 'image_dir = "."\nnum_repeats = "3"', "a str as num_repeats, not a whole number"),
        (HEAD + 'image_dir = "."\nnum_repeats = true', "true or false as num_repeats"),
        (HEAD + 'image_dir = "."\nis_reg = 1', "a number as is_reg, not true or false"),
        (HEAD + 'image_dir = "."\ncaption_prefix = {a = 1}', "an object as caption_prefix"),
        (HEAD + 'image_dir = "none"', "names the folder 'none', which does not exist"),
        (HEAD + 'image_dir = "."\nmetadata_file = "none"', "none does not exist"),
        ("a=" + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_type_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        load_samples(toml(tmp_path, text))


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png", "\ufeffone")
    file = tmp_path / "a.toml"
    file.write_text(HEAD + 'image_dir = "img"', encoding="utf-8-sig")
    assert captions(file) == ["one"]


def test_metadata_joins_caption_and_tags(tmp_path: Path) -> None:
    put(tmp_path / "img", "1.png")
    rows = {"1": {"caption": "one", "tags": "a, b"}}
    (tmp_path / "meta.json").write_text(json.dumps(rows), encoding="utf-8-sig")
    text = HEAD + 'image_dir = "img"\nmetadata_file = "meta.json"\ncaption_prefix = "sks"'
    assert captions(toml(tmp_path, text)) == ["sks one, a, b"]
