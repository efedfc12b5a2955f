"""What ``load_samples`` does not read: it says what is there, and the line it names does read it."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import privaudit
from privaudit import load_samples
from privaudit.errors import SampleError
from privaudit.samples import check_disjoint

if TYPE_CHECKING:
    from collections.abc import Callable

COLOURS = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library keep what it makes where this test ends."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(file, "PNG")
    return file.getvalue()


def draw(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(png(colour))
    return folder


def caption(colour: str) -> str:
    return f"{colour}, a colour of its own"


def shard(file: Path, files: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def shards_with_texts(folder: Path) -> Path:
    for colour in COLOURS:
        files = {f"{colour}.png": png(colour), f"{colour}.txt": caption(colour).encode()}
        shard(folder / f"{colour}.tar", files)
    return folder


def a_shard_with_json(folder: Path) -> Path:
    files = {}
    for colour in COLOURS:
        files[f"{colour}.json"] = json.dumps({"caption": caption(colour)}).encode()
        files[f"{colour}.png"] = png(colour)
    return shard(folder / "a.tar", files)


def rows() -> Any:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    columns = {
        "image": [Image.new("RGB", (4, 4), c) for c in COLOURS],
        "text": [caption(c) for c in COLOURS],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def a_snapshot_of_the_hub(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    rows().to_parquet(str(folder / "data" / "train-00000-of-00001.parquet"))
    (folder / "README.md").write_text("a data set")
    return folder


def a_parquet_file(folder: Path) -> Path:
    return next((a_snapshot_of_the_hub(folder) / "data").iterdir())


def metadata_parquet(folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    draw(folder)
    table = {"file_name": [f"{c}.png" for c in COLOURS], "text": [caption(c) for c in COLOURS]}
    parquet.write_table(pyarrow.table(table), folder / "metadata.parquet")
    return folder


def saved_to_disk(folder: Path) -> Path:
    rows().save_to_disk(str(folder))
    return folder


def several_saved_to_disk(folder: Path) -> Path:
    import datasets

    datasets.DatasetDict({"train": rows()}).save_to_disk(str(folder))
    return folder


def an_arrow_file(folder: Path) -> Path:
    return next(saved_to_disk(folder).glob("*.arrow"))


def coco(folder: Path) -> Path:
    draw(folder)
    content = {
        "images": [{"id": i, "file_name": f"{c}.png"} for i, c in enumerate(COLOURS)],
        "annotations": [
            {"id": 10 * n + i, "image_id": i, "caption": f"again {c}" if n else caption(c)}
            for n in (0, 1)
            for i, c in enumerate(COLOURS)
        ],
    }
    (folder / "captions.json").write_text(json.dumps(content))
    return folder / "captions.json"


def a_list_of_rows(folder: Path) -> Path:
    draw(folder)
    content = [{"image": f"{c}.png", "caption": caption(c)} for c in COLOURS]
    (folder / "d.json").write_text(json.dumps(content))
    return folder / "d.json"


def celeba_dialog(folder: Path) -> Path:
    draw(folder)
    content = {f"{c}.png": {"Hue": "?", "overall_caption": caption(c)} for c in COLOURS}
    (folder / "captions.json").write_text(json.dumps(content))
    return folder / "captions.json"


FORMATS = {
    shards_with_texts: "is a WebDataset shard, each sample of png, txt",
    a_shard_with_json: "is a WebDataset shard, each sample of json, png",
    a_snapshot_of_the_hub: "is a Parquet table",
    a_parquet_file: "is a Parquet table",
    metadata_parquet: "has metadata.parquet",
    saved_to_disk: "was written by save_to_disk",
    several_saved_to_disk: "with the splits train",
    an_arrow_file: "is an Arrow file",
    coco: "is COCO's list of captions",
    a_list_of_rows: "is a list of rows",
}


def refusal(path: Path) -> str:
    with pytest.raises(SampleError) as caught:
        load_samples(path)
    return str(caught.value)


@pytest.mark.parametrize("make", FORMATS)
def test_the_line_that_the_message_names_reads_it(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    import datasets

    path = make(tmp_path / "a set")
    message = refusal(path)
    assert FORMATS[make] in message
    lines = message.partition(": ")[2] if "\n" not in message else message.partition("\n")[2]
    assert message.count("\n") < 3
    names = {"datasets": datasets, "load_samples": load_samples}
    names |= {"json": json, "os": os, "Path": Path}
    *before, last = lines.split("\n")
    exec("\n".join(before), names)  # the user's own step
    samples = eval(last, names)
    found = {s.caption: s.image.getpixel((0, 0)) for s in samples}
    assert found == {caption(c): Image.new("RGB", (1, 1), c).getpixel((0, 0)) for c in COLOURS}


def test_a_caption_under_another_name_is_named_by_an_argument(tmp_path: Path) -> None:
    path = celeba_dialog(tmp_path / "a")
    assert 'entry 0 has no "caption"' in refusal(path)
    assert [s.caption for s in load_samples(path, caption="overall_caption")] == [
        caption(c) for c in COLOURS
    ]


def test_several_pictures_in_a_sample_are_named(tmp_path: Path) -> None:
    for names, image in ((("depth.png", "jpg"), "'jpg'"), (("image.png", "mask.png"), "…")):
        files = {f"1.{name}": png("red") for name in names} | {"1.txt": b"a"}
        message = refusal(shard(tmp_path / "0.tar", files))
        assert f"of {', '.join(names)}, txt, of which one is the picture" in message
        assert f"image={image}," in message


def test_shards_of_one_name_on_both_sides_are_two_sets(tmp_path: Path) -> None:
    import datasets

    sides = []
    for side, colours in (("train", ("red", "green")), ("holdout", ("blue", "white"))):
        files = {}
        for i, colour in enumerate(colours):
            files |= {f"{i:09}.png": png(colour), f"{i:09}.txt": side.encode()}
        name = str(shard(tmp_path / side / "00000.tar", files))
        sides.append(
            load_samples(
                datasets.load_dataset("webdataset", data_files=name, split="train"),
                image="png",
                caption="txt",
            )
        )
    check_disjoint("members", sides[0], "non_members", sides[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar", b"no", "its first sample has nothing that can be read: unpack it and check it"),
        ("a.tar", b"\0" * 5000, "nothing that can be read"),
        ("a.tar.gz", b"no", "is compressed: unpack it"),
        ("a.zip", b"no", "is compressed: unpack it"),
        ("a.json", b"[]", "is empty, and no object from file names to captions"),
        ("a.json", b"[3]", "is a list of 1, and no object"),
        ("a.json", b"null", "is empty, and no object"),
        ("a.json", b'"a private caption"', "is a str, and no object"),
        ("a.png", b"", "is a picture, and load_samples reads sets of them"),
        ("a.xyz", b"", "is a file, and of no kind that load_samples reads"),
    ],
)
def test_what_nobody_reads_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    text = refusal(tmp_path / name)
    assert message in text
    assert "private" not in text


def test_a_shards_beginning_is_all_that_is_read_of_it(tmp_path: Path) -> None:
    file = shard(tmp_path / "a.tar", {"1.png": png("red"), "1.txt": b"a", "2.png": png("red")})
    with file.open("r+b") as tar:
        tar.truncate(2**35)
    assert "each sample of png, txt" in refusal(file)
    sparse = tmp_path / "b.tar"
    with sparse.open("wb") as tar:
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 2**33  # tarfile would read all of it
        tar.write(header.tobuf(tarfile.GNU_FORMAT))
        tar.truncate(2**33 + 1024)
    assert "nothing that can be read" in refusal(sparse)


ROW = {"image": Image.new("L", (2, 2)), "text": "x"}


class Pairs:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> Any:
        return ROW["image"], "a private caption"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Pairs(), r"row 0 of a Pairs is a tuple, .* for image, caption in data\]\)"),
        ([(1, 2, 3)], "row 0 of a list is a list of 3, not a mapping"),
        (["a private caption"], "row 0 of a list is a str, not a mapping of columns"),
        ({"image": [1], "text": ["x"]}, r"columns, not rows: .* zip\(\*columns.values\(\)\)"),
        ({"image": [1], "no": ["x"]}, r"these are 2 sets: say which"),
        ([ROW | {"text": ["a private caption", "b"]}], r'a list of 2 for "text", .*: keep the one'),
        ([ROW | {"text": {"a private caption": 1}}], 'has an object for "text", not a text'),
        ([ROW | {"text": b"a private caption"}], 'has a bytes for "text", not a text'),
        ([{"image": 1, "a private caption": "x"}], "has no \"text\", only 'image'"),
        ([{"a private caption": 1, "other": 2}], 'no "text", only 2 columns of other names'),
        ([ROW | {"text": "[trigger] on a mat"}], r"row 0 of a list holds \[trigger\], which the"),
        ([ROW | {"text": "a \ud83d b"}], r"holds half a character \(U\+D83D\)"),
        (7, "a number is no folder, file or data set: pass rows"),
        (None, "null is no folder, file or data set"),
        (b"abc", "a bytes is no folder"),
        ({1, 2}, "a set has no order"),
        ([], "a list of no rows"),
    ],
)
def test_rows_that_are_none_are_refused_and_not_quoted(source: Any, message: str) -> None:
    with pytest.raises(SampleError, match=message) as caught:
        load_samples(source)
    assert "private caption on" not in str(caught.value)
    if "image'" not in message:
        assert "private" not in str(caught.value)


def test_a_table_of_pandas_names_its_rows() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"image": [Image.new("L", (2, 2))], "text": ["x"]})
    with pytest.raises(SampleError, match=r'table of pandas .*table.to_dict\("records"\)'):
        load_samples(table)
    assert len(load_samples(table.to_dict("records"))) == 1


def test_rows_of_one_caption_have_ids_of_their_own(tmp_path: Path) -> None:
    def make(start: int, kind: Any) -> list[dict[str, Any]]:
        images = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(start, start + 3)]
        return [{"image": kind(i), "text": "a photo of sks dog"} for i in images]

    def as_bytes(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    def as_file(image: Image.Image) -> str:
        name = tmp_path / f"{image.getpixel((0, 0))[0]}.png"
        image.save(name)
        return str(name)

    def as_array(image: Image.Image) -> Any:
        import numpy as np

        return np.asarray(image)

    for kind in (lambda image: image, as_bytes, as_file, as_array):
        first, second = load_samples(make(0, kind)), load_samples(make(3, kind))
        check_disjoint("members", first, "non_members", second)
        assert [s.id for s in load_samples(make(0, kind))] == [s.id for s in first]
        assert len({s.id for s in (*first, *second)}) == 6
    same = make(0, as_bytes)[:1] * 3
    assert len({s.id for s in load_samples(same)}) == 3
    with pytest.raises(SampleError, match="is in both a and b"):
        check_disjoint("a", load_samples(same), "b", load_samples(same))


@pytest.mark.parametrize("value", [None, "no such file.png", b"%!PS-Adobe-3.0", object(), [["a"]]])
def test_a_row_without_a_picture_is_named_when_it_is_looked_at(value: Any) -> None:
    [sample] = load_samples([{"image": value, "text": "a private caption"}])
    with pytest.raises(SampleError, match="row 0 of a list") as caught:
        sample.digest  # noqa: B018
    assert "private" not in str(caught.value)


def test_a_set_of_the_library_is_opened_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.samples.pictures.MAX_PIXELS", 15)
    sample = privaudit.load_samples(rows())[0]
    with pytest.raises(SampleError, match=r"row 0 of a Dataset .*4×4 pixels, and at most 15"):
        sample.digest  # noqa: B018


def test_a_data_set_as_members_names_the_call() -> None:
    from privaudit.samples import as_samples

    for value in (rows(), [dict(ROW)]):
        with pytest.raises(SampleError, match=re.escape("privaudit.load_samples(")):
            as_samples("members", value)
