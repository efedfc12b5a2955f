"""Data as owners have it: each kind is recognised, read without decoding, or refused by name."""

from __future__ import annotations

import json
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from privaudit import Sample, load_samples
from privaudit.errors import SampleError, SettingError
from privaudit.samples import sample as sample_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLOURS = ("red", "green", "blue")
Make = "Callable[[Path], Any]"


def draw(folder: Path) -> None:
    """Write a picture of each colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in COLOURS:
        Image.new("RGB", (4, 4), colour).save(folder / f"{colour}.png")


def csv(folder: Path) -> Any:
    draw(folder)
    rows = [f'{c}.png,"{c}, a colour\nof its own"\r\n' for c in COLOURS]
    (folder / "metadata.csv").write_text("file_name,caption\r\n" + "".join(rows), newline="")
    return folder


def texts(folder: Path) -> Any:
    draw(folder / "10_colours")
    for c in COLOURS:
        (folder / "10_colours" / f"{c}.txt").write_text(caption(c) + "\n")
    return folder


def caption_suffix(folder: Path) -> Any:
    draw(folder)
    for c in COLOURS:
        (folder / f"{c}.caption").write_text(caption(c), encoding="utf-8-sig")
    return folder


def kohya_toml(folder: Path) -> Any:
    caption_suffix(folder / "pictures")
    draw(folder / "regular")
    file = folder / "dataset.toml"
    file.write_text(
        """
        [general]
        caption_extension = ".caption"
        [[datasets]]
        resolution = 512
        [[datasets.subsets]]
        image_dir = "pictures"
        num_repeats = 10
        [[datasets.subsets]]
        image_dir = "regular"
        is_reg = true
        class_tokens = "a colour"
        """
    )
    return file


def kohya_json(folder: Path) -> Any:
    draw(folder)
    rows = {c: {"caption": c, "tags": "a colour of its own"} for c in COLOURS}
    (folder / "meta.json").write_text(json.dumps(rows))
    return folder / "meta.json"


def hub(folder: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    rows = {
        "image": [Image.new("RGB", (4, 4), c) for c in COLOURS],
        "prompt": [caption(c) for c in COLOURS],
    }
    features = datasets.Features({"image": datasets.Image(), "prompt": datasets.Value("string")})
    return datasets.Dataset.from_dict(rows, features=features)


def rows_of_dicts(folder: Path) -> Any:
    return [{"image": Image.new("RGB", (4, 4), c), "text": caption(c)} for c in COLOURS]


def caption(colour: str) -> str:
    return f"{colour}, a colour of its own"


SOURCES = [
    csv,
    texts,
    caption_suffix,
    kohya_toml,
    kohya_json,
    hub,
    rows_of_dicts,
]


@pytest.mark.parametrize("make", SOURCES)
def test_each_kind_is_recognised_and_opened_late(
    make: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "data")
    opened: list[object] = []
    as_rgb = sample_module.as_rgb
    monkeypatch.setattr(sample_module, "as_rgb", lambda i: opened.append(i) or as_rgb(i))
    samples = load_samples(source)
    assert not opened
    wanted = {c: Image.new("RGB", (4, 4), c).tobytes() for c in COLOURS}
    found = {s.caption.partition(",")[0]: s for s in samples}
    assert {c: s.image.tobytes() for c, s in found.items()} == wanted
    assert {" ".join(s.caption.split()) for s in samples} == {caption(c) for c in COLOURS}
    assert len({s.id for s in samples}) == 3
    assert [s.id for s in load_samples(source)] == [s.id for s in samples]
    sent = pickle.loads(pickle.dumps(samples[0]))  # as to a Ray worker
    assert sent.image.tobytes() == samples[0].image.tobytes()


def test_captions_of_a_data_set_are_read_without_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = hub(tmp_path)
    decoded: list[object] = []
    as_rgb = sample_module.as_rgb
    monkeypatch.setattr(sample_module, "as_rgb", lambda i: decoded.append(i) or as_rgb(i))
    monkeypatch.delattr(datasets.Image, "decode_example")  # files are opened here, within limits
    samples = load_samples(rows)
    assert [s.caption for s in samples] == [caption(c) for c in COLOURS]
    assert decoded == []
    assert samples[1].image.getpixel((0, 0)) == (0, 128, 0)
    assert len(decoded) == 1


@pytest.mark.parametrize("make", SOURCES)
def test_a_limit_is_a_seeded_draw_in_order(make: Callable[[Path], Any], tmp_path: Path) -> None:
    source = make(tmp_path / "data")
    everything = [s.id for s in load_samples(source)]
    drawn = {tuple(s.id for s in load_samples(source, limit=2, seed=i)) for i in range(30)}
    pairs = {(everything[i], everything[j]) for i, j in ((0, 1), (0, 2), (1, 2))}
    assert drawn == pairs
    with pytest.raises(SettingError, match="limit=0 is below 1"):
        load_samples(source, limit=0)
    for wrong in ({"limit": 2.5}, {"limit": True}, {"limit": "2"}, {"seed": -1}, {"seed": None}):
        with pytest.raises(SettingError, match=r"is no whole number|is below 0"):
            load_samples(source, **wrong)
    for name in ("caption", "image", "id", "split"):
        with pytest.raises(SettingError, match=f"{name}=3 is a int, not a name"):
            load_samples(source, **{name: 3})


def test_the_users_columns(tmp_path: Path) -> None:
    rows = [{"pic": Image.new("L", (2, 2), 9), "title": "one", "text": "no", "key": 7}]
    [sample] = load_samples(rows, image="pic", caption="title", id="key")
    assert (sample.caption, sample.id, sample.image.size) == ("one", "7", (2, 2))
    with pytest.raises(SampleError, match="row 0 of a list has null as its id, in 'no': give each"):
        load_samples(rows, id="no")
    draw(tmp_path)
    (tmp_path / "metadata.csv").write_text("path,title,n\nred.png,one,1\n")
    [sample] = load_samples(tmp_path, image="path", caption="title", id="n")
    assert (sample.caption, sample.id) == ("one", "1")


def test_of_several_sets_one_is_named() -> None:
    sets = {"train": rows_of_dicts, "test": [{"image": Image.new("L", (2, 2)), "text": "x"}]}
    assert len(load_samples(sets, split="test")) == 1
    with pytest.raises(SampleError, match=r"2 sets: say which, .*split=…\), of \['train', 'test'"):
        load_samples(sets)


def test_a_stream_is_read_from_its_beginning() -> None:
    def stream() -> Any:
        for i in range(10**9):
            yield {"image": Image.new("L", (2, 2), i), "text": f"{i}"}

    assert [s.caption for s in load_samples(stream(), limit=3)] == ["0", "1", "2"]
    with pytest.raises(SampleError, match="a generator is read as it comes: say how many"):
        load_samples(stream())


def test_what_lacks_its_other_half_is_counted_and_named(tmp_path: Path) -> None:
    texts(tmp_path)
    (tmp_path / "10_colours" / "red.txt").unlink()
    with pytest.raises(SampleError, match=r"1 of 3 pictures .* such as 10_colours/red.png: write"):
        load_samples(tmp_path)
    (tmp_path / "10_colours" / "red.txt").write_text("red")
    (tmp_path / "10_colours" / "white.txt").write_text("white")
    with pytest.raises(SampleError, match=r"1 caption files .* such as 10_colours/white.txt: add"):
        load_samples(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file_name,text\nred.png,a,b\n", r"csv:2 has more fields than the header has columns"),
        ("file_name,text\nred.png\n", "csv:2 has fewer fields"),
        ('file_name,text\nred.png,"a\n', r"csv is not CSV after line 1 \("),
        ("file_name,text\n../red.png,a\n", "csv:2 names '../red.png', which is outside"),
        ("file_name,text\nwhite.png,a\n", r"white.png \(named by .*csv:2\) does not exist"),
        ("name,text\nred.png,a\n", "csv:2 has no \"file_name\", only 'name', 'text'"),
        ("file_name,text\n", "has no lines"),
    ],
)
def test_a_wrong_row_is_one_error(tmp_path: Path, table: str, said: str) -> None:
    draw(tmp_path)
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(SampleError, match=said):
        load_samples(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"= 1", "is not TOML"),
        ("a.toml", b"[[datasets]]", "names no pictures to train on"),
        (
            "a.toml",
            b"[[datasets]]\n[[datasets.subsets]]\nx = 1",
            "subset 0 of data set 0, has no image_dir",
        ),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[1]", "a list of 1, and no object from file names to captions"),
        ("a.json", b'{"red.png": {"title": "x"}}', "has no \"caption\", only 'title'"),
        ("a.json", b'{"../red.png": "x"}', "which is outside of its folder"),
    ],
)
def test_a_wrong_file_is_one_error(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    draw(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError, match=said):
        load_samples(tmp_path / name)


@pytest.mark.parametrize("extension", ["txt", ".en.txt"])
def test_kohyas_prefix_and_class_are_captions(tmp_path: Path, extension: str) -> None:
    draw(tmp_path / "p")
    (tmp_path / "p" / f"red.{extension.lstrip('.')}").write_text("red")
    file = tmp_path / "a.toml"
    file.write_text(
        '[[datasets]]\ncaption_prefix = "sks"\n[[datasets.subsets]]\nimage_dir = "p"\n'
        f'class_tokens = "a colour"\ncaption_extension = "{extension}"'
    )
    assert sorted(s.caption for s in load_samples(file)) == ["sks a colour"] * 2 + ["sks red"]


def test_one_name_in_two_folders_has_two_ids(tmp_path: Path) -> None:
    one, two = texts(tmp_path / "train"), texts(tmp_path / "holdout")
    Image.new("RGB", (4, 4), "black").save(two / "10_colours" / "red.png")
    ids = [s.id for s in (*load_samples(one), *load_samples(two))]
    assert len(set(ids)) == 6
    assert all("/10_colours/" in one for one in ids)


@pytest.mark.slow
def test_100000_samples_open_without_being_decoded(tmp_path: Path) -> None:
    """Not timed here; ``benchmarks/sources.py`` is. What is held is counted."""
    import psutil

    Image.new("RGB", (8, 8), "red").save(tmp_path / "one.png")
    content = (tmp_path / "one.png").read_bytes()
    (tmp_path / "one.png").unlink()
    for i in range(20_000):
        (tmp_path / f"{i}.png").write_bytes(content)
        (tmp_path / f"{i}.txt").write_text(f"picture {i}")
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    samples = load_samples(tmp_path)
    assert len(samples) == 20_000
    assert all(isinstance(s, Sample) and s._image is None for s in samples)
    assert process.memory_info().rss - before < 100e6
